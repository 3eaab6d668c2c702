//! One pairing for several commands at a time: `forward --with laptop` goes on while `send --to laptop`
//! sends.
//!
//! A pairing has one leg per device. The first command that needs a saved device starts a holder, `peersox
//! hold NAME`, which attaches, and every command over this device, the first included, is its guest:
//!
//! ```text
//! peersox forward --with laptop ──┐
//! peersox send --to laptop ───────┼─ Unix socket (0600) ─► peersox hold laptop ═══ relay ═══ laptop
//! peersox receive --from laptop ──┘        share/wire          share/owner
//!      share/guest
//! ```
//!
//! A guest that ends, or is killed, takes its own channels along and no other. The holder ends with its last
//! guest. If the holder is killed, the first guest that notices starts another. The keys died with the first
//! one, and the channels, too; transfers resume by themselves, and what is [lasting], forwarded
//! connections and pipes, goes on over other channels.
//!
//! A pairing by a code lives as long as its one command, and has no holder.

pub(crate) mod guest;
mod lasting;
mod lent;
pub(crate) mod owner;
mod place;
mod pump;
mod wire;

pub(crate) use pump::Permit;
pub(crate) use wire::{hear, tell};

use std::time::Duration;

use peersox_client::{Chunk, Error, Message, Priority, ResetCode, Secured, Status};
use peersox_core::channel::Assembler;
use tokio::sync::watch;

use crate::fit;

/// A peer that this process holds, or that a holder lends.
pub(crate) enum Peer {
    Own(peersox_client::Peer),
    Lent(guest::Peer),
}

/// A channel of one of the two.
pub(crate) struct Channel {
    name: String,
    sender: Sender,
    receiver: Receiver,
}

/// The sending half.
pub(crate) enum Sender {
    Own(peersox_client::Sender),
    Lent(lent::Sender),
    Lasting(pump::Sender),
}

/// The receiving half.
pub(crate) struct Receiver {
    half: Half,
    assembler: Assembler,
}

enum Half {
    Own(peersox_client::Receiver),
    Lent(lent::Receiver),
    Lasting(pump::Receiver),
}

/// What the halves say is what those of `peersox_client` say. A channel whose partner's command was killed
/// ends with [`Error::PeerRestarted`], and so does one that is not lasting when its holder was killed.
impl Peer {
    pub(crate) async fn open(&self, name: &str, priority: Priority) -> Result<Channel, Error> {
        match self {
            Self::Own(peer) => Ok(Channel::own(peer.open(name, priority).await?)),
            Self::Lent(peer) => peer.open(name, priority).await,
        }
    }

    /// Begins to open a channel that goes on when the process that holds the pairing is killed, if the other
    /// side can. Fails only if the peer has ended.
    pub(crate) async fn open_lasting(
        &self,
        name: &'static str,
        priority: Priority,
    ) -> Result<Opening, Error> {
        Ok(match self {
            Self::Own(peer) => Opening::Done(Channel::own(peer.open(name, priority).await?)),
            Self::Lent(peer) => Opening::Lent(peer.lender(), name, priority),
        })
    }

    /// The next channel that the other side opens: of any name if the peer is this process's own, else of
    /// this name.
    pub(crate) async fn accept(&mut self, name: &str) -> Option<Channel> {
        match self {
            Self::Own(peer) => peer.accept().await.map(Channel::own),
            Self::Lent(peer) => peer.accept(name).await,
        }
    }

    pub(crate) async fn ping(&self) -> Result<Duration, Error> {
        match self {
            Self::Own(peer) => peer.ping().await,
            Self::Lent(peer) => peer.ping().await,
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::Own(peer) => peer.status(),
            Self::Lent(peer) => peer.status(),
        }
    }

    /// What was agreed on; a guest learns no secret.
    pub(crate) fn secured(&self) -> Option<Secured> {
        match self {
            Self::Own(peer) => peer.secured(),
            Self::Lent(_) => None,
        }
    }

    /// Whether the other side is known to be this program, or another one over the same library.
    pub(crate) fn is_program(&self) -> bool {
        fit::is_program(self.secured().as_ref())
    }

