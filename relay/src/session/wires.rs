//! Both legs of a session and what waits between them; the part of the task that touches data.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::notice::{self, Kind};
use peersox_core::role::Role;
use peersox_core::session::{LegId, Notice};
use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::trace;

use super::outbox::Outbox;
use super::pace::{self, Pace};
use super::stake::{Provided, Stake};
use crate::leg::{Came, Ending, Item, Leg, Want, is_graceful};
use crate::metrics::Tally;
use crate::pump::{Held, Pump};
use crate::relay::Inner;
use crate::span::Taken;

/// What the task has to know of the data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The leg of this role ended or has to.
    Ended(Role, Ending),
    /// A clock was set that the task does not know yet.
    Rearm,
}

/// What came from a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Nothing,
    Some,
    /// So much that other sessions have their turn first.
    Turn,
}

/// Indexed by role: its leg, what it is told by the relay, and what waits for the other.
pub(crate) struct Wires {
    id: PairingId,
    legs: [Option<Leg>; 2],
    outboxes: [Option<Outbox>; 2],
    /// `pumps[role]` carries what `role` sends.
    pumps: [Pump; 2],
    /// What each pump holds of the memory of the relay.
    stakes: [Stake; 2],
    /// How fast each leg may send.
    paces: [Option<Pace>; 2],
    idle_timeout: Duration,
    ping_interval: Duration,
    /// The clock the task was last told of by [`Event::Rearm`].
    armed: Option<Instant>,
    tally: Tally,
    /// Bytes that were forwarded in this session, as far as they were published.
    forwarded: u64,
    relay: Arc<Inner>,
}

impl Wires {
    pub(crate) fn new(id: PairingId, relay: Arc<Inner>) -> Self {
        let config = &relay.config;
        Self {
            id,
            legs: [None, None],
            outboxes: [None, None],
            pumps: [Pump::new(config), Pump::new(config)],
            stakes: [Stake::default(), Stake::default()],
            paces: [None, None],
            idle_timeout: config.idle_timeout,
            ping_interval: config.ping_interval,
            armed: None,
            tally: Tally::default(),
            forwarded: 0,
            relay,
        }
    }

    pub(crate) fn leg(&self, role: Role) -> Option<&Leg> {
        self.legs[role.index()].as_ref()
    }

    pub(crate) fn attach(&mut self, role: Role, leg: Leg, outbox: Outbox) {
        self.pumps[role.other().index()].sink_changed(&mut self.tally);
        for stake in &mut self.stakes {
            stake.leg_changed();
        }
        let pace = Pace::new(&self.relay, leg.address(), Instant::now());
        self.paces[role.index()] = Some(pace);
        self.pumps[role.index()].source_changed(leg.has_windows());
        self.outboxes[role.index()] = Some(outbox);
        self.legs[role.index()] = Some(leg);
    }

    pub(crate) fn notify(&mut self, role: Role, notice: Notice) {
        if let Some(outbox) = &mut self.outboxes[role.index()] {
            outbox.push(notice);
        }
    }

    /// Takes off a leg that ended by itself. What waits for it stays.
    pub(crate) fn lose(&mut self, role: Role) -> Option<Leg> {
        self.outboxes[role.index()] = None;
        self.pumps[role.other().index()].sink_changed(&mut self.tally);
        self.legs[role.index()].take()
    }

    /// Takes off a leg that is to be hung up, with the frames it gets before that.
    pub(crate) fn detach(&mut self, role: Role, reason: CloseReason) -> Option<(Leg, Vec<Held>)> {
        let mut last = Vec::new();
        if is_graceful(reason) {
            if let Some(outbox) = &mut self.outboxes[role.index()] {
                let notices = std::iter::from_fn(|| outbox.next(Instant::now()));
                last.extend(notices.map(Held::Frame));
            }
            last.extend(self.pumps[role.other().index()].rest(&mut self.tally));
        }
        let leg = self.lose(role)?;
        self.publish();
        Some((leg, last))
    }

    fn publish(&mut self) {
        self.forwarded += self.tally.bytes();
        self.relay.metrics.publish(&mut self.tally);
    }

    /// Bytes that were forwarded so far.
    pub(crate) fn forwarded(&self) -> u64 {
        self.forwarded + self.tally.bytes()
    }

