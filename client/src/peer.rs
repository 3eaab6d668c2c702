//! One endpoint of a pairing at work.

use std::time::Duration;

use peersox_core::channel::Priority;
use tokio::sync::{broadcast, mpsc, watch};

use crate::Error;
use crate::channel::Channel;
use crate::command::{Command, Hold, Offer, ask};
use crate::driver::{Driver, Outlets, Verdict};
use crate::event::{Event, Secured, Status};
use crate::options::{Options, Proof};
use crate::platform::spawn;
use crate::server::{Pairing, Server};

/// One endpoint of a pairing at work. Dropping it and its channels hangs up at once; [`Peer::close`]
/// does so in good order.
#[derive(Debug)]
pub struct Peer {
    commands: mpsc::Sender<Command>,
    incoming: mpsc::Receiver<Offer>,
    max_message: usize,
    events: broadcast::Sender<Event>,
    /// What happened from the first moment on, until somebody asks for it.
    early: Option<broadcast::Receiver<Event>>,
    status: watch::Receiver<Status>,
    secured: watch::Receiver<Option<Secured>>,
    /// Whether there ever was a leg.
    attached: watch::Receiver<bool>,
    /// `None` until the peer ends.
    end: watch::Receiver<Option<Verdict>>,
}

impl Peer {
    /// Attaches to the relay. Returns once this side is there, whether or not the other one is.
    /// Whatever the two exchange from then on is sealed with keys that follow from `proof`.
    ///
    /// # Errors
    /// As [`Peer::start`] and [`Peer::attached`].
    pub async fn attach(
        server: Server,
        pairing: Pairing,
        proof: Proof,
        options: Options,
    ) -> Result<Self, Error> {
        let peer = Self::start(server, pairing, proof, options)?;
        peer.attached().await?;
        Ok(peer)
    }