    pub(crate) async fn ended(&self) -> Result<(), Error> {
        match self {
            Self::Own(peer) => peer.ended().await,
            Self::Lent(peer) => peer.ended().await,
        }
    }

    /// Ends in good order. The other side hears that this device is done when its last command is.
    pub(crate) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Own(peer) => peer.close().await,
            Self::Lent(peer) => peer.close().await,
        }
    }
}

/// A channel that is being opened.
pub(crate) enum Opening {
    Done(Channel),
    Lent(guest::Lender, &'static str, Priority),
}

impl Opening {
    /// Returns once the other command has taken the channel, or refused it. The permit is kept until nothing
    /// more is to be said over a lasting channel.
    pub(crate) async fn done(self, permit: Option<Permit>) -> Result<Channel, Error> {
        match self {
            Self::Done(channel) => Ok(channel),
            Self::Lent(lender, name, priority) => lender.open_lasting(name, priority, permit).await,
        }
    }
}

impl Channel {
    fn own(channel: peersox_client::Channel) -> Self {
        let name = channel.name().to_owned();
        let (sender, receiver) = channel.split();
        Self {
            name,
            sender: Sender::Own(sender),
            receiver: Receiver::new(Half::Own(receiver)),
        }
    }

    fn lent(name: &str, (sender, receiver): (lent::Sender, lent::Receiver)) -> Self {
        Self {
            name: name.to_owned(),
            sender: Sender::Lent(sender),
            receiver: Receiver::new(Half::Lent(receiver)),
        }
    }

    fn lasting(name: &str, (sender, receiver): (pump::Sender, pump::Receiver)) -> Self {
        Self {
            name: name.to_owned(),
            sender: Sender::Lasting(sender),
            receiver: Receiver::new(Half::Lasting(receiver)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl Sender {
    pub(crate) async fn send(&self, message: Message) -> Result<(), Error> {
        match self {
            Self::Own(sender) => sender.send(message).await,
            Self::Lent(sender) => sender.send_chunk(message.into_chunk()).await,
            Self::Lasting(sender) => sender.send_chunk(message.into_chunk()).await,
        }
    }

    pub(crate) async fn send_chunk(&self, chunk: Chunk) -> Result<(), Error> {
        match self {
            Self::Own(sender) => sender.send_chunk(chunk).await,
            Self::Lent(sender) => sender.send_chunk(chunk).await,
            Self::Lasting(sender) => sender.send_chunk(chunk).await,
        }
    }

    pub(crate) async fn finish(&self) -> Result<(), Error> {
        match self {
            Self::Own(sender) => sender.finish().await,
            Self::Lent(sender) => sender.finish().await,
            Self::Lasting(sender) => sender.finish().await,
        }
    }

    pub(crate) async fn flushed(&self) -> Result<(), Error> {
        match self {
            Self::Own(sender) => sender.flushed().await,
            Self::Lent(sender) => sender.flushed().await,
            Self::Lasting(sender) => sender.flushed().await,
        }
    }

    pub(crate) async fn reset(&self, code: ResetCode) -> Result<(), Error> {
        match self {
            Self::Own(sender) => sender.reset(code).await,
            Self::Lent(sender) => sender.reset(code).await,
            Self::Lasting(sender) => sender.reset(code).await,
        }
    }
}

impl Receiver {
    fn new(half: Half) -> Self {
        Self {
            half,
            assembler: Assembler::new(MAX_MESSAGE),
        }
    }

    pub(crate) async fn recv(&mut self) -> Result<Option<Message>, Error> {
        while let Some(chunk) = self.recv_chunk().await? {
            if let Some(message) = self.assembler.push(chunk)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    pub(crate) async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        match &mut self.half {
            Half::Own(receiver) => receiver.recv_chunk().await.map_err(back),
            Half::Lent(receiver) => receiver.recv_chunk().await.map_err(back),
            Half::Lasting(receiver) => receiver.recv_chunk().await,
        }
    }
}

/// A command over there that was killed is like a peer that was restarted: it may be started again.
fn back(error: Error) -> Error {
    match error {
        Error::Reset { code, .. } if code == wire::GUEST_KILLED => Error::PeerRestarted,
        other => other,
    }
}

/// The longest message that [`Receiver::recv`] collects, in bytes, as in `peersox_client`.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;