    /// Moves what can be moved. Ready when the task has to decide something.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let now = Instant::now();
        let mut event = Poll::Pending;
        let mut rounds = 0;
        for role in Role::BOTH {
            self.reassure(role, now);
        }
        loop {
            let mut moved = false;
            let mut turn_over = false;
            for role in Role::BOTH {
                match self.read(cx, role, now) {
                    Ok(Read::Nothing) => {}
                    Ok(Read::Some) => moved = true,
                    Ok(Read::Turn) => (moved, turn_over) = (true, true),
                    // One at a time: a leg tells its ending once.
                    Err(ending) => event = Poll::Ready(Event::Ended(role, ending)),
                }
                moved |= self.write(cx, role.other(), now);
                if event.is_ready() {
                    break;
                }
            }
            rounds += 1;
            if event.is_ready() || !moved {
                break;
            }
            if turn_over || rounds == MAX_ROUNDS {
                yield_turn(cx);
                break;
            }
        }
        for (leg, pace) in self.legs.iter_mut().zip(&self.paces) {
            let Some(leg) = leg else {
                continue;
            };
            leg.poll_flush(cx);
            let paused = pace.as_ref().and_then(|pace| pace.paused(now));
            if leg.broken && paused.is_none() {
                // Reading finds out how it ended.
                cx.waker().wake_by_ref();
            }
        }
        self.publish();
        for role in Role::BOTH {
            if event.is_ready() {
                break;
            }
            match self.provide(role, now) {
                // What was not read for want of room is read now.
                Ok(Provided::More) => cx.waker().wake_by_ref(),
                Ok(Provided::Nothing) => {}
                Err(reason) => event = Poll::Ready(Event::Ended(role, Ending::Fault(reason))),
            }
        }
        let armed = self.waits(now);
        if event.is_pending() && armed != self.armed {
            self.armed = armed;
            event = Poll::Ready(Event::Rearm);
        }
        event
    }

    /// Reads one batch from the leg of a role.
    fn read(&mut self, cx: &mut Context<'_>, role: Role, now: Instant) -> Result<Read, Ending> {
        let Self {
            id,
            legs: [first, second],
            outboxes,
            pumps,
            paces,
            tally,
            relay,
            ..
        } = self;
        let (source, mut sink) = match role.index() {
            0 => (first, second.as_mut()),
            _ => (second, first.as_mut()),
        };
        let (Some(leg), Some(pace)) = (source, &mut paces[role.index()]) else {
            return Ok(Read::Nothing);
        };
        let pump = &mut pumps[role.index()];
        if pace.paused(now).is_some() {
            leg.heard = now;
            return Ok(Read::Nothing);
        }
        let online = sink.is_some();
        // Frames must not overtake what the relay says of their sender.
        let news = outboxes[role.other().index()]
            .as_ref()
            .is_some_and(Outbox::has_news);
        let mut taken = Taken::default();
        let mut read = Read::Nothing;
        let mut ended = Ok(());
        for _ in 0..BATCH {
            // What a peer said before it left is its last, and reading it all tells that it left.
            let want = if pump.has_room() || (leg.broken && leg.is_done()) {
                Want::All
            } else {
                // We do not listen, so silence means nothing.
                leg.heard = now;
                Want::Datagrams
            };
            let turn = leg.poll_turn(cx, want, pump.room(), |cx, came| match came {
                // A Ping or Pong of the transport is a frame to it, with few bytes.
                Came::Item(Item::Sign) => {
                    taken.add(1, 0);
                    Ok(())
                }
                Came::Item(Item::Frame(bytes)) => {
                    let frame = Frame::parse(bytes).map_err(|why| Ending::Fault(why.into()))?;
                    trace!(session = %id, %role, ?frame, "frame");
                    taken.add(1, frame.len());
                    if frame.lane() == Lane::Notice {
                        let nonce =
                            ping(&frame).ok_or(Ending::Fault(CloseReason::NoticeForbidden))?;
                        if let Some(outbox) = &mut outboxes[role.index()] {
                            outbox.pong(nonce);
                        }
                        return Ok(());
                    }
                    // One read may bring more than waits.
                    if !pump.fits(&frame)
                        && let Some(sink) = sink.as_deref_mut()
                    {
                        pump.poll_write(cx, sink, !news, tally);
                    }
                    pump.accept(frame, online, tally).map_err(Ending::Fault)
                }
                Came::Shared(run) => {
                    trace!(session = %id, %role, frames = run.frames(), bytes = run.payload(), "frames");
                    taken.add(run.frames(), run.payload());
                    pump.accept_run(run, online);
                    Ok(())
                }
                Came::Run(run) => {
                    trace!(session = %id, %role, frames = run.frames(), bytes = run.payload(), "frames");
                    taken.add(run.frames(), run.payload());
                    let sink = sink.as_deref_mut().filter(|_| !news);
                    pump.pass(cx, run, sink, tally);
                    Ok(())
                }
            });
            let Poll::Ready(turn) = turn else {
                if leg.broken {
                    ended = Err(Ending::Gone);
                }
                break;
            };
            ended = turn;
            if ended.is_err() {
                break;
            }
            read = Read::Some;
            leg.heard = now;
            leg.probed = false;
            if pace::cost(taken) >= TURN {
                read = Read::Turn;
                break;
            }
        }
        if taken.frames > 0 {
            leg.taken.frames += taken.frames;
            leg.taken.bytes += taken.bytes;
            pace.spend(relay, pace::cost(taken), now);
        }
        ended.map(|()| read)
    }

    /// Says something to a peer that is not read, as its Pings have no answer meanwhile.
    fn reassure(&mut self, role: Role, now: Instant) {
        let is_read = self.pumps[role.index()].has_room();
        if let Some(leg) = &mut self.legs[role.index()]
            && let Some(outbox) = &mut self.outboxes[role.index()]
            && !is_read
            && now - leg.reassured >= self.ping_interval / 2
        {
            leg.reassured = now;
            outbox.pong(NO_NONCE);
        }
    }

    /// Sees to the memory of the frames that a role sends.
    fn provide(&mut self, role: Role, now: Instant) -> Result<Provided, CloseReason> {
        let [one, two] = &mut self.legs;
        let legs = match role.index() {
            0 => (one.as_mut(), two.as_mut()),
            _ => (two.as_mut(), one.as_mut()),
        };
        let pump = &mut self.pumps[role.index()];
        let limits = (&self.relay.config, &self.relay.memory);
        self.stakes[role.index()].provide(pump, legs, limits, now)
    }

    /// Writes to the leg of a role: notices, then what the other peer sent.
    fn write(&mut self, cx: &mut Context<'_>, role: Role, now: Instant) -> bool {
        let pump = &mut self.pumps[role.other().index()];
        let (Some(leg), Some(outbox)) = (
            &mut self.legs[role.index()],
            &mut self.outboxes[role.index()],
        ) else {
            return false;
        };
        outbox.dropped(pump.take_dropped());
        let mut moved = false;
        while leg.poll_ready(cx).is_ready() {
            let Some(notice) = outbox.next(now) else {
                break;
            };
            leg.feed(Held::Frame(notice));
            moved = true;
        }
        moved | pump.poll_write(cx, leg, !outbox.has_news(), &mut self.tally)
    }

    /// Sends a ping on a leg that is silent; answers the leg if it was silent for too long.
    pub(crate) fn silent(&mut self, role: Role, now: Instant) -> Option<LegId> {
        let reading = self.pumps[role.index()].has_room();
        let leg = self.legs[role.index()].as_mut()?;
        if !leg.needs_probes() {
            return None;
        }
        if !reading {
            leg.heard = now;
            return None;
        }
        let silence = now - leg.heard;
        if silence >= self.idle_timeout {
            return Some(leg.id);
        }
        if silence >= self.ping_interval && !leg.probed {
            leg.probed = true;
            // The next poll of the task has the real context; a full sink needs no ping.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            if leg.poll_ready(&mut cx).is_ready() {
                leg.probe();
            }
        }
        None
    }

    /// When to call [`Wires::silent`] and to poll for notices that were held back.
    ///
    /// A notice that may go but finds its leg full waits for the leg, not for a clock.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let probed = self.legs.iter().flatten().filter(|leg| leg.needs_probes());
        let silence = probed.map(|leg| {
            if leg.probed {
                leg.heard + self.idle_timeout
            } else {
                leg.heard + self.ping_interval.min(self.idle_timeout)
            }
        });
        silence.chain(self.waits(now)).min()
    }

    /// When to poll again although nothing has happened.
    fn waits(&self, now: Instant) -> Option<Instant> {
        let held_back = self.outboxes.iter().flatten().filter_map(Outbox::due);
        let reviews = self.stakes.iter().filter_map(Stake::review_at);
        let paused = self.paces.iter().flatten();
        let paused = paused.filter_map(|pace| pace.paused(now));
        let reassuring = Role::BOTH.into_iter().filter_map(|role| {
            let leg = self.legs[role.index()].as_ref()?;
            let is_read = self.pumps[role.index()].has_room();
            (!is_read).then(|| leg.reassured + self.ping_interval / 2)
        });
        let all = held_back.chain(reviews).chain(paused).chain(reassuring);
        all.filter(|due| *due > now).min()
    }
}

/// Has the task polled again, once all others had their turn: those, too, that the system has news for. A
/// task that wakes itself would be polled up to 60 times before the runtime asks for such news.
fn yield_turn(cx: &mut Context<'_>) {
    // What it leaves behind is the wake-up; it has no other state.
    let _ = pin!(yield_now()).poll(cx);
}

/// The nonce of a Ping, the only notice a peer may send after Hello.
fn ping(frame: &Frame) -> Option<u64> {
    match notice::decode(frame.payload()) {
        Ok(Some(Kind::Ping(ping))) => Some(ping.nonce),
        _ => None,
    }
}

/// No Ping has it: peers count from 1.
const NO_NONCE: u64 = 0;

/// So many reads are made from one leg before the other has its turn.
const BATCH: usize = 64;
/// Once a leg has brought so many bytes, with what frames cost beside theirs, the task yields. One read
/// brings at most two of the largest frames, or as many bytes in small ones.
const TURN: u64 = 128 * 1024;
/// So many turns are taken before the task yields.
const MAX_ROUNDS: usize = 8;