    /// Begins to attach, and returns at once: [`Peer::events`] tells of each attempt, and [`Peer::attached`]
    /// waits for one that succeeds.
    ///
    /// # Errors
    /// [`Error::CodeSpent`] if `proof` is a code and this pairing was used with a code before, or was stored.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a proof is good for one peer"
    )]
    pub fn start(
        server: Server,
        pairing: Pairing,
        proof: Proof,
        options: Options,
    ) -> Result<Self, Error> {
        if matches!(proof, Proof::Code(_)) && !pairing.take_code() {
            return Err(Error::CodeSpent);
        }
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (offers, incoming) = mpsc::channel(INCOMING);
        let (events, early) = broadcast::channel(EVENTS);
        let (status_sender, status) = watch::channel(Status::default());
        let (secured_sender, secured) = watch::channel(None);
        let (end_sender, end) = watch::channel(None);
        let (attached_sender, attached) = watch::channel(false);
        let outlets = Outlets {
            events: events.clone(),
            status: status_sender,
            secured: secured_sender,
            end: end_sender,
            attached: attached_sender,
        };
        let driver = Driver::new(server, pairing, &proof, &options, offers, outlets);
        spawn(driver.run(inbox));
        Ok(Self {
            commands,
            incoming,
            max_message: options.max_message,
            events,
            early: Some(early),
            status,
            secured,
            attached,
            end,
        })
    }

    /// Waits until there is, or was, a leg to the relay.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`]; what kept this side from the server or the relay for longer than
    /// `options.patience`, or for 30 s; the peer's end, before that.
    pub async fn attached(&self) -> Result<(), Error> {
        let mut attached = self.attached.clone();
        self.before_the_end(async { attached.wait_for(|it| *it).await.is_ok() })
            .await
    }

    /// Waits until messages flow, or did before the other peer closed in good order.
    ///
    /// # Errors
    /// The peer's end, before that.
    pub async fn connected(&self) -> Result<(), Error> {
        let mut status = self.status.clone();
        let connected = async { status.wait_for(|it| it.connected).await.is_ok() };
        match self.before_the_end(connected).await {
            // Its farewell is sealed, so it was there, though for less time than it takes to look.
            Err(Error::PeerDone) if self.secured().is_some() => Ok(()),
            connected => connected,
        }
    }

    /// Waits for something; a future that gives false will never have it.
    async fn before_the_end(&self, it: impl Future<Output = bool>) -> Result<(), Error> {
        let it = async {
            if !it.await {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = it => Ok(()),
            ended = self.ended() => ended.and(Err(Error::PeerDone)),
        }
    }

    /// Whether this peer came with a code that is spent: its exchange took a message of the other side, or of
    /// whoever poses as it. That is the one guess that a code gives. Final once the peer has ended.
    #[must_use]
    pub fn is_code_used(&self) -> bool {
        self.status.borrow().code_used
    }

    /// Hangs up at once, whatever the other side has not read, and waits until nothing is heard any more.
    /// Tells whether the code was used: [`Peer::is_code_used`].
    pub async fn abandon(self) -> bool {
        let _ = self.commands.send(Command::HangUp).await;
        let _ = self.ended().await;
        self.is_code_used()
    }

    /// What was agreed on with the other peer, once it is: before [`Peer::connected`] returns.
    #[must_use]
    pub fn secured(&self) -> Option<Secured> {
        self.secured.borrow().clone()
    }

    /// Opens a channel. It exists on the other side as soon as that hears of it; messages may be
    /// sent at once.
    ///
    /// # Errors
    /// [`Error::NotOpened`] for a name that is empty or too long, and for too many channels; the
    /// peer's end.
    pub async fn open(&self, name: &str, priority: Priority) -> Result<Channel, Error> {
        let open = |reply| Command::Open(name.to_owned(), priority, reply);
        let hold = ask(&self.commands, open).await?;
        Ok(self.channel(name.to_owned(), hold))
    }

    /// The next channel that the other side opens; `None` when this peer has ended.
    pub async fn accept(&mut self) -> Option<Channel> {
        let Offer { name, hold } = self.incoming.recv().await?;
        Some(self.channel(name, hold))
    }

    /// Measures the time to the other peer and back, through everything in between. The future does not
    /// borrow the peer.
    ///
    /// # Errors
    /// The peer's end.
    pub fn ping(&self) -> impl Future<Output = Result<Duration, Error>> + use<> {
        let commands = self.commands.clone();
        async move { ask(&commands, Command::Ping).await }
    }

    /// Tells the peer that the program was asleep or that its network changed: a leg has to prove at once
    /// that it lives, and an attempt that waits is made now, unless the server asked to wait.
    ///
    /// # Errors
    /// [`Error::Gone`] if nobody is left to tell.
    pub async fn wake(&self) -> Result<(), Error> {
        let told = self.commands.send(Command::Wake).await;
        told.map_err(|_| Error::Gone)
    }

    /// Looks for a direct path now; false if this program has none.
    ///
    /// # Errors
    /// The peer's end.
    pub async fn upgrade(&self) -> Result<bool, Error> {
        ask(&self.commands, Command::Upgrade).await
    }

    /// What happens: for the first caller from the beginning on, for others from now on. A receiver
    /// that falls 64 events behind misses some.
    #[must_use]
    pub fn events(&mut self) -> broadcast::Receiver<Event> {
        self.early.take().unwrap_or_else(|| self.events.subscribe())
    }

    /// How things stand, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until everything sent has been read by the other side, tells it that this side is
    /// done, and hangs up.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if the other side has not read everything; the peer's end, before that.
    pub async fn close(self) -> Result<(), Error> {
        let _ = self.commands.send(Command::Close).await;
        self.ended().await
    }

    /// Waits for the end and says why; asked again, it says the same. Channels hear this reason, too.
    ///
    /// # Errors
    /// Every end but that of a [`Peer::close`], this side's or the other's.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.clone().unwrap_or(Err(Error::Gone)),
            // The runtime was shut down, and the driver with it.
            Err(_) => Err(Error::Gone),
        }
    }

    fn channel(&self, name: String, hold: Hold) -> Channel {
        Channel::new(name, hold, self.commands.clone(), self.max_message)
    }
}

/// Commands wait here for the driver; senders wait when it is full.
const COMMANDS: usize = 64;

/// Channels that the application has not accepted yet; more are refused.
const INCOMING: usize = 64;

/// Events that a slow subscriber may fall behind.
const EVENTS: usize = 64;
