//! The task that owns a peer: the machine of [`peersox_core::peer`], the leg, and what the handles
//! wait for.
//!
//! ```text
//!   handles ──commands──►┐                       ┌─ sealed frames ─► writer task ──► sink ┐
//!                        │  driver ── core Peer ─┤                                        ├ relay
//!   handles ◄──replies───┘                       └─◄─────────────────────────────  source ┘
//! ```
//!
//! Each turn takes one thing, in this order: an answer of the transport, a frame, a command, the
//! clock. Then it hands over whatever the machine wants to send, as long as the writer has room:
//! records stay in the machine until then, so that an urgent one can still overtake.
//!
//! A relay leg is a path exactly while the other peer is attached, too. One that is replaced by a
//! newer leg stays a path until that one is.

mod desk;
mod link;

use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel;
use peersox_core::close::{CloseReason, Then};
use peersox_core::connect::{Kind as PathKind, PathId};
use peersox_core::frame::{Frame, Lane};
use peersox_core::peer::{self as machine, Peer as Machine};
use peersox_core::time::Moment;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use prost::Message as _;
use rand_core::OsRng;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::Error;
use crate::attach::{AGENT, Attached};
use crate::command::{Command, Offer};
use crate::event::{Event, Presence, Secured, Status};
use crate::options::{Options, Proof};
use crate::platform::End;
use crate::server::{Pairing, Server};
use desk::Desk;
use link::{Link, News};

pub(crate) struct Driver {
    machine: Machine,
    desk: Desk,
    link: Link,
    /// The relay as a path: while the other peer is attached, too.
    relay: Option<PathId>,
    /// The latest relay path. What the other peer sent before it was lost still comes over it.
    latest: Option<PathId>,
    outlets: Outlets,
    origin: Instant,
    /// When to give up a farewell that nobody answers; set by `close`.
    farewell: Option<Instant>,
}

/// Where the driver tells what happens.
pub(crate) struct Outlets {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) secured: watch::Sender<Option<Secured>>,
    pub(crate) end: watch::Sender<Option<Verdict>>,
}

/// Why a turn was the last one.
pub(crate) type Verdict = Result<(), Error>;

impl Driver {
    pub(crate) fn new(
        server: Server,
        pairing: Pairing,
        proof: &Proof,
        options: &Options,
        offers: mpsc::Sender<Offer>,
        outlets: Outlets,
    ) -> Self {
        let config = machine::Config {
            channels: options.channels,
            ..machine::Config::default()
        };
        let code;
        let known = match proof {
            Proof::Code(typed) => {
                code = typed.canonical();
                machine::Proof::Code(code.as_bytes())
            }
            Proof::Secret(secret) => machine::Proof::Secret(secret.clone()),
        };
        let (hello, start) = (Bytes::from_static(AGENT.as_bytes()), Moment::default());
        let (role, id) = (pairing.role, pairing.id);
        Self {
            machine: Machine::new(config, role, id, known, hello, start, &mut OsRng),
            desk: Desk::new(offers),
            link: Link::new(server, pairing, options),
            relay: None,
            latest: None,
            outlets,
            origin: Instant::now(),
            farewell: None,
        }
    }

