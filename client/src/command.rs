//! What handles ask of the driver, and how they wait for its answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel::{ChannelId, Chunk, Priority, ResetCode};
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// What a handle asks of the driver.
pub(crate) enum Command {
    Open(String, Priority, Reply<Hold>),
    /// Sends as soon as there is room.
    Send(ChannelId, Chunk, Reply<()>),
    /// Sends if there is room now.
    TrySend(ChannelId, Chunk, Reply<()>),
    SendDatagram(ChannelId, Bytes, Reply<()>),
    Read(ChannelId, Reply<Option<Chunk>>),
    ReadDatagram(ChannelId, Reply<Bytes>),
    Finish(ChannelId, Reply<()>),
    Flushed(ChannelId, Reply<()>),
    Reset(ChannelId, ResetCode, Reply<()>),
    Ping(Reply<Duration>),
    Wake,
    Upgrade(Reply<bool>),
    Close,
    /// Hang up at once.
    HangUp,
}

/// Where the driver puts the answer to a command.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Where a handle waits for that answer.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, Error>>;

/// The id of a channel at the driver, which keeps the channel until the last clone of this is dropped.
/// A caller that gives up before it hears of its channel drops it thereby.
#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) id: ChannelId,
    /// The driver has the other end, which resolves when this one goes.
    _held: Arc<oneshot::Sender<()>>,
}

/// A channel that the other side opened.
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) hold: Hold,
}

impl Hold {
    /// A hold on a channel, and what fails once the last clone of the hold was dropped.
    pub(crate) fn new(id: ChannelId) -> (Self, oneshot::Receiver<()>) {
        let (held, released) = oneshot::channel();
        let hold = Self {
            id,
            _held: Arc::new(held),
        };
        (hold, released)
    }
}

/// Sends the driver a command and waits for its answer.
pub(crate) async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    commands
        .send(command(reply))
        .await
        .map_err(|_| Error::Gone)?;
    answer.await.unwrap_or(Err(Error::Gone))
}

/// Sends the driver a command unless an earlier one is still unanswered, and waits for the answer.
/// The answer stays in `waiting`, so that a cancelled call loses nothing.
pub(crate) async fn ask_again<T>(
    commands: &mpsc::Sender<Command>,
    waiting: &mut Option<Answer<T>>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Error> {
    let answer = match waiting {
        Some(answer) => answer,
        None => {
            let permit = commands.reserve().await.map_err(|_| Error::Gone)?;
            let (reply, answer) = oneshot::channel();
            permit.send(command(reply));
            waiting.insert(answer)
        }
    };
    let result = answer.await;
    *waiting = None;
    result.unwrap_or(Err(Error::Gone))
}
