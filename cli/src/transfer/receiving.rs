//! `peersox receive`.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use peersox_client::{Message, Status};
use peersox_core::transfer::{
    self, Abilities, CHANNEL, CancelCode, Consent, DeclineReason, Event, Limits, Names, Offer,
    Settings,
};
use serde_json::json;
use tokio::sync::watch;

use super::consent;
use super::sink::{Sink, Unstorable};
use super::{Broken, Ended, conclude, device, failure, name, next, restarted, tell_paused};
use crate::args::{NewCode, Receive};
use crate::connect::accept;
use crate::failure::Failure;
use crate::fit::{self, Command};
use crate::meet::{self, Way};
use crate::person::{Answer, Person};
use crate::progress::Progress;
use crate::share::{Peer, Receiver, Sender};
use crate::terminal::Voice;

/// `peersox receive`.
pub(crate) async fn receive(args: Receive) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    // Before a code is spent for nothing.
    if !args.yes {
        consent::must_reach_somebody(voice)?;
    }
    Sink::must_take_files(&args)?;
    let no_code = NewCode {
        words: 0,
        confirm: false,
    };
    let way = Way::of(&args.code, &args.joiner, &no_code, args.from.as_ref());
    let mut peer = meet::meet(&args.remote, way, Command::Receive, voice)
        .await?
        .peer;
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
) -> Result<Ended, Broken> {
    let mut consent = Consent::default();
    let mut person = Person::default();
    let mut wait = Wait {
        voice,
        is_told: false,
    };
    loop {
        let channel = wait
            .until_offered(accept(peer, CHANNEL, Command::Receive))
            .await?;
        let (sender, mut receiver) = channel.split();
        let mut receiving = Receiving {
            machine: transfer::Receiver::with(Settings {
                limits: Limits::default(),
                abilities: Abilities::ALL,
                names: if cfg!(windows) {
                    Names::Everywhere
                } else {
                    Names::Unix
                },
                device: device(),
            }),
            args,
            voice,
            agent: peer
                .secured()
                .map(|it| fit::software(&it.agent).to_owned())
                .unwrap_or_default(),
            status: peer.status(),
            consent: &mut consent,
            person: &mut person,
            wait: &mut wait,
            storing: None,
            failed: Vec::new(),
        };
        let result = receiving.run(&sender, &mut receiver).await;
        if result.is_err()
            && let Some(storing) = &receiving.storing
        {
            storing.progress.abandon();
        }
        // The last word goes out whether it is thanks or an apology.
        while let Some(message) = receiving.machine.poll_message() {
            if sender.send(Message::Binary(message)).await.is_err() {
                break;
            }
        }
        match result {
            Ok(()) => {
                let verdict = receiving.conclude();
                return Ok(Ended {
                    sender,
                    receiver,
                    verdict,
                });
            }
            Err(error) if restarted(&error) && args.output != Path::new("-") => {
                if let Some(storing) = &mut receiving.storing {
                    storing.sink.goes_on();
                }
                voice.say("waiting for its offer", &json!({"event": "waiting"}));
                receiving.wait.is_told = true;
            }
            Err(error) => {
                let halves = Some((sender, receiver));
                return Err(Broken { error, halves });
            }
        }
    }
}

/// The wait for an offer. A person on the other side may still be choosing files: if it takes a while, the
/// command says what it waits for, once.
struct Wait {
    voice: Voice,
    is_told: bool,
}

impl Wait {
    /// Waits for a step of the other side towards an offer: the channel, then a message.
    async fn until_offered<T>(&mut self, step: impl Future<Output = T>) -> T {
        let mut step = pin!(step);
        if let Ok(taken) = tokio::time::timeout(A_WHILE, &mut step).await {
            return taken;
        }
        if !self.is_told {
            self.is_told = true;
            self.voice.say(
                "waiting for the other side to offer files",
                &json!({"event": "waiting_for_offer"}),
            );
        }
        step.await
    }
}

const A_WHILE: Duration = Duration::from_secs(1);

/// One attempt: who decides about an offer, and where its files go.
struct Receiving<'a> {
    machine: transfer::Receiver,
    args: &'a Receive,
    voice: Voice,
    /// What the sender says its software is.
    agent: String,
    status: watch::Receiver<Status>,
    /// What was agreed to: offered again after a restart, it is not asked about twice.
    consent: &'a mut Consent,
    person: &'a mut Person,
    wait: &'a mut Wait,
    storing: Option<Storing>,
    /// What the sender could not read, in its words.
    failed: Vec<String>,
}

struct Storing {
    sink: Sink,
    offer: Offer,
    progress: Progress,
}

