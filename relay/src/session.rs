//! The task of one session: it owns the machine, both legs and what waits between them.
//!
//! Its loop, in order of priority: commands (few, bounded by admission), timers, data. A batch of
//! data is bounded, then the task yields. Only polls are interrupted; whatever was begun lives in a
//! leg, a pump or an outbox.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use peersox_core::close::CloseReason;
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::session::{Action, Drain, Ended, Input, LegId, Session};
use peersox_core::time::{Moment, Timestamp};
use peersox_proto::v1;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::admit::Admission;
use crate::leg::{Ending, Leg};
use crate::metrics::Standing;
use crate::relay::{Inner, PresenceEvent, SessionReport};
use crate::span;

mod outbox;
mod pace;
mod stake;
mod wires;

use outbox::Outbox;
use wires::{Event, Wires};

/// What a session is told from outside.
pub(crate) enum Command {
    Attach(Box<Attach>),
    Revoke,
    Drain(Drain),
}

/// A leg that was admitted.
pub(crate) struct Attach {
    pub(crate) admission: Admission,
    pub(crate) leg: Leg,
}

/// Runs a session until it has ended, and answers the inbox for what came too late.
pub(crate) async fn run(
    relay: Arc<Inner>,
    id: PairingId,
    inbox: mpsc::Receiver<Command>,
) -> mpsc::Receiver<Command> {
    let origin = Instant::now();
    let mut task = Task {
        machine: Session::new(relay.config.session, Moment::default()),
        wires: Wires::new(id, Arc::clone(&relay)),
        arriving: None,
        counted: Counted::new(&relay),
        relay,
        id,
        epoch: 0,
        inbox,
        origin,
        met: None,
    };
    let ended = task.run().await;
    task.report(true);
    info!(session = %id, ?ended, "session ended");
    task.inbox
}

/// Keeps the counts of sessions right even if the task is aborted.
struct Counted {
    relay: Arc<Inner>,
    standing: Option<Standing>,
}

impl Counted {
    fn new(relay: &Arc<Inner>) -> Self {
        let mut counted = Self {
            relay: Arc::clone(relay),
            standing: None,
        };
        counted.stands(Some(Standing::Waiting));
        counted
    }

    fn stands(&mut self, now: Option<Standing>) {
        self.relay.metrics.session_stands(self.standing, now);
        self.standing = now;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stands(None);
    }
}

struct Task {
    relay: Arc<Inner>,
    counted: Counted,
    id: PairingId,
    /// The newest epoch of a ticket.
    epoch: u32,
    inbox: mpsc::Receiver<Command>,
    machine: Session,
    wires: Wires,
    /// A leg between its arrival and the machine's decision.
    arriving: Option<Leg>,
    /// The origin of the machine's clock.
    origin: Instant,
    /// There once both peers were attached.
    met: Option<Met>,
}

/// What was reported since both peers have met.
struct Met {
    began: Timestamp,
    since: Instant,
    /// When it was reported last, and how many bytes.
    reported: (Instant, u64),
}

