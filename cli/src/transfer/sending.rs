//! `peersox send`.

use std::collections::HashSet;
use std::pin::pin;

use bytes::Bytes;
use peersox_client::Message;
use peersox_core::channel::Priority;
use peersox_core::transfer::{self, Abilities, Action, CHANNEL};
use serde_json::json;

use super::source::{Notice, Piece, Source};
use super::{
    Broken, Ended, conclude, consent, failure, name, next, ready, restarted, say_last_words,
    tell_paused,
};
use crate::args::Send;
use crate::failure::Failure;
use crate::fit::Command;
use crate::meet::{self, Way};
use crate::progress::Progress;
use crate::share::{Peer, Receiver, Sender};
use crate::terminal::Voice;

/// `peersox send`.
pub(crate) async fn send(args: Send) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let mut source = Source::gather(&args.paths, args.name.as_deref(), |notice| match notice {
        Notice::Skipped(what) => {
            // People are told with what is offered.
            let sentence = format!("skipped {what}");
            voice.say("", &json!({"event": "skipped", "what": sentence}));
        }
        Notice::Renamed { from, to } => voice.say(
            &format!("{from} is no UTF-8; it is sent as {to}"),
            &json!({"event": "renamed", "from": from, "to": to}),
        ),
    })?;
    consent::describe(source.offer(), "", voice);

    let way = Way::to(&args.code, args.to.as_ref());
    let peer = meet::meet(&args.remote, way, Command::Send, voice)
        .await?
        .peer;
    let absent = meet::absent(peer.status(), args.remote.wait);
    let sent = tokio::select! {
        sent = offer_until_sent(&peer, &mut source, voice) => sent,
        gone = absent => Err(gone.into()),
    };
    conclude(peer, sent).await
}

/// Offers the files, and offers them again to a receiver that was restarted: it knows by the id of
/// the transfer what it holds already.
async fn offer_until_sent(peer: &Peer, source: &mut Source, voice: Voice) -> Result<Ended, Broken> {
    loop {
        let channel = peer.open(CHANNEL, Priority::Bulk).await;
        let (sender, mut receiver) = channel.map_err(anyhow::Error::from)?.split();
        let mut sending = Sending {
            machine: transfer::Sender::with(source.offer().clone(), Abilities::ALL),
            progress: None,
            paused: false,
            voice,
        };
        let result = sending.run(&sender, &mut receiver, source, peer).await;
        let progress = sending.progress.take();
        match result {
            Ok(()) => {
                let verdict = sending.conclude(progress);
                return Ok(Ended {
                    sender,
                    receiver,
                    verdict,
                });
            }
            Err(error) if restarted(&error) && source.can_be_read_again() => {
                abandon(progress);
                voice.say("offering it again", &json!({"event": "offered_again"}));
            }
            Err(error) => {
                abandon(progress);
                let halves = Some((sender, receiver));
                return Err(Broken { error, halves });
            }
        }
    }
}

/// Sends a message. A receiver that gives up stops reading, and then there is never room: what it says
/// is heard meanwhile.
async fn deliver(
    machine: &mut transfer::Sender,
    message: Bytes,
    sender: &Sender,
    receiver: &mut Receiver,
) -> anyhow::Result<Result<(), transfer::Error>> {
    let mut sent = pin!(sender.send(Message::Binary(message)));
    loop {
        tokio::select! {
            biased;
            said = next(receiver) => {
                let heard = machine.handle(said?);
                if heard.is_err() {
                    return Ok(heard);
                }
            }
            sent = &mut sent => return match sent {
                Ok(()) => Ok(Ok(())),
                // It may have said why before it went.
                Err(error) => match ready(receiver) {
                    Ok(Some(said)) => Ok(machine.handle(said)),
                    Ok(None) | Err(_) => Err(error.into()),
                },
            },
        }
    }
}

fn abandon(progress: Option<Progress>) {
    if let Some(progress) = progress {
        progress.abandon();
    }
}

/// One attempt.
struct Sending {
    machine: transfer::Sender,
    /// Begins with the data: the time of a decision is no time of the transfer.
    progress: Option<Progress>,
    paused: bool,
    voice: Voice,
}

