//! Showing a code until the other device has typed it.
//!
//! The rules are those of [`peersox_core::invite`]: one code stays for as long as the server knows it, a code
//! that took a message of the other side counts as a guess, and after three of them there is no other code,
//! whatever the server says.

use futures_util::StreamExt;
use peersox_core::code::{Code, Words};
use peersox_core::invite::{Action, Ended, Input, Invite as Machine, LetIn};
use peersox_core::pairing::Label;
use tokio::sync::watch;

use crate::event::{Presence, Status};
use crate::options::{Options, Proof};
use crate::platform::{BoxFuture, Clock, Random};
use crate::rpc::Boxed;
use crate::server::{Created, News as Told, Pairing, PairingEvent, Server, Terms};
use crate::{Burnt, Error, Peer};

pub use peersox_core::invite::Why as Replaced;

/// A code that is shown until somebody types it, and replaced if the server does not know it any more.
///
/// ```no_run
/// # async fn here(server: peersox_client::Server) -> Result<(), peersox_client::Error> {
/// use peersox_client::{Invite, Options, Step};
///
/// let mut invite = Invite::new(server, 2, Options::default());
/// let peer = loop {
///     match invite.next().await? {
///         Step::Show(code) => println!("{code}"),
///         Step::Replaced(_, why) => println!("another code follows: {why}"),
///         // Only after `Invite::confirm`: a person looks at the label, and says yes or no.
///         Step::Asked(label) => invite.answer(label.is_some_and(|it| it.as_str() == "laptop")),
///         Step::Met(peer, _pairing) => break peer,
///     }
/// };
/// # drop(peer);
/// # Ok(())
/// # }
/// ```
pub struct Invite {
    machine: Machine,
    server: Server,
    words: usize,
    /// Whoever joins has to be let in.
    confirm: bool,
    /// Somebody has redeemed the code, and there is no yes.
    asked: bool,
    /// What it calls itself.
    label: Option<Label>,
    letting_in: Option<BoxFuture<Result<(), Error>>>,
    /// The words of the code that is being made. The server does not get them.
    drawn: Words,
    options: Options,
    clock: Clock,
    creating: Option<BoxFuture<Result<Created, Error>>>,
    watching: Option<Boxed<Result<Told, Error>>>,
    shown: Option<Shown>,
    leaving: Option<BoxFuture<bool>>,
    /// Why there is no code, or why the last one ended.
    error: Option<Error>,
}

/// What happens next.
#[derive(Debug)]
pub enum Step {
    /// Show this code to a person. It is good until another step follows.
    Show(Code),
    /// The code is not good any more, and another one follows.
    Replaced(Replaced, Error),
    /// A device that calls itself so has redeemed the code and wants to connect: [`Invite::answer`] says
    /// whether it may. Only after [`Invite::confirm`]. Whoever knows the nameplate can ask, under any name.
    Asked(Option<Label>),
    /// The other device has proven the code, and messages flow.
    Met(Peer, Pairing),
}

/// The peer of the code that is shown.
struct Shown {
    peer: Peer,
    pairing: Pairing,
    status: watch::Receiver<Status>,
}

/// What was waited for.
enum News {
    Created(Result<Created, Error>),
    Watched(Option<Result<Told, Error>>),
    LetIn(Result<(), Error>),
    Status,
    Connected(Result<(), Error>),
    Left(bool),
    Timeout,
}

impl Invite {
    /// Codes with this many secret words. The pairing is one that is not kept: call [`Server::keep`] if it is
    /// stored.
    #[must_use]
    pub fn new(server: Server, words: usize, options: Options) -> Self {
        Self {
            machine: Machine::default(),
            server,
            words,
            confirm: false,
            asked: false,
            label: None,
            letting_in: None,
            drawn: Words::default(),
            options,
            clock: Clock::start(),
            creating: None,
            watching: None,
            shown: None,
            leaving: None,
            error: None,
        }
    }

    /// Lets nobody in without being asked: [`Step::Asked`] follows when somebody has redeemed a code. Before
    /// the yes the other device gets no session, so that nothing of it arrives here and it hears nothing of
    /// this one. A no, or no answer for two minutes, ends the invite. Call it before [`Invite::next`].
    #[must_use]
    pub fn confirm(mut self) -> Self {
        self.machine = Machine::guarded();
        self.confirm = true;
        self
    }

    /// Answers [`Step::Asked`]. After a no, [`Invite::next`] gives [`Error::NobodyLetIn`]. An answer to no
    /// question is ignored.
    pub fn answer(&mut self, let_in: bool) {
        self.tell(Input::Answered(let_in));
    }

