//! What one direction of a session holds of the relay's memory.
//!
//! A direction whose receiver keeps up holds next to nothing. One whose frames have to wait may fill three
//! buffers: what the sender's transport has received and the relay does not read, what the relay holds, and
//! what the receiver's transport has not got rid of. Before they fill, the direction takes their sizes from
//! the one budget of the process ([`Config::memory`]):
//!
//! ```text
//! idle ── 64 KiB have passed, or frames wait ──► narrow   while there is something
//!   │                                   │  └───► starved: goes on with what it has; 4015 if nothing moves
//!   │                                   └──────► wide     while less than half of the budget is used
//!   ◄── nothing for a while ── wide, narrow
//! ```
//!
//! A direction becomes wide when its windows hold it up: half of a narrow one and more passes in each round
//! trip, and the receiver's program reads. A reader that has stalled never gets wide windows, however much
//! its transport takes in before that shows. Where no leg has windows, 64 KiB are enough: only what the relay
//! holds becomes more.
//!
//! [`Config::memory`]: crate::Config::memory

use std::net::IpAddr;
use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::limit::{Place, Pool};
use tokio::time::Instant;

use crate::config::Config;
use crate::leg::Leg;
use crate::leg::quic::NARROW;
use crate::pump::{BUSY, Pump};

/// What a look at a direction has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provided {
    /// There is room for more than before.
    More,
    Nothing,
}

/// The part of one direction.
#[derive(Default)]
pub(crate) struct Stake {
    place: Option<Place>,
    wide: bool,
    /// When to look again. Nothing while the direction is idle.
    review_at: Option<Instant>,
    /// When it was looked at last.
    reviewed_at: Option<Instant>,
    /// Since when frames wait without a place and none has moved.
    starved: Option<Instant>,
}

impl Stake {
    /// When [`Stake::provide`] has something to do again.
    pub(crate) fn review_at(&self) -> Option<Instant> {
        self.review_at
    }

    /// Takes, keeps or gives back what the direction needs.
    ///
    /// # Errors
    /// The reason to hang up the sender, if there is no memory for a direction in which nothing moves.
    pub(crate) fn provide(
        &mut self,
        pump: &mut Pump,
        (source, mut sink): (Option<&mut Leg>, Option<&mut Leg>),
        (config, memory): (&Config, &Pool),
        now: Instant,
    ) -> Result<Provided, CloseReason> {
        match self.review_at {
            None if !pump.is_busy() => return Ok(Provided::Nothing),
            Some(at) if now < at => return Ok(Provided::Nothing),
            None | Some(_) => {}
        }
        let passed = pump.passed();
        let since = self.reviewed_at.replace(now).map(|at| now - at);
        let moved = pump.review();
        if !moved && !pump.waits() {
            *self = Self::default();
            pump.set_hold(false);
            if let Some(sink) = sink {
                sink.set_sending(false);
            }
            return Ok(Provided::Nothing);
        }
        let Some(source) = source else {
            // What waits was paid for when it came.
            self.review_at = Some(now + REVIEW);
            return Ok(Provided::Nothing);
        };
        let address = source.address();
        let was_wide = self.wide;
        let buffer = sink.as_ref().map_or(0, |sink| sink.send_buffer(false));
        let need = pump.hold(false) + source.unread(false) + buffer;
        let held_up = sink
            .as_deref_mut()
            .is_some_and(|sink| is_held_up((passed, since), source, sink));
        if held_up && !self.wide && !memory.is_half_used() {
            self.widen(pump, (source, sink), memory, address);
        }
        if self.place.is_none() {
            self.place = memory.take(address, need as u64).ok();
        }
        if self.place.is_some() {
            self.starved = None;
            let next = if self.wide { REVIEW } else { SOON };
            self.review_at = Some(now + next);
            return Ok(if self.wide && !was_wide {
                Provided::More
            } else {
                Provided::Nothing
            });
        }
        self.review_at = Some(now + RETRY);
        let since = *self.starved.get_or_insert(now);
        if moved {
            self.starved = Some(now);
        } else if now - since >= config.starved_for {
            *self = Self::default();
            return Err(CloseReason::RateLimited);
        }
        Ok(Provided::Nothing)
    }

    fn widen(
        &mut self,
        pump: &mut Pump,
        (source, sink): (&mut Leg, Option<&mut Leg>),
        memory: &Pool,
        address: IpAddr,
    ) {
        let buffer = sink.as_ref().map_or(0, |sink| sink.send_buffer(true));
        let need = pump.hold(true) + source.unread(true) + buffer;
        // First the old place, or a direction would pay twice.
        drop(self.place.take());
        if let Ok(place) = memory.take(address, need as u64) {
            self.place = Some(place);
            self.wide = true;
            pump.set_hold(true);
            source.widen_receiving();
            if let Some(sink) = sink {
                sink.set_sending(true);
            }
        }
    }

    /// One of the two peers has another leg, with small windows. The next review widens them, and pays anew.
    pub(crate) fn leg_changed(&mut self) {
        self.wide = false;
    }
}

/// Whether windows that are narrow hold a direction up in which so many bytes passed in this time.
fn is_held_up((passed, since): (usize, Option<Duration>), source: &Leg, sink: &mut Leg) -> bool {
    // To be asked each time: the answer is about the time since the last one.
    let reads_on = sink.reads_on();
    let Some(rtt) = source.rtt().max(sink.rtt()) else {
        return passed >= BUSY;
    };
    let Some(since) = since else {
        return false;
    };
    let in_a_round_trip = passed as u128 * rtt.as_micros() / since.as_micros().max(1);
    reads_on && in_a_round_trip >= u128::from(NARROW) / 2
}

/// How often a direction with narrow windows is looked at.
const SOON: Duration = Duration::from_millis(250);
/// How often a direction with wide windows is looked at.
const REVIEW: Duration = Duration::from_secs(1);
/// How often a direction without memory asks for it.
const RETRY: Duration = Duration::from_millis(100);