impl Task {
    async fn run(&mut self) -> Ended {
        let sleep = tokio::time::sleep_until(self.origin);
        tokio::pin!(sleep);
        loop {
            let due = self.due();
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            let ended = tokio::select! {
                biased;
                command = self.inbox.next() => self.command(command),
                () = &mut sleep => self.tick(),
                event = poll_fn(|cx| self.wires.poll(cx)) => self.event(event),
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn command(&mut self, command: Option<Command>) -> Option<Ended> {
        match command {
            Some(Command::Attach(attach)) => {
                let (role, id) = (attach.admission.role(), attach.leg.id);
                self.epoch = self.epoch.max(attach.admission.epoch());
                self.arriving = Some(attach.leg);
                self.handle(Input::Attach(role, id))
            }
            Some(Command::Revoke) => self.handle(Input::Revoke),
            Some(Command::Drain(drain)) => self.handle(Input::Drain(drain)),
            // The registry dropped our sender: the relay itself is gone.
            None => self.handle(Input::Drain(Drain::within(Duration::ZERO))),
        }
    }

    fn event(&mut self, event: Event) -> Option<Ended> {
        let (role, ending) = match event {
            Event::Rearm => return None,
            Event::Ended(role, ending) => (role, ending),
        };
        debug!(session = %self.id, %role, ?ending, "leg ended");
        let id = self.wires.leg(role)?.id;
        match ending {
            Ending::Fault(reason) => self.handle(Input::Fault(role, id, reason)),
            Ending::Gone => {
                self.part(role, ending);
                self.handle(Input::Lost(role, id))
            }
            Ending::Done => {
                self.part(role, ending);
                self.handle(Input::Done(role, id))
            }
            Ending::Moved => {
                self.part(role, ending);
                self.handle(Input::Moved(role, id))
            }
        }
    }

    /// Looks at every clock; each that is not due yet is simply armed again.
    fn tick(&mut self) -> Option<Ended> {
        self.report_if_due();
        for role in Role::BOTH {
            if let Some(silent) = self.wires.silent(role, Instant::now()) {
                debug!(session = %self.id, %role, "leg was silent for too long");
                let ended = self.handle(Input::Fault(role, silent, CloseReason::IdleTimeout));
                if ended.is_some() {
                    return ended;
                }
            }
        }
        self.handle(Input::Timeout)
    }

    /// When the next clock is due.
    fn due(&self) -> Instant {
        let machine = self
            .machine
            .deadline()
            .map(|at| self.origin + at.since_origin());
        let now = Instant::now();
        let far = now + Duration::from_secs(3600);
        let due = [machine, self.wires.due(now)].into_iter().flatten();
        due.fold(far, Instant::min)
    }

    fn handle(&mut self, input: Input) -> Option<Ended> {
        let now = Moment::from_origin(self.origin.elapsed());
        let actions = self.machine.handle(input, now);
        self.counted.stands(Standing::of(self.machine.state()));
        let mut ended = None;
        for action in actions {
            match action {
                Action::Admit {
                    role,
                    leg,
                    peer_online,
                    resumed,
                } => self.admit(role, leg, peer_online, resumed),
                Action::Notify(role, notice) => self.wires.notify(role, notice),
                Action::HangUp(role, leg, reason) => self.hang_up(role, leg, reason),
                Action::Presence(role, online) => {
                    self.relay.presence(PresenceEvent {
                        session: self.id,
                        role,
                        online,
                        epoch: self.epoch,
                    });
                }
                Action::End(why) => ended = Some(why),
            }
        }
        ended
    }

    fn admit(&mut self, role: Role, id: LegId, peer_online: bool, resumed: bool) {
        let Some(mut leg) = self.arriving.take_if(|leg| leg.id == id) else {
            unreachable!("the machine admits the leg it was just given");
        };
        span::admitted(&leg.span, self.id, role, resumed);
        leg.span
            .in_scope(|| info!(session = %self.id, %role, resumed, "leg attached"));
        leg.admit();
        let welcome = v1::Welcome {
            role: v1::Role::from(role).into(),
            peer_online,
            resumed,
            limits: Some(self.relay.config.announced()),
        };
        let outbox = Outbox::new(welcome, Instant::now());
        self.wires.attach(role, leg, outbox);
        let both = Role::BOTH.iter().all(|it| self.wires.leg(*it).is_some());
        if both && self.met.is_none() {
            let now = Instant::now();
            self.met = Some(Met {
                began: self.relay.now(),
                since: now,
                reported: (now, 0),
            });
            self.report(false);
        }
    }

    /// Tells what the session has done, if both peers have met.
    fn report(&mut self, ended: bool) {
        let Some(met) = &mut self.met else {
            return;
        };
        let (now, bytes) = (Instant::now(), self.wires.forwarded());
        met.reported = (now, bytes);
        self.relay.report(SessionReport {
            session: self.id,
            began: met.began,
            lasted: now - met.since,
            bytes,
            ended,
        });
    }

    /// Reports now and then while something is forwarded. While frames wait a clock is due several times a
    /// second, and else as often as the peers are asked whether they live.
    fn report_if_due(&mut self) {
        let bytes = self.wires.forwarded();
        let is_due = |met: &Met| {
            let (at, before) = met.reported;
            bytes - before >= MUCH || (bytes != before && at.elapsed() >= REPORT)
        };
        if self.met.as_ref().is_some_and(is_due) {
            self.report(false);
        }
    }

    fn hang_up(&mut self, role: Role, id: LegId, reason: CloseReason) {
        if let Some(leg) = self.arriving.take_if(|leg| leg.id == id) {
            self.relay.metrics.refused(leg.transport(), reason);
            self.relay.hang_up(leg, Vec::new(), reason);
        } else if let Some((leg, last)) = self.wires.detach(role, reason) {
            debug_assert_eq!(leg.id, id);
            if reason == CloseReason::Draining {
                self.relay.metrics.cut_off();
            }
            leg.span
                .in_scope(|| info!(session = %self.id, %role, %reason, "leg hung up"));
            self.relay.hang_up(leg, last, reason);
        }
    }

    /// Lets go of a leg that ended by itself.
    fn part(&mut self, role: Role, ending: Ending) {
        if let Some(leg) = self.wires.lose(role) {
            self.relay.part(leg, ending);
        }
    }
}

/// How often a session tells what it has forwarded, if that is not much.
const REPORT: Duration = Duration::from_secs(10);
/// Bytes that are told of at the next clock.
const MUCH: u64 = 16 * 1024 * 1024;
