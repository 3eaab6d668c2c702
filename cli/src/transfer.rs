//! `peersox send` and `peersox receive`: the shell around [`peersox_core::transfer`].
//!
//! The initiator of the pairing sends; it opens the channel, the joiner accepts it. Every message
//! is binary. The machines of the core say what to read, write and answer; here it is done.

mod sink;
mod source;

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use peersox_client::{Message, Peer, Receiver, Sender};
use peersox_core::channel::Priority;
use peersox_core::transfer::{
    self, Action, CHANNEL, CancelCode, DeclineReason, Error, Event, Limits, Offer,
};
use serde_json::json;

use crate::args::{Receive, Send};
use crate::connect::accept;
use crate::failure::Failure;
use crate::meet;
use crate::progress::Progress;
use crate::terminal::{Voice, ask};
use sink::Sink;
use source::Source;

/// `peersox send`.
pub(crate) async fn send(args: Send) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let mut source = Source::gather(&args.paths, |skipped| {
        voice.say(skipped, &json!({"event": "skipped", "what": skipped}));
    })?;
    describe(source.offer(), voice);

    let peer = meet::initiate(&args.remote, &args.code, "receive", voice).await?;
    let channel = peer.open(CHANNEL, Priority::Bulk).await?;
    let total = source.offer().total_bytes();
    let mut progress = Progress::begin(voice, total, peer.status());
    let (sender, mut receiver) = channel.split();
    let sent = send_over(&sender, &mut receiver, &mut source, &mut progress).await;
    match sent {
        Ok(at) => progress.end(&at, "sent"),
        Err(error) => {
            progress.abandon();
            part(peer, &sender, &mut receiver).await;
            return Err(error);
        }
    }
    // A peer parts well if all was read, the end of the other side's messages included.
    let _ = sender.finish().await;
    let _ = tokio::time::timeout(PATIENCE, receiver.recv()).await;
    drop((sender, receiver));
    Ok(peer.close().await?)
}

/// `peersox receive`.
pub(crate) async fn receive(args: Receive) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let mut peer = meet::join(&args.remote, &args.code, voice).await?;
    let channel = accept(&mut peer, CHANNEL).await?;
    let (sender, mut receiver) = channel.split();
    let mut machine = transfer::Receiver::new(Limits::default());

    let status = peer.status();
    let result = receive_over(&args, voice, &mut machine, &sender, &mut receiver, status).await;
    // The last word goes out whether it is thanks or an apology.
    while let Some(message) = machine.poll_message() {
        if sender.send(Message::Binary(message)).await.is_err() {
            break;
        }
    }
    if result.is_err() {
        part(peer, &sender, &mut receiver).await;
        return result;
    }
    let _ = sender.finish().await;
    // A peer parts well if all was read, the end of the other side's messages included.
    let _ = tokio::time::timeout(PATIENCE, receiver.recv()).await;
    drop((sender, receiver));
    Ok(peer.close().await?)
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

