//! `peersox send` and `peersox receive`: the shell around [`peersox_core::transfer`].
//!
//! The sender opens the channel, the receiver accepts it. Every message is binary. The machines of the
//! core say what to read, write and answer; here it is done.
//!
//! Either process may be killed and started again: with a saved device the one that stayed notices,
//! offers or waits anew, and the transfer goes on behind what is on the disk already.

mod sink;
mod source;

use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use peersox_client::Message;
use peersox_core::channel::Priority;
use peersox_core::transfer::{
    self, Action, CHANNEL, CancelCode, DeclineReason, Error, Event, Limits, Offer, TransferId,
};
use serde_json::json;

use crate::args::{NewCode, Receive, Send};
use crate::connect::accept;
use crate::failure::Failure;
use crate::meet::{self, Way};
use crate::progress::Progress;
use crate::share::{Peer, Receiver, Sender};
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

    let way = Way::of(&[], &args.code, args.to.as_ref());
    let peer = meet::meet(&args.remote, way, "receive", voice).await?.peer;
    let absent = meet::absent(peer.status(), args.remote.wait);
    let sent = tokio::select! {
        sent = offer_until_sent(&peer, &mut source, voice) => sent,
        gone = absent => Err(gone.into()),
    };
    conclude(peer, sent).await
}

/// Parts from the other side: in good order if all went well, else after it could hear why.
async fn conclude(peer: Peer, outcome: Result<(Sender, Receiver), Broken>) -> anyhow::Result<()> {
    let (sender, mut receiver) = match outcome {
        Ok(halves) => halves,
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
    Ok(peer.close().await?)
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

/// Offers the files, and offers them again to a receiver that was restarted: it knows by the id of
/// the transfer what it holds already.
async fn offer_until_sent(
    peer: &Peer,
    source: &mut Source,
    voice: Voice,
) -> Result<(Sender, Receiver), Broken> {
    loop {
        let channel = peer.open(CHANNEL, Priority::Bulk).await;
        let (sender, mut receiver) = channel.map_err(anyhow::Error::from)?.split();
        let total = source.offer().total_bytes();
        let mut progress = Progress::begin(voice, total, peer.status());
        match send_over(&sender, &mut receiver, source, &mut progress).await {
            Ok(at) => {
                progress.end(&at, "sent");
                return Ok((sender, receiver));
            }
            Err(error) if restarted(&error) && source.can_be_read_again() => {
                progress.abandon();
                voice.say("offering it again", &json!({"event": "offered_again"}));
            }
            Err(error) => {
                progress.abandon();
                let halves = Some((sender, receiver));
                return Err(Broken { error, halves });
            }
        }
    }
}

/// `peersox receive`.
pub(crate) async fn receive(args: Receive) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let no_code = NewCode { words: 0 };
    let way = Way::of(&args.code, &no_code, args.from.as_ref());
    let mut peer = meet::meet(&args.remote, way, "send", voice).await?.peer;
    let absent = meet::absent(peer.status(), args.remote.wait);
    let received = tokio::select! {
        received = accept_until_received(&args, &mut peer, voice) => received,
        gone = absent => Err(gone.into()),
    };
    conclude(peer, received).await
}

/// Takes the offer, and takes it again from a sender that was restarted.
async fn accept_until_received(
    args: &Receive,
    peer: &mut Peer,
    voice: Voice,
) -> Result<(Sender, Receiver), Broken> {
    let mut agreed = None;
    loop {
        let (sender, mut receiver) = accept(peer, CHANNEL).await?.split();
        let mut machine = transfer::Receiver::new(Limits::default());
        let mut desk = Desk {
            args,
            voice,
            status: peer.status(),
            agreed: &mut agreed,
        };
        let result = receive_over(&mut desk, &mut machine, &sender, &mut receiver).await;
        // The last word goes out whether it is thanks or an apology.
        while let Some(message) = machine.poll_message() {
            if sender.send(Message::Binary(message)).await.is_err() {
                break;
            }
        }
        match result {
            Ok(()) => return Ok((sender, receiver)),
            Err(error) if restarted(&error) && args.output != Path::new("-") => {
                voice.say("waiting for its offer", &json!({"event": "waiting"}));
            }
            Err(error) => {
                let halves = Some((sender, receiver));
                return Err(Broken { error, halves });
            }
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

/// Who decides about an offer and where its files go.
struct Desk<'a> {
    args: &'a Receive,
    voice: Voice,
    status: tokio::sync::watch::Receiver<peersox_client::Status>,
    /// The transfer that was agreed to: offered again after a restart, it is not asked about twice.
    agreed: &'a mut Option<TransferId>,
}

impl Desk<'_> {
    /// Asks about an offer and prepares to store it; the machine is told the answer.
    async fn decide(
        &mut self,
        machine: &mut transfer::Receiver,
        offer: Offer,
    ) -> anyhow::Result<(Sink, Offer, Progress)> {
        describe(&offer, self.voice);
        let known = *self.agreed == Some(offer.id());
        if !known && !self.args.yes && !ask("accept?", self.voice).await {
            machine.decline(DeclineReason::Refused, "");
            return Err(Failure::Declined("declined".into()).into());
        }
        *self.agreed = Some(offer.id());
        match Sink::open(&self.args.output, &offer, self.args.overwrite) {
            Ok((sink, choices)) => {
                let total = offer.total_bytes();
                let progress = Progress::begin(self.voice, total, self.status.clone());
                machine.accept(choices)?;
                Ok((sink, offer, progress))
            }
            Err(error) => {
                machine.decline(DeclineReason::Other, "the files cannot be stored there");
                Err(error)
            }
        }
    }
}

async fn receive_over(
    desk: &mut Desk<'_>,
    machine: &mut transfer::Receiver,
    sender: &Sender,
    receiver: &mut Receiver,
) -> anyhow::Result<()> {
    let mut storing: Option<(Sink, Offer, Progress)> = None;
    loop {
        while let Some(message) = machine.poll_message() {
            sender.send(Message::Binary(message)).await?;
        }
        if machine.is_over() {
            break;
        }
        let said = match next(receiver).await {
            Ok(said) => said,
            Err(error) => {
                if let Some((_, _, progress)) = &storing {
                    progress.abandon();
                }
                return Err(error);
            }
        };
        let event = match machine.handle(said) {
            Ok(event) => event,
            Err(error) => return Err(no_offer_or(error, storing.as_ref().map(|it| &it.1))),
        };
        let stored = match (event, &mut storing) {
            (Event::Nothing, _) => Ok(()),
            (Event::Offered, _) => {
                let Some(offer) = machine.offer().cloned() else {
                    continue;
                };
                storing = Some(desk.decide(machine, offer).await?);
                Ok(())
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
            (Event::Store, Some((sink, offer, _))) => match sink.store(offer, desk.voice) {
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
