//! `peersox send` and `peersox receive`: the shell around [`peersox_core::transfer`].
//!
//! The sender opens the channel, the receiver accepts it. Every message is binary. The machines of the
//! core say what to read, write and answer; here it is done.
//!
//! Either process may be killed and started again: with a saved device the one that stayed notices,
//! offers or waits anew, and the transfer goes on behind what is on the disk already.

mod consent;
mod receiving;
mod sending;
mod sink;
mod source;

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use peersox_client::Message;
use peersox_core::transfer::{self, Action, CancelCode, Error, Offer};
use serde_json::json;

use crate::failure::Failure;
use crate::share::{Peer, Receiver, Sender};
use crate::terminal::Voice;

pub(crate) use receiving::receive;
pub(crate) use sending::send;

/// A transfer that both sides ended in good order, and what is to be said of it.
struct Ended {
    sender: Sender,
    receiver: Receiver,
    /// An error if single files are missing.
    verdict: anyhow::Result<()>,
}

/// Parts from the other side: in good order if all went well, else after it could hear why.
async fn conclude(peer: Peer, outcome: Result<Ended, Broken>) -> anyhow::Result<()> {
    let Ended {
        sender,
        mut receiver,
        verdict,
    } = match outcome {
        Ok(ended) => ended,
        Err(Broken { error, halves }) => {
            if let Some((sender, mut receiver)) = halves {
                part(peer, &sender, &mut receiver).await;
            }
            return Err(error);
        }
    };
    let _ = sender.finish().await;
    // A peer parts well if all was read, the end of the other side's messages included.
    let _ = tokio::time::timeout(PATIENCE, receiver.recv()).await;
    drop((sender, receiver));
    verdict.and(Ok(peer.close().await?))
}

/// What a transfer leaves behind when it breaks off.
struct Broken {
    error: anyhow::Error,
    /// The channel, if the other side may still listen to it.
    halves: Option<(Sender, Receiver)>,
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self {
            error,
            halves: None,
        }
    }
}

/// Whether a transfer broke because the other side is a new process now.
fn restarted(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(peersox_client::Error::PeerRestarted)
    )
}

/// Ends after a failure. What still comes is read and dropped: the other side may wait for room
/// before it hears of the failure, and this side's last words count as read only then.
async fn part(peer: Peer, sender: &Sender, receiver: &mut Receiver) {
    let parting = async {
        if sender.finish().await.is_ok() {
            while let Ok(Some(_)) = receiver.recv().await {}
            let _ = sender.flushed().await;
        }
        let _ = peer.close().await;
    };
    // A peer that is gone or does not play along is not waited for.
    let _ = tokio::time::timeout(PATIENCE, parting).await;
}

/// Tells the other side why it ends here, if it is this side that ends it.
async fn say_last_words(machine: &mut transfer::Sender, sender: &Sender) {
    while let Action::Send(message) = machine.poll() {
        // The other side stops reading only if it ends the transfer, too.
        let sent = sender.send(Message::Binary(message));
        if !matches!(tokio::time::timeout(PATIENCE, sent).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The next message of the other side.
async fn next(receiver: &mut Receiver) -> anyhow::Result<Bytes> {
    match receiver
        .recv()
        .await
        .context("the transfer was broken off")?
    {
        Some(Message::Binary(bytes)) => Ok(bytes),
        Some(Message::Text(_)) => {
            anyhow::bail!("the other side sent text where a transfer belongs")
        }
        None => Err(Failure::Declined("the other side broke off the transfer".into()).into()),
    }
}

/// A message of the other side, if one is there already.
fn ready(receiver: &mut Receiver) -> anyhow::Result<Option<Bytes>> {
    let next = pin!(next(receiver));
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message.map(Some),
        Poll::Pending => Ok(None),
    }
}

/// Says that the other side has paused, or goes on.
fn tell_paused(paused: bool, voice: Voice) {
    let sentence = match paused {
        true => "the other side has paused",
        false => "the other side goes on",
    };
    voice.say(
        sentence,
        &json!({"event": "paused_there", "paused": paused}),
    );
}

fn name(offer: &Offer, entry: Option<u32>) -> &str {
    entry
        .and_then(|entry| offer.entry(entry))
        .map_or("", |entry| entry.path.name())
}

/// What this device is called, for the person at the other one.
fn device() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name == "localhost" {
        String::new()
    } else {
        name
    }
}

/// How long a failed transfer waits for the other side to hear of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Chooses the exit code of a transfer's end.
fn failure(error: Error, offer: &Offer) -> anyhow::Error {
    let of = |entry| name(offer, Some(entry)).to_owned();
    match error {
        Error::Declined { .. }
        | Error::Cancelled {
            code: CancelCode::Interrupted,
            ..
        } => Failure::Declined(error.to_string()).into(),
        Error::Cancelled {
            code: CancelCode::HashMismatch,
            ..
        } => Failure::Corrupt(error.to_string()).into(),
        Error::Cancelled { .. } => Failure::Declined(error.to_string()).into(),
        Error::Mismatch { entry } => Failure::Corrupt(format!("{}: {error}", of(entry))).into(),
        Error::SourceEnded { entry } => Failure::File(format!("{}: {error}", of(entry))).into(),
        Error::Peer(_) | Error::OutOfTurn(_) => error.into(),
    }
}