impl Sending {
    async fn run(
        &mut self,
        sender: &Sender,
        receiver: &mut Receiver,
        source: &mut Source,
        peer: &Peer,
    ) -> anyhow::Result<()> {
        let mut told = false;
        loop {
            let machine = &mut self.machine;
            let step = match machine.poll() {
                Action::Send(message) => deliver(machine, message, sender, receiver).await?,
                Action::Read {
                    entry,
                    offset,
                    max,
                    hole,
                } => {
                    let piece = if source.is_stream(entry) {
                        tokio::select! {
                            biased;
                            said = next(receiver) => {
                                let step = machine.handle(said?);
                                if let Err(error) = step {
                                    say_last_words(machine, sender).await;
                                    return Err(failure(error, source.offer()));
                                }
                                continue;
                            }
                            piece = source.read_stream(entry, max) => piece,
                        }
                    } else {
                        tokio::task::block_in_place(|| source.read(entry, offset, max, hole))
                    };
                    match piece {
                        Ok(Piece::Bytes(bytes)) => machine.feed(bytes),
                        Ok(Piece::Hole(length)) => machine.feed_hole(length),
                        Err(unreadable) => {
                            let path = source.offer().entry(entry).map(|it| it.path.to_string());
                            let path = path.unwrap_or_default();
                            let told = format!("{path}: {}", unreadable.why);
                            if !machine.fail_file(&told) {
                                say_last_words(machine, sender).await;
                                return Err(unreadable.into());
                            }
                            self.voice.say(
                                &format!("{unreadable}; the other files are sent all the same"),
                                &json!({"event": "file_failed", "path": path,
                                        "why": unreadable.why}),
                            );
                            Ok(())
                        }
                    }
                }
                Action::Wait => {
                    if machine.is_unanswered() && !told {
                        told = true;
                        self.voice.say(
                            "waiting for the other side to accept",
                            &json!({"event": "waiting_for_consent"}),
                        );
                    }
                    machine.handle(next(receiver).await?)
                }
                Action::Finished => return Ok(()),
            };
            if let Err(error) = step {
                say_last_words(&mut self.machine, sender).await;
                return Err(failure(error, source.offer()));
            }
            self.show(source, peer);
        }
    }

    fn show(&mut self, source: &Source, peer: &Peer) {
        if self.machine.is_unanswered() {
            return;
        }
        let (voice, at) = (self.voice, self.machine.progress());
        let begin = || Progress::begin(voice, at.bytes_total, peer.status());
        let progress = self.progress.get_or_insert_with(begin);
        progress.show(&at, name(source.offer(), at.entry));
        if self.paused != self.machine.is_paused_there() {
            self.paused = self.machine.is_paused_there();
            tell_paused(self.paused, voice);
        }
    }

    /// Says how it went, and what is not there as it is here.
    fn conclude(&self, progress: Option<Progress>) -> anyhow::Result<()> {
        let (machine, voice) = (&self.machine, self.voice);
        let at = machine.progress();
        if let Some(progress) = progress {
            progress.end(&at, "sent");
        }
        let report = machine.report();
        for (path, stored_as) in report.renamed() {
            voice.say(
                &format!("{path} is stored there as {stored_as}"),
                &json!({"event": "renamed", "from": path, "to": stored_as, "where": "there"}),
            );
        }
        let more = report.renamed_count() as usize - report.renamed().len();
        if more > 0 {
            let sentence = format!("{more} more have other names there");
            voice.say(&sentence, &json!({"event": "renamed_more", "count": more}));
        }
        for sentence in report.left_out.sentences() {
            voice.say(
                &format!("not stored there: {sentence}"),
                &json!({"event": "left_out", "what": sentence, "where": "there"}),
            );
        }
        let links = machine.offer().links().len();
        if links > 0 && !machine.abilities().links {
            voice.say(
                &format!("{links} symbolic links were not sent: the other side cannot store them"),
                &json!({"event": "left_out", "what": "symbolic links", "count": links}),
            );
        }
        let left_out = machine.offer().left_out().count();
        if left_out > 0 {
            voice.say(
                &format!("not sent, as said before: {left_out} of what was found"),
                &json!({"event": "left_out", "count": left_out, "where": "here"}),
            );
        }
        let failed: HashSet<_> = machine.failed().iter().map(|it| it.text.as_str()).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let mut failed: Vec<_> = failed.into_iter().collect();
        failed.sort_unstable();
        failed.truncate(5);
        let count = machine.failed().len();
        Err(Failure::File(format!(
            "{count} of {} files could not be sent: {}",
            at.files_total,
            failed.join("; ")
        ))
        .into())
    }
}