    /// The peer of the code that is shown, and its pairing.
    pub fn shown(&mut self) -> Option<(&mut Peer, &Pairing)> {
        let shown = self.shown.as_mut()?;
        Some((&mut shown.peer, &shown.pairing))
    }

    /// Waits for the next step. Cancelling it loses nothing. No step follows [`Step::Met`] or an error.
    ///
    /// # Errors
    /// What kept the server from giving a first code; why the last code ended, if no other one follows.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            while let Some(action) = self.machine.poll() {
                if let Some(step) = self.obey(action) {
                    return step;
                }
            }
            let news = self.news().await;
            if let Some(step) = self.take(news) {
                return Ok(step);
            }
        }
    }

    fn obey(&mut self, action: Action) -> Option<Result<Step, Error>> {
        match action {
            Action::Create => {
                self.drawn = Words::random(self.words, &mut Random);
                let terms = Terms {
                    secret_bits: self.drawn.entropy_bits(),
                    ephemeral: true,
                    confirm: self.confirm,
                    label: None,
                };
                let server = self.server.clone();
                self.creating = Some(Box::pin(
                    async move { server.create_pairing_on(&terms).await },
                ));
            }
            Action::Watch => {
                let shown = self.shown.as_ref()?;
                self.watching = Some(watch(self.server.clone(), shown.pairing.clone()));
            }
            Action::Unwatch => self.watching = None,
            Action::Ask => {
                self.asked = true;
                return Some(Ok(Step::Asked(self.label.take())));
            }
            Action::LetIn => {
                self.asked = false;
                let (server, pairing) = (self.server.clone(), self.shown.as_ref()?.pairing.clone());
                self.letting_in = Some(Box::pin(async move {
                    server.confirm_join(&pairing, true).await
                }));
            }
            Action::Refuse => {
                let Shown { peer, pairing, .. } = self.shown.take()?;
                self.error = Some(Error::NobodyLetIn);
                let server = self.server.clone();
                self.leaving = Some(Box::pin(async move {
                    if let Err(error) = server.confirm_join(&pairing, false).await {
                        tracing::debug!(%error, "the no was not heard, and nobody is let in either");
                    }
                    peer.abandon().await
                }));
            }
            Action::Withdraw => {
                let Shown { peer, status, .. } = self.shown.take()?;
                let status = *status.borrow();
                let is_there = status.presence != Presence::Absent || status.code_used;
                if is_there && !self.machine.is_let_in() {
                    self.error = Some(Error::Protocol(LET_IN_UNASKED));
                } else if self.asked || self.letting_in.is_some() {
                    self.error = Some(Error::NobodyLetIn);
                }
                self.letting_in = None;
                self.leaving = Some(Box::pin(peer.abandon()));
            }
            Action::Replace(why) => {
                let error = self.error.take().unwrap_or(Error::CodeNotFound);
                return Some(Ok(Step::Replaced(why, error)));
            }
            Action::End => return Some(Err(self.error.take().unwrap_or(Error::CodeSpent))),
        }
        None
    }

    async fn news(&mut self) -> News {
        let due = self.clock.sleep_until(self.machine.poll_timeout());
        let (connected, status) = match &mut self.shown {
            Some(shown) => (Some(&shown.peer), Some(&mut shown.status)),
            None => (None, None),
        };
        tokio::select! {
            biased;
            // What the peer says goes before what the server says of it.
            Some(()) = maybe(status.map(changed)) => News::Status,
            Some(connected) = maybe(connected.map(Peer::connected)) => News::Connected(connected),
            Some(used) = maybe(self.leaving.as_mut()) => News::Left(used),
            Some(let_in) = maybe(self.letting_in.as_mut()) => News::LetIn(let_in),
            Some(created) = maybe(self.creating.as_mut()) => News::Created(created),
            Some(event) = maybe(self.watching.as_mut().map(StreamExt::next)) => News::Watched(event),
            () = due => News::Timeout,
        }
    }

    fn take(&mut self, news: News) -> Option<Step> {
        match news {
            News::Created(created) => {
                self.creating = None;
                return self.created(created);
            }
            News::Watched(event) => {
                if let Some(Ok(told)) = &event
                    && told.event == PairingEvent::Joined
                    && told.unconfirmed
                {
                    self.label.clone_from(&told.label);
                    self.tell(Input::Asked);
                }
                let input = match event {
                    Some(Ok(told)) => Input::Told(told.event),
                    ended => {
                        self.watching = None;
                        let error = ended.and_then(Result::err);
                        Input::WatchEnded {
                            is_gone: error == Some(Error::CredentialInvalid),
                            retry_after: error.and_then(|error| error.retry_after()),
                        }
                    }
                };
                self.tell(input);
            }
            News::LetIn(let_in) => {
                self.letting_in = None;
                let let_in = match let_in {
                    Ok(()) => LetIn::Done,
                    Err(error) => {
                        let is_final = !error.is_transient();
                        let retry_after = error.retry_after();
                        if is_final {
                            self.error = Some(match error {
                                // The yes came too late.
                                Error::CredentialInvalid => Error::NobodyLetIn,
                                other => other,
                            });
                        }
                        LetIn::Failed {
                            is_final,
                            retry_after,
                        }
                    }
                };
                self.tell(Input::LetIn(let_in));
            }
            News::Status => self.look(),
            // A server that lies can let a device in. It gets no further than to prove the code.
            News::Connected(Ok(())) if !self.machine.is_let_in() => {
                self.tell(Input::PeerOnline);
            }
            News::Connected(Ok(())) => {
                let shown = self.shown.take()?;
                self.watching = None;
                return Some(Step::Met(shown.peer, shown.pairing));
            }
            News::Connected(Err(error)) => {
                self.look();
                self.shown = None;
                let was_asked = self.letting_in.take().is_some() || self.asked;
                let ended = match error {
                    Error::CredentialInvalid => Ended::Gone,
                    Error::Closed(reason) => Ended::HungUp(reason),
                    _ => Ended::Else,
                };
                self.error = Some(match was_asked {
                    true => Error::NobodyLetIn,
                    false => error,
                });
                self.tell(Input::Ended(ended));
            }
            News::Left(used) => {
                self.leaving = None;
                if used {
                    self.error.get_or_insert(Burnt::Restarted.into());
                    self.tell(Input::Used);
                }
                self.tell(Input::Ended(Ended::Gone));
            }
            News::Timeout => self.tell(Input::Timeout),
        }
        None
    }

    fn created(&mut self, created: Result<Created, Error>) -> Option<Step> {
        let created = match created {
            Ok(created) => created,
            Err(error) => {
                self.tell(Input::NotCreated {
                    // Who wants a code is told at once that there is none to be had.
                    is_final: !error.is_transient() || matches!(error, Error::OverQuota { .. }),
                    retry_after: error.retry_after(),
                });
                self.error = Some(error);
                return None;
            }
        };
        let pairing = created.pairing;
        let words = std::mem::take(&mut self.drawn);
        let (nameplate, again) = (created.nameplate.clone(), words.clone());
        let proof = Proof::Code(Code { nameplate, words });
        let (server, options) = (self.server.clone(), self.options.clone());
        match Peer::start(server, pairing.clone(), proof, options) {
            Ok(peer) => {
                let status = peer.status();
                self.asked = false;
                self.shown = Some(Shown {
                    peer,
                    pairing,
                    status,
                });
                self.tell(Input::Created);
                Some(Step::Show(Code {
                    nameplate: created.nameplate,
                    words: again,
                }))
            }
            Err(error) => {
                self.error = Some(error);
                let (is_final, retry_after) = (true, None);
                self.tell(Input::NotCreated {
                    is_final,
                    retry_after,
                });
                None
            }
        }
    }

    /// Tells the machine how the peer stands.
    fn look(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let status = *shown.status.borrow_and_update();
        if status.presence != Presence::Absent {
            self.tell(Input::PeerOnline);
        }
        if status.code_used {
            self.tell(Input::Used);
        }
    }

    fn tell(&mut self, input: Input) {
        self.machine.handle(input, self.clock.now());
    }
}

const LET_IN_UNASKED: &str = "it let a device in that nobody here had said yes to";

impl std::fmt::Debug for Invite {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// Opens a watch; one that is refused is a stream with that error alone.
fn watch(server: Server, pairing: Pairing) -> Boxed<Result<Told, Error>> {
    let opened = async move { server.watch_news(&pairing).await };
    Box::pin(futures_util::stream::once(opened).flat_map(|opened| {
        let (events, refused) = match opened {
            Ok(events) => (Some(events), None),
            Err(error) => (None, Some(Err(error))),
        };
        let events = futures_util::stream::iter(events).flatten();
        events.chain(futures_util::stream::iter(refused))
    }))
}

/// Waits until a peer stands otherwise; for ever once it has ended.
async fn changed(status: &mut watch::Receiver<Status>) {
    if status.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a future resolves to; nothing if there is none, and then the branch of `select!` is not taken.
async fn maybe<T>(future: Option<impl Future<Output = T>>) -> Option<T> {
    match future {
        Some(future) => Some(future.await),
        None => None,
    }
}