impl Receiving<'_> {
    async fn run(&mut self, sender: &Sender, receiver: &mut Receiver) -> anyhow::Result<()> {
        loop {
            while let Some(message) = self.machine.poll_message() {
                sender.send(Message::Binary(message)).await?;
            }
            if self.machine.is_over() {
                return Ok(());
            }
            let said = match &self.storing {
                None => self.wait.until_offered(next(receiver)).await?,
                Some(_) => next(receiver).await?,
            };
            let event = self.machine.handle(said);
            let event = event.map_err(|error| self.explained(error))?;
            if event == Event::Offered {
                self.decide(receiver).await?;
            } else {
                tokio::task::block_in_place(|| self.obey_all(event))?;
                // An interrupt is heard between two messages, however fast they come.
                tokio::task::yield_now().await;
            }
            if let Some(Storing {
                offer, progress, ..
            }) = &mut self.storing
            {
                let at = self.machine.progress();
                progress.show(&at, name(offer, at.entry));
            }
        }
    }

    /// Does what a message asks for, and what came in the same batch.
    fn obey_all(&mut self, first: Event) -> anyhow::Result<()> {
        let mut event = Some(Ok(first));
        while let Some(now) = event {
            let now = now.map_err(|error| self.explained(error))?;
            if let Err(unstorable) = self.obey(now) {
                let told = format!("a file cannot be stored: {}", unstorable.why);
                self.machine.cancel(CancelCode::SinkFailed, &told);
                return Err(unstorable.into());
            }
            event = self.machine.next_event();
        }
        Ok(())
    }

    fn obey(&mut self, event: Event) -> Result<(), Unstorable> {
        let Some(Storing { sink, offer, .. }) = &mut self.storing else {
            return Ok(());
        };
        match event {
            Event::Nothing | Event::Offered => Ok(()),
            Event::Write {
                entry,
                offset,
                bytes,
            } => sink.write(entry, offset, &bytes),
            Event::Hole {
                entry,
                offset,
                length,
            } => sink.hole(entry, offset, length),
            Event::Finish { entry, size } => sink.finish(entry, size),
            Event::Failed { entry, text } => {
                let sentence = format!("the other side cannot read {text}");
                let event = json!({"event": "file_failed", "why": text});
                self.voice.say(&sentence, &event);
                self.failed.push(text);
                sink.drop_file(entry)
            }
            Event::Paused(paused) => {
                tell_paused(paused, self.voice);
                Ok(())
            }
            Event::Store => {
                let report = sink.store(offer)?;
                let stored = self.machine.stored_with(report);
                stored.map_err(|error| Unstorable::new("", error.to_string()))
            }
        }
    }

    /// Asks about an offer and prepares to store it; the machine is told the answer.
    async fn decide(&mut self, receiver: &mut Receiver) -> anyhow::Result<()> {
        let Some(offer) = self.machine.offer().cloned() else {
            return Ok(());
        };
        let from = match (offer.device(), self.agent.as_str()) {
            ("", "") => "the other side".to_owned(),
            ("", agent) => agent.to_owned(),
            (device, "") => device.to_owned(),
            (device, agent) => format!("{device} ({agent})"),
        };
        consent::describe(&offer, &from, self.voice);
        if let Err(error) = Sink::check(self.args, &offer) {
            let (reason, told) = match &error {
                error if error.is_room => (DeclineReason::TooLarge, error.why.clone()),
                error => (DeclineReason::Other, error.why.clone()),
            };
            self.machine.decline(reason, &told);
            return Err(error.into());
        }
        if !self.args.yes && !self.consent.agreed(&offer) {
            let answer = self.ask(&offer, receiver).await?;
            self.consent.answer(&offer, answer == Answer::Yes);
            match answer {
                Answer::Yes => {}
                Answer::No => {
                    self.machine.decline(DeclineReason::Refused, "");
                    return Err(Failure::Declined("declined".into()).into());
                }
                Answer::Nobody => {
                    let told = "nobody is there to accept";
                    self.machine.decline(DeclineReason::Refused, told);
                    return Err(consent::nobody(self.voice).into());
                }
            }
        }
        match Sink::open(self.args, &offer, self.voice) {
            Ok((sink, choices)) => {
                let total = offer.total_bytes();
                let progress = Progress::begin(self.voice, total, self.status.clone());
                self.machine.accept(choices)?;
                self.storing = Some(Storing {
                    sink,
                    offer,
                    progress,
                });
                Ok(())
            }
            Err(error) => {
                let told = format!("the files cannot be stored there: {}", error.why);
                self.machine.decline(DeclineReason::Other, &told);
                Err(error.into())
            }
        }
    }

    /// Asks, and hears meanwhile if the sender gives up.
    async fn ask(&mut self, offer: &Offer, receiver: &mut Receiver) -> anyhow::Result<Answer> {
        tokio::select! {
            answer = consent::ask(self.person, offer, self.voice) => Ok(answer),
            said = next(receiver) => match self.machine.handle(said?) {
                Ok(_) => anyhow::bail!("the other side sent files before they were accepted"),
                Err(error) => Err(failure(error, offer)),
            },
        }
    }

    fn explained(&self, error: transfer::Error) -> anyhow::Error {
        match &self.storing {
            Some(storing) => failure(error, &storing.offer),
            None => Failure::Declined(error.to_string()).into(),
        }
    }

    /// Says how it went.
    fn conclude(&mut self) -> anyhow::Result<()> {
        let at = self.machine.progress();
        if let Some(storing) = self.storing.take() {
            storing.progress.end(&at, "received");
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        let count = self.failed.len();
        self.failed.truncate(5);
        Err(Failure::Declined(format!(
            "{count} of {} files are missing, because the other side cannot read them: {}",
            at.files_total,
            self.failed.join("; ")
        ))
        .into())
    }
}
