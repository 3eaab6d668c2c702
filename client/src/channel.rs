//! Handles of one channel. They hold no data: everything they say and hear is the driver's.

use bytes::Bytes;
use peersox_core::channel::{Assembler, Chunk, Message, ResetCode};
use tokio::sync::mpsc;

use crate::Error;
use crate::command::{Answer, Command, Hold, ask, ask_again};

/// One named, ordered, lossless stream of messages in each direction.
///
/// Dropping both halves of a channel whose two directions are not finished resets it. What was sent before
/// [`Sender::finish`] still arrives, unless the other side reads nothing before it has sent a window's worth.
///
/// A call on a channel that has ended says why: [`Error::Reset`] if one of the two sides reset this
/// channel, [`Error::PeerRestarted`] if the other side lost all of its channels, else what
/// [`Peer::ended`](crate::Peer::ended) says of the peer. A peer that ended in good order is
/// [`Error::PeerDone`] if the other side closed it and [`Error::Gone`] if this side did.
pub struct Channel {
    sender: Sender,
    receiver: Receiver,
}

/// The sending half of a [`Channel`].
pub struct Sender {
    hold: Hold,
    commands: mpsc::Sender<Command>,
}

/// The receiving half of a [`Channel`].
pub struct Receiver {
    hold: Hold,
    name: String,
    commands: mpsc::Sender<Command>,
    assembler: Assembler,
    /// A read under way: kept here, so that a cancelled call loses nothing.
    reading: Option<Answer<Option<Chunk>>>,
    reading_datagram: Option<Answer<Bytes>>,
}

impl Channel {
    pub(crate) fn new(
        name: String,
        hold: Hold,
        commands: mpsc::Sender<Command>,
        max_message: usize,
    ) -> Self {
        let sender = Sender {
            hold: hold.clone(),
            commands: commands.clone(),
        };
        let receiver = Receiver {
            hold,
            name,
            commands,
            assembler: Assembler::new(max_message),
            reading: None,
            reading_datagram: None,
        };
        Self { sender, receiver }
    }

    /// The name it was opened with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.receiver.name
    }

    /// Splits it, so that one task can send while another receives.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// As [`Sender::try_send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub async fn try_send(&self, message: Message) -> Result<(), Error> {
        self.sender.try_send(message).await
    }

    /// As [`Receiver::recv`].
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.receiver.recv().await
    }

    /// As [`Sender::finish`].
    ///
    /// # Errors
    /// As [`Sender::finish`].
    pub async fn finish(&self) -> Result<(), Error> {
        self.sender.finish().await
    }

    /// As [`Sender::send_datagram`].
    ///
    /// # Errors
    /// As [`Sender::send_datagram`].
    pub async fn send_datagram(&self, datagram: Bytes) -> Result<(), Error> {
        self.sender.send_datagram(datagram).await
    }

    /// As [`Receiver::recv_datagram`].
    ///
    /// # Errors
    /// As [`Receiver::recv_datagram`].
    pub async fn recv_datagram(&mut self) -> Result<Bytes, Error> {
        self.receiver.recv_datagram().await
    }
}

impl Sender {
    /// Sends a message. Returns when it was accepted into the window, which is when it will arrive
    /// unless one of the two peers ends; waits while the window is full. Giving up the wait sends
    /// nothing.
    ///
    /// # Errors
    /// The channel's or the peer's end.
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        self.send_chunk(message.into_chunk()).await
    }

    /// Sends a piece of a message, as [`Sender::send`]. The message ends with the chunk that says
    /// so.
    ///
    /// # Errors
    /// The channel's or the peer's end.
    pub async fn send_chunk(&self, chunk: Chunk) -> Result<(), Error> {
        ask(&self.commands, |reply| {
            Command::Send(self.hold.id, chunk, reply)
        })
        .await
    }

    /// Sends a message as [`Sender::send`], and does not wait for the other side.
    ///
    /// # Errors
    /// [`Error::Full`] if the window is full, or others wait for it already; then nothing was sent.
    /// The channel's or the peer's end.
    pub async fn try_send(&self, message: Message) -> Result<(), Error> {
        let chunk = message.into_chunk();
        ask(&self.commands, |reply| {
            Command::TrySend(self.hold.id, chunk, reply)
        })
        .await
    }

    /// Sends a datagram: unordered, and lost rather than late.
    ///
    /// # Errors
    /// [`Error::DatagramTooLarge`]; the channel's or the peer's end.
    pub async fn send_datagram(&self, datagram: Bytes) -> Result<(), Error> {
        let id = self.hold.id;
        ask(&self.commands, |reply| {
            Command::SendDatagram(id, datagram, reply)
        })
        .await
    }

    /// Ends this direction in good order; the other one goes on. Nothing can be sent afterwards.
    ///
    /// # Errors
    /// The channel's or the peer's end.
    pub async fn finish(&self) -> Result<(), Error> {
        ask(&self.commands, |reply| Command::Finish(self.hold.id, reply)).await
    }

    /// Waits, after [`Sender::finish`], until the other side has read everything.
    ///
    /// # Errors
    /// The channel's or the peer's end, before that.
    pub async fn flushed(&self) -> Result<(), Error> {
        ask(&self.commands, |reply| {
            Command::Flushed(self.hold.id, reply)
        })
        .await
    }

    /// Ends both directions at once and tells the other side why.
    ///
    /// # Errors
    /// The peer's end.
    pub async fn reset(&self, code: ResetCode) -> Result<(), Error> {
        ask(&self.commands, |reply| {
            Command::Reset(self.hold.id, code, reply)
        })
        .await
    }
}

impl Receiver {
    /// The next message; `None` when the other side has finished. Cancelling the call loses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a message that is longer than
    /// [`Options::max_message`](crate::Options::max_message) or is text but not UTF-8; the channel's
    /// or the peer's end.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        loop {
            let Some(chunk) = self.recv_chunk().await? else {
                return Ok(None);
            };
            match self.assembler.push(chunk) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(unfit) => return Err(unfit.into()),
            }
        }
    }

    /// The next piece of a message, however long the message is; `None` when the other side has
    /// finished. Cancelling the call loses nothing.
    ///
    /// # Errors
    /// The channel's or the peer's end.
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let read = |reply| Command::Read(self.hold.id, reply);
        ask_again(&self.commands, &mut self.reading, read).await
    }

    /// The next datagram of this channel. Cancelling the call loses nothing.
    ///
    /// # Errors
    /// The channel's or the peer's end.
    pub async fn recv_datagram(&mut self) -> Result<Bytes, Error> {
        let read = |reply| Command::ReadDatagram(self.hold.id, reply);
        ask_again(&self.commands, &mut self.reading_datagram, read).await
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Receiver { name, hold, .. } = &self.receiver;
        write!(f, "Channel({name:?}, {:?})", hold.id)
    }
}
