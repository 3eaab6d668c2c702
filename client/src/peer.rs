//! One endpoint of a pairing at work.

use std::time::Duration;

use peersox_core::channel::{self, Priority};
use peersox_core::code::Code;
use peersox_core::secure::{PairingSecret, Sas};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::Error;
use crate::attach::{self, Choice};
use crate::channel::{Channel, ask};
use crate::driver::{Command, Driver, Outlets, Verdict};
use crate::platform::Transport;
use crate::server::{Pairing, Server};

/// How a peer behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which transports to use for the leg to the relay.
    pub transport: Choice,
    /// For how long to go on trying when the relay or the server cannot be reached.
    pub patience: Duration,
    /// The longest message that [`Receiver::recv`](crate::Receiver::recv) collects, in bytes.
    pub max_message: usize,
    /// After how long on a WebSocket QUIC is tried again, doubled with each failure up to ten
    /// minutes; with [`Choice::Auto`] only.
    pub upgrade_after: Duration,
    /// Windows and sizes of the channel layer.
    pub channels: channel::Config,
}

/// What this side of a pairing proves itself with. The server sees neither.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The whole code, as it is shown or was typed. One code makes one [`Peer`], ever.
    Code(Code),
    /// What an earlier code brought: [`Secured::secret`].
    Secret(PairingSecret),
}

/// What the two peers have agreed on.
#[derive(Clone, Debug)]
pub struct Secured {
    /// With it and the [`Pairing`] either peer comes back without a code. To be stored as a secret.
    pub secret: PairingSecret,
    /// Three words. If both peers show the same, nobody sits in between.
    pub phrase: Sas,
    /// What the other peer says its software is.
    pub agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: Choice::Auto,
            patience: Duration::from_secs(600),
            max_message: 64 << 20,
            upgrade_after: Duration::from_secs(30),
            channels: channel::Config::default(),
        }
    }
}

/// What happens to a peer, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leg to the relay was admitted.
    Attached {
        /// Over which transport.
        transport: Transport,
        /// Whether it takes the place of an earlier leg of a living session.
        resumed: bool,
    },
    /// The leg was lost; another is being sought.
    LegLost {
        /// What the transport or the relay said.
        why: String,
    },
    /// The other peer is attached to the relay.
    PeerOnline,
    /// The other peer's leg was lost; the relay waits for it.
    PeerAway {
        /// For how long.
        grace: Duration,
    },
    /// The peers have agreed on keys. From now on the pairing can be restored without its code.
    Secured {
        /// Three words for people to compare.
        phrase: Sas,
    },
    /// Messages flow: for the first time, or again, with nothing lost in between.
    Connected,
    /// The other peer is another process than before; channels are gone.
    PeerRestarted,
    /// The relay is about to stop; another leg is being sought.
    Draining,
    /// The relay dropped datagrams that were on their way here.
    DatagramsDropped(u64),
}

/// Where the other peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Not attached, as far as is known.
    #[default]
    Absent,
    /// Attached.
    Online,
    /// Its leg was lost and the relay waits for it.
    Away,
}

/// How things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The transport of the leg, if there is one.
    pub leg: Option<Transport>,
    /// Where the other peer is.
    pub presence: Presence,
    /// Whether messages flow.
    pub connected: bool,
    /// The time to the relay and back, once measured.
    pub relay_rtt: Option<Duration>,
}

/// One endpoint of a pairing at work. Dropping it and its channels hangs up at once; [`Peer::close`]
/// does so in good order.
#[derive(Debug)]
pub struct Peer {
    commands: mpsc::Sender<Command>,
    incoming: mpsc::Receiver<Channel>,
    events: broadcast::Sender<Event>,
    /// What happened from the first moment on, until somebody asks for it.
    early: Option<broadcast::Receiver<Event>>,
    status: watch::Receiver<Status>,
    secured: watch::Receiver<Option<Secured>>,
    /// `None` once its end was told.
    end: Option<oneshot::Receiver<Verdict>>,
    /// Whether that was a farewell in good order.
    ended_well: bool,
}

impl Peer {
    /// Attaches to the relay. Returns once this side is there, whether or not the other one is.
    /// Whatever the two exchange from then on is sealed with keys that follow from `proof`.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server or the relay. This first
    /// time nothing is tried again; later, `options.patience` holds.
    pub async fn attach(
        server: Server,
        pairing: Pairing,
        proof: Proof,
        options: Options,
    ) -> Result<Self, Error> {
        let choice = options.transport;
        let attached = attach::attach(&server, &pairing, choice, None).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (offers, incoming) = mpsc::channel(INCOMING);
        let (events, early) = broadcast::channel(EVENTS);
        let (status_sender, status) = watch::channel(Status::default());
        let (secured_sender, secured) = watch::channel(None);
        let outlets = Outlets {
            offers,
            events: events.clone(),
            status: status_sender,
            secured: secured_sender,
        };
        let weak = commands.downgrade();
        let driver = Driver::new(server, pairing, &proof, &options, weak, outlets);
        let (ended, end) = oneshot::channel();
        tokio::spawn(driver.run(inbox, attached, ended));
        Ok(Self {
            commands,
            incoming,
            events,
            early: Some(early),
            status,
            secured,
            end: Some(end),
            ended_well: false,
        })
    }

    /// Waits until messages flow.
    ///
    /// # Errors
    /// The peer's end, before that.
    pub async fn connected(&mut self) -> Result<(), Error> {
        let mut status = self.status.clone();
        let connected = async {
            if status.wait_for(|status| status.connected).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = connected => Ok(()),
            ended = self.ended() => ended.and(Err(Error::PeerDone)),
        }
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
    /// A name that is empty or too long, too many channels; the peer's end.
    pub async fn open(&self, name: &str, priority: Priority) -> Result<Channel, Error> {
        ask(&self.commands, |reply| Command::Open {
            name: name.to_owned(),
            priority,
            reply,
        })
        .await
    }

    /// The next channel that the other side opens; `None` when this peer has ended.
    pub async fn accept(&mut self) -> Option<Channel> {
        self.incoming.recv().await
    }

    /// Measures the time to the other peer and back, through everything in between.
    ///
    /// # Errors
    /// The peer's end.
    pub async fn ping(&self) -> Result<Duration, Error> {
        ask(&self.commands, |reply| Command::Ping { reply }).await
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
    /// The peer's end, before that.
    pub async fn close(mut self) -> Result<(), Error> {
        let _ = self.commands.send(Command::Close).await;
        self.ended().await
    }

    /// Waits for the end and says why. Asked again after a failure, it says [`Error::Gone`].
    ///
    /// # Errors
    /// Every end but that of a [`Peer::close`], this side's or the other's.
    pub async fn ended(&mut self) -> Result<(), Error> {
        let Some(waiting) = &mut self.end else {
            return if self.ended_well {
                Ok(())
            } else {
                Err(Error::Gone)
            };
        };
        let end = waiting.await.unwrap_or(Err(Error::Gone));
        self.end = None;
        self.ended_well = end.is_ok();
        end
    }
}

/// Commands wait here for the driver; senders wait when it is full.
const COMMANDS: usize = 64;

/// Channels that the application has not accepted yet; more are refused.
const INCOMING: usize = 64;

/// Events that a slow subscriber may fall behind.
const EVENTS: usize = 64;