async fn send_over(
    sender: &Sender,
    receiver: &mut Receiver,
    source: &mut Source,
    progress: &mut Progress,
) -> anyhow::Result<transfer::Progress> {
    let mut machine = transfer::Sender::new(source.offer().clone());
    loop {
        let step = match machine.poll() {
            // A receiver that gives up stops reading, and then this waits for room that never comes:
            // what the receiver says goes first.
            Action::Send(message) => tokio::select! {
                biased;
                said = next(receiver) => machine.handle(said?),
                sent = sender.send(Message::Binary(message)) => match sent {
                    Ok(()) => Ok(()),
                    // It may have said why before it went.
                    Err(error) => match ready(receiver) {
                        Ok(Some(said)) => machine.handle(said),
                        Ok(None) | Err(_) => return Err(error.into()),
                    },
                },
            },
            Action::Read { entry, offset, max } => match source.read(entry, offset, max) {
                Ok(bytes) => machine.feed(bytes),
                Err(failure) => {
                    machine.cancel(CancelCode::SourceFailed, "a file cannot be read");
                    say_last_words(&mut machine, sender).await;
                    return Err(failure);
                }
            },
            Action::Wait => machine.handle(next(receiver).await?),
            Action::Finished => return Ok(machine.progress()),
        };
        if let Err(error) = step {
            say_last_words(&mut machine, sender).await;
            return Err(failure(error, source.offer()));
        }
        let at = machine.progress();
        progress.show(&at, name(source.offer(), at.entry));
    }
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

async fn receive_over(
    args: &Receive,
    voice: Voice,
    machine: &mut transfer::Receiver,
    sender: &Sender,
    receiver: &mut Receiver,
    status: tokio::sync::watch::Receiver<peersox_client::Status>,
) -> anyhow::Result<()> {
    let mut storing: Option<(Sink, Offer, Progress)> = None;
    loop {
        while let Some(message) = machine.poll_message() {
            sender.send(Message::Binary(message)).await?;
        }
        if machine.is_over() {
            break;
        }
        let event = match machine.handle(next(receiver).await?) {
            Ok(event) => event,
            Err(error) => return Err(no_offer_or(error, storing.as_ref().map(|it| &it.1))),
        };
        let stored = match (event, &mut storing) {
            (Event::Nothing, _) => Ok(()),
            (Event::Offered, _) => {
                let Some(offer) = machine.offer().cloned() else {
                    continue;
                };
                describe(&offer, voice);
                if !args.yes && !ask("accept?", voice).await {
                    machine.decline(DeclineReason::Refused, "");
                    return Err(Failure::Declined("declined".into()).into());
                }
                match Sink::open(&args.output, &offer, args.overwrite) {
                    Ok((sink, choices)) => {
                        let progress = Progress::begin(voice, offer.total_bytes(), status.clone());
                        machine.accept(choices)?;
                        storing = Some((sink, offer, progress));
                        Ok(())
                    }
                    Err(error) => {
                        machine.decline(DeclineReason::Other, "the files cannot be stored there");
                        return Err(error);
                    }
                }
            }
            (
                Event::Write {
                    entry,
                    offset,
                    bytes,
                },
                Some((sink, _, _)),
            ) => sink.write(entry, offset, &bytes),
            (Event::Finish { entry, size }, Some((sink, _, _))) => sink.finish(entry, size),
            (Event::Store, Some((sink, offer, _))) => match sink.store(offer, voice) {
                Ok(()) => Ok(machine.stored()?),
                Err(error) => Err(error),
            },
            (Event::Write { .. } | Event::Finish { .. } | Event::Store, None) => {
                anyhow::bail!("a file came before the offer was accepted: a defect of this program")
            }
        };
        if let Err(error) = stored {
            if let Some((_, _, progress)) = &storing {
                progress.abandon();
            }
            machine.cancel(CancelCode::SinkFailed, "a file cannot be stored");
            return Err(error);
        }
        if let Some((_, offer, progress)) = &mut storing {
            let at = machine.progress();
            progress.show(&at, name(offer, at.entry));
        }
    }
    if let Some((_, _, progress)) = storing {
        progress.end(&machine.progress(), "received");
    }
    Ok(())
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

fn describe(offer: &Offer, voice: Voice) {
    let files = offer.files_from(0).count();
    let first = offer
        .entries()
        .first()
        .map_or("", |entry| entry.path.root());
    let size = offer
        .total_bytes()
        .map_or("of unknown size".to_owned(), |bytes| {
            indicatif::HumanBytes(bytes).to_string()
        });
    let what = match files {
        1 => first.to_owned(),
        files => format!("{first} … ({files} files)"),
    };
    voice.say(
        &format!("{what}, {size}"),
        &json!({"event": "offer", "files": files, "bytes": offer.total_bytes(), "first": first}),
    );
}

fn name(offer: &Offer, entry: Option<u32>) -> &str {
    entry
        .and_then(|entry| offer.entry(entry))
        .map_or("", |entry| entry.path.name())
}

fn no_offer_or(error: Error, offer: Option<&Offer>) -> anyhow::Error {
    match offer {
        Some(offer) => failure(error, offer),
        None => Failure::Declined(error.to_string()).into(),
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