    /// Runs until the peer ends, says why, and stays to answer handles until the last is dropped: a
    /// receiver that has read everything is still owed its `None`.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>, attached: Attached) {
        self.attached(attached);
        let verdict = loop {
            if let Some(verdict) = self.settle() {
                break verdict;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                news = self.link.next() => {
                    if let Some(verdict) = self.hear(news) {
                        break verdict;
                    }
                }
                command = inbox.recv() => match command {
                    Some(Command::Close) => self.close(),
                    Some(command) => self.desk.serve(command, self.machine.channels()),
                    // Every handle was dropped without a farewell.
                    None => break Err(Error::Gone),
                },
                id = self.desk.dropped() => self.desk.abandon(id, self.machine.channels()),
                () = tokio::time::sleep_until(deadline) => {
                    if self.farewell.is_some_and(|end| end <= Instant::now()) {
                        break Ok(());
                    }
                    self.machine.handle_timeout(now(self.origin), &mut OsRng);
                }
            }
        };
        // A peer that found the codes to differ still tells the other one.
        self.transmit();
        self.desk.end(&self.told_to_channels(&verdict));
        self.outlets.status.send_replace(Status::default());
        self.link.hang_up(CloseReason::Done).await;
        self.outlets.end.send_replace(Some(verdict));
        drop(self.outlets);
        while let Some(command) = inbox.recv().await {
            self.desk.serve(command, self.machine.channels());
        }
    }

    /// What channels hear of the end: what [`Peer::ended`](crate::Peer::ended) says, and of an end in
    /// good order who began it.
    fn told_to_channels(&self, verdict: &Verdict) -> Error {
        match verdict {
            Err(error) => error.clone(),
            Ok(()) if self.farewell.is_some() => Error::Gone,
            Ok(()) => Error::PeerDone,
        }
    }

    /// Handles what the machine has to tell and hands over what it has to send.
    fn settle(&mut self) -> Option<Verdict> {
        let mut verdict = None;
        while let Some(event) = self.machine.poll_event() {
            match event {
                machine::Event::Channel(event) => {
                    verdict = self.on_channel_event(event).or(verdict);
                }
                machine::Event::Secured { sas, hello } => self.secured(sas, &hello),
                machine::Event::HangUp(path) if self.relay == Some(path) => {
                    tracing::debug!("the leg altered what it carried");
                    self.relay = None;
                    self.link.give_up();
                    self.left("what arrived over it was altered under way");
                }
                machine::Event::HangUp(_) | machine::Event::Path(_) => {}
                // Signals belong to direct paths, which this client does not have yet.
                machine::Event::Signal(_) => {}
                machine::Event::Dial => self.machine.dial_failed(now(self.origin)),
            }
        }
        self.transmit();
        verdict
    }

    fn on_channel_event(&mut self, event: channel::Event) -> Option<Verdict> {
        match event {
            channel::Event::Connected => {
                let status = &self.outlets.status;
                status.send_modify(|status| status.connected = true);
                self.tell(Event::Connected);
            }
            channel::Event::PeerRestarted => {
                self.desk.restarted();
                self.tell(Event::PeerRestarted);
            }
            channel::Event::Closed { flushed } => {
                let all = flushed || self.farewell.is_none();
                return Some(if all { Ok(()) } else { Err(Error::PeerDone) });
            }
            event => self.desk.hear(event, self.machine.channels()),
        }
        None
    }

    fn secured(&mut self, phrase: peersox_core::secure::Sas, hello: &[u8]) {
        let Some(secret) = self.machine.secret().cloned() else {
            return;
        };
        let agent = String::from_utf8_lossy(hello).into_owned();
        let secured = Secured {
            secret,
            phrase,
            agent,
        };
        let first = self.outlets.secured.send_replace(Some(secured)).is_none();
        if first {
            self.tell(Event::Secured { phrase });
        }
    }

    fn transmit(&mut self) {
        let now = now(self.origin);
        while let Some(path) = self.relay.filter(|_| self.link.has_room()) {
            let Some(frame) = self.machine.poll_transmit(path, now) else {
                return;
            };
            self.link.send(frame);
        }
    }

    fn hear(&mut self, news: News) -> Option<Verdict> {
        match news {
            News::Room => None,
            News::Frame(frame) => self.receive(frame),
            News::Attached(attached) => {
                self.attached(*attached);
                None
            }
            News::Lost(end) => self.lost(&end),
            News::GaveUp(error) => Some(Err(error)),
        }
    }

    fn receive(&mut self, frame: Frame) -> Option<Verdict> {
        if frame.lane() == Lane::Notice {
            self.notice(frame.payload());
            return None;
        }
        // Nothing comes over a relay before the other peer was there.
        let path = self.latest?;
        let now = now(self.origin);
        let taken = self.machine.handle_frame(path, frame, now, &mut OsRng);
        taken.err().map(|end| {
            tracing::debug!(%end, "the conversation is over");
            Err(end.into())
        })
    }

    fn notice(&mut self, payload: Bytes) {
        let Ok(v1::Notice { kind: Some(kind) }) = v1::Notice::decode(payload) else {
            return;
        };
        match kind {
            Kind::PeerOnline(_) => self.peer_online(),
            Kind::PeerAway(away) => {
                self.path_down();
                self.presence(Presence::Away);
                let grace = Duration::from_millis(away.grace_millis.into());
                self.tell(Event::PeerAway { grace });
            }
            Kind::Draining(_) => {
                self.link.draining();
                self.tell(Event::Draining);
            }
            Kind::DatagramsDropped(dropped) => self.tell(Event::DatagramsDropped(dropped.count)),
            Kind::Pong(pong) => {
                if let Some(rtt) = self.link.pong(pong.nonce) {
                    let status = &self.outlets.status;
                    status.send_modify(|status| status.relay_rtt = Some(rtt));
                }
            }
            Kind::Hello(_) | Kind::Welcome(_) | Kind::Ping(_) => {}
        }
    }

    fn attached(&mut self, attached: Attached) {
        let Attached {
            leg,
            welcome,
            session,
        } = attached;
        let transport = leg.transport;
        self.link.up(leg, &welcome, session);
        let status = &self.outlets.status;
        status.send_modify(|status| status.leg = Some(transport));
        self.tell(Event::Attached {
            transport,
            resumed: welcome.resumed,
        });
        if welcome.peer_online {
            self.peer_online();
        } else {
            self.path_down();
            self.presence(Presence::Absent);
        }
    }

    fn peer_online(&mut self) {
        let now = now(self.origin);
        let path = self.machine.path_up(PathKind::Relay, now, &mut OsRng);
        // Make before break: records have moved to the new path already.
        self.path_down();
        (self.relay, self.latest) = (Some(path), Some(path));
        self.presence(Presence::Online);
        self.tell(Event::PeerOnline);
    }

    fn path_down(&mut self) {
        if let Some(path) = self.relay.take() {
            self.machine.path_down(path, now(self.origin));
        }
    }

    fn lost(&mut self, end: &End) -> Option<Verdict> {
        let fatal = match end {
            End::HungUp(reason) if reason.then() == Then::Stop => Some(*reason),
            End::HungUp(_) | End::Lost(_) => None,
        };
        self.left(&end.to_string());
        match fatal? {
            // The other side hangs up once it knows that everything arrived.
            CloseReason::PeerLeft if self.farewell.is_some() => Some(Ok(())),
            reason => Some(Err(Error::Closed(reason))),
        }
    }

    /// There is no leg any more; another is being sought.
    fn left(&mut self, why: &str) {
        self.path_down();
        self.presence(Presence::Absent);
        self.outlets.status.send_modify(|status| status.leg = None);
        let why = why.to_owned();
        self.tell(Event::LegLost { why });
    }

    fn close(&mut self) {
        self.farewell = Some(Instant::now() + FAREWELL);
        self.machine.channels().close();
    }

    fn presence(&mut self, presence: Presence) {
        self.outlets.status.send_modify(|status| {
            status.presence = presence;
            status.connected &= presence == Presence::Online;
        });
    }

    fn tell(&self, event: Event) {
        tracing::debug!(?event, "peer");
        // Nobody may be listening.
        let _ = self.outlets.events.send(event);
    }

    fn deadline(&self) -> Instant {
        let machine = self.origin + self.machine.poll_timeout().since_origin();
        self.farewell
            .map_or(machine, |farewell| machine.min(farewell))
    }
}

fn now(origin: Instant) -> Moment {
    Moment::from_origin(origin.elapsed())
}

/// For how long a farewell may take: what is still under way may have to cross a slow network.
const FAREWELL: Duration = Duration::from_secs(30);
