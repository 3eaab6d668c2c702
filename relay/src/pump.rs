//! The data path: what waits in one direction, from one peer to the other.
//!
//! ```text
//!   source ──> accept ──> reliable   waits; full: the source is not read
//!                    ├──> datagrams  full: the oldest makes room
//!                    └──> signals    full: the newest is refused
//!                              │
//!              poll_write ─────┴──> sink: signals, then datagrams and reliable in turns
//!
//!   source ──> pass ──> sink         reliable frames that came together, if nothing waits
//!                  └──> reliable     what the sink does not take; it goes out from where it lies
//! ```
//!
//! What waits survives the leg it waits for: the next leg of the role gets it. What was fed to a
//! leg that is then lost is gone, and the peers' channel sends it again.

use std::task::Context;

use bytes::Bytes;
use peersox_codec::Run;
use peersox_codec::websocket::largest_frame;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};

use crate::config::{Bound, Config};
use crate::leg::{Leg, Sent};
use crate::metrics::{DropReason, Tally};

mod queue;

use queue::Queue;
pub(crate) use queue::{Held, PART};

/// One direction of a session.
pub(crate) struct Pump {
    reliable: Queue,
    datagrams: Queue,
    signals: Queue,
    /// What is held while memory is scarce, and otherwise.
    narrow: usize,
    wide: usize,
    /// The same if the source has windows of its own.
    windowed: usize,
    /// Whether it has.
    has_windows: bool,
    /// Bytes accepted since the last review.
    taken: usize,
    /// Whether a frame was fed since the last review.
    moved: bool,
    max_frame: usize,
    max_datagram: usize,
    max_signal: usize,
    /// The sink took less than there was: what comes now has to wait.
    blocked: bool,
    /// Whether a datagram goes before the next reliable frame; it alternates.
    datagram_first: bool,
    /// Datagrams dropped since [`Pump::take_dropped`].
    dropped: u64,
}

impl Pump {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        // Room for two of the largest frames keeps even a badly chosen bound from stalling.
        let narrow = 2 * limits.frame_bytes + limits.frame_bytes / 128 + 1024;
        let wide = config.hold_bytes.max(narrow);
        Self {
            reliable: Queue::new(Bound {
                frames: usize::MAX,
                bytes: narrow,
            }),
            datagrams: Queue::new(limits.datagram_queue),
            signals: Queue::new(limits.signal_mailbox),
            narrow,
            wide,
            windowed: largest_frame(limits.frame_bytes) + AHEAD,
            has_windows: false,
            taken: 0,
            moved: false,
            max_frame: limits.frame_bytes,
            max_datagram: limits.datagram_bytes,
            max_signal: limits.signal_bytes,
            blocked: true,
            datagram_first: true,
            dropped: 0,
        }
    }

    /// Whether the source may be read: its next frame fits, however large it is.
    pub(crate) fn has_room(&self) -> bool {
        self.room() >= largest_frame(self.max_frame)
    }

    /// Whether this frame fits without dropping another one or being refused.
    pub(crate) fn fits(&self, frame: &Frame) -> bool {
        match frame.lane() {
            Lane::Notice | Lane::Reliable => self.reliable.fits(frame.len()),
            Lane::Datagram => self.datagrams.fits(frame.len()),
            Lane::Signal => self.signals.fits(frame.len()),
        }
    }

    /// How many bytes of reliable frames fit, with heads of WebSocket.
    pub(crate) fn room(&self) -> usize {
        self.reliable.room()
    }

    /// How many bytes of reliable frames are held at most.
    pub(crate) fn hold(&self, wide: bool) -> usize {
        match (wide, self.has_windows) {
            (true, _) => self.wide,
            (false, true) => self.windowed,
            (false, false) => self.narrow,
        }
    }

    /// The sender has another leg, with windows or without. What waits already stays.
    pub(crate) fn source_changed(&mut self, has_windows: bool) {
        self.has_windows = has_windows;
        self.set_hold(false);
    }

    /// Holds more, or less, from now on. What waits already stays.
    pub(crate) fn set_hold(&mut self, wide: bool) {
        self.reliable.set_bytes(self.hold(wide));
    }

    /// Whether frames wait or flow.
    pub(crate) fn is_busy(&self) -> bool {
        self.flows() || self.waits()
    }

    /// Whether so much has passed that memory should be taken for it.
    pub(crate) fn flows(&self) -> bool {
        self.taken >= BUSY
    }

    /// Whether frames wait.
    pub(crate) fn waits(&self) -> bool {
        !(self.reliable.is_empty() && self.signals.is_empty() && self.datagrams.is_empty())
    }

    /// Bytes that were taken since the last review.
    pub(crate) fn passed(&self) -> usize {
        self.taken
    }

    /// Whether anything was taken or fed since the last call.
    pub(crate) fn review(&mut self) -> bool {
        let taken = std::mem::take(&mut self.taken) > 0 && !self.waits();
        std::mem::take(&mut self.moved) || taken
    }

    /// Takes a frame of any lane but notice. `online` says whether the receiver has a leg.
    pub(crate) fn accept(
        &mut self,
        frame: Frame,
        online: bool,
        tally: &mut Tally,
    ) -> Result<(), CloseReason> {
        let (lane, len) = (frame.lane(), frame.len());
        let max = match lane {
            Lane::Notice | Lane::Reliable => self.max_frame,
            Lane::Datagram => self.max_datagram,
            Lane::Signal => self.max_signal,
        };
        if len > max {
            return Err(CloseReason::FrameTooLarge);
        }
        self.taken += len;
        let wait = self.blocked || !online;
        match lane {
            Lane::Notice => return Err(CloseReason::NoticeForbidden),
            Lane::Reliable => self.reliable.push(frame, wait),
            Lane::Datagram if !online => tally.dropped(DropReason::DatagramPeerAway),
            Lane::Datagram => {
                while !self.datagrams.fits(len) && self.datagrams.pop().is_some() {
                    tally.dropped(DropReason::DatagramQueueFull);
                    self.dropped += 1;
                }
                self.datagrams.push(frame, wait);
            }
            Lane::Signal if !self.signals.fits(len) => tally.dropped(DropReason::SignalMailboxFull),
            Lane::Signal => self.signals.push(frame, wait),
        }
        Ok(())
    }

    /// Takes reliable frames that came together in memory that may be kept.
    pub(crate) fn accept_run(&mut self, run: Run<Bytes>, online: bool) {
        self.taken += run.payload();
        let wait = self.blocked || !online;
        self.reliable.push_shared(run, wait);
    }

    /// Takes reliable frames that came together; no more than [`Pump::room`] bytes. If nothing waits, the
    /// sink writes what it takes at once. `sink` is none while the receiver has no leg, or has news to hear
    /// first.
    pub(crate) fn pass(
        &mut self,
        cx: &mut Context<'_>,
        run: Run<&[u8]>,
        sink: Option<&mut Leg>,
        tally: &mut Tally,
    ) {
        self.taken += run.payload();
        let mut rest = run;
        if let Some(sink) = sink
            && sink.writes_runs() == Some(run.heads())
            && self.reliable.is_empty()
            && self.signals.is_empty()
        {
            let written;
            let at = sink.write_runs(cx, std::iter::once(run));
            (written, rest) = run.split(at);
            tally.forwarded_many(Lane::Reliable, written.frames(), written.payload());
            self.moved |= !written.is_empty();
        }
        self.reliable.push_run(rest);
    }

    /// Feeds what waits, as far as the sink takes it; what is in order only if `in_order` says so. Answers
    /// whether anything moved.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut Leg,
        in_order: bool,
        tally: &mut Tally,
    ) -> bool {
        let mut moved = false;
        while in_order && !self.signals.is_empty() && sink.poll_ready(cx).is_ready() {
            moved |= Self::feed(&mut self.signals, sink, tally);
        }
        loop {
            self.datagram_first ^= true;
            let first = self.datagram_first;
            let one = (first && self.write_datagram(cx, sink, tally))
                || (in_order && self.write_reliable(cx, sink, tally))
                || (!first && self.write_datagram(cx, sink, tally));
            if !one {
                break;
            }
            moved = true;
        }
        self.moved |= moved;
        self.blocked = !(self.reliable.is_empty() && self.signals.is_empty());
        moved
    }

    fn write_reliable(&mut self, cx: &mut Context<'_>, sink: &mut Leg, tally: &mut Tally) -> bool {
        if let Some(heads) = sink.writes_runs()
            && self.reliable.runs(heads).next().is_some()
        {
            let at = sink.write_runs(cx, self.reliable.runs(heads));
            self.reliable.advance(at, tally);
            return at > 0;
        }
        !self.reliable.is_empty()
            && sink.poll_ready(cx).is_ready()
            && Self::feed(&mut self.reliable, sink, tally)
    }

    fn write_datagram(&mut self, cx: &mut Context<'_>, sink: &mut Leg, tally: &mut Tally) -> bool {
        let Some(Held::Frame(frame)) = self.datagrams.front() else {
            return false;
        };
        match sink.poll_datagram(cx, frame) {
            Sent::Yes => tally.forwarded(Lane::Datagram, frame.len()),
            Sent::TooLarge => {
                tally.dropped(DropReason::DatagramTooLargeForPath);
                self.dropped += 1;
            }
            Sent::Busy => return false,
        }
        self.datagrams.pop();
        true
    }

    fn feed(queue: &mut Queue, sink: &mut Leg, tally: &mut Tally) -> bool {
        let Some(held) = queue.pop() else {
            return false;
        };
        held.count(tally);
        sink.feed(held);
        true
    }

    /// The receiver has a new leg, or none: datagrams for the old one are stale.
    pub(crate) fn sink_changed(&mut self, tally: &mut Tally) {
        while self.datagrams.pop().is_some() {
            tally.dropped(DropReason::DatagramPeerAway);
        }
        self.dropped = 0;
        self.blocked = true;
    }

    /// How many datagrams were dropped since the last call, those for an absent peer excepted.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// What still waits, at the end of the session.
    pub(crate) fn rest(&mut self, tally: &mut Tally) -> Vec<Held> {
        let mut rest = Vec::new();
        for queue in [&mut self.signals, &mut self.reliable] {
            while let Some(held) = queue.pop() {
                held.count(tally);
                rest.push(held);
            }
        }
        rest
    }
}

/// How much waits behind a source with windows of its own before it is not read, in bytes.
const AHEAD: usize = 16 * 1024;
/// So many bytes in passing make a direction busy.
pub(crate) const BUSY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(lane: Lane, len: usize, mark: u8) -> Frame {
        Frame::new(lane, &vec![mark; len - 1])
    }

    #[test]
    fn datagrams_make_room_oldest_first_and_are_counted() {
        let (mut pump, mut tally) = (Pump::new(&Config::default()), Tally::default());
        for mark in 0..70 {
            let datagram = frame(Lane::Datagram, 100, mark);
            pump.accept(datagram, true, &mut tally).unwrap();
        }
        assert_eq!(pump.take_dropped(), 6);
        assert_eq!(pump.take_dropped(), 0);
        let Some(Held::Frame(oldest)) = pump.datagrams.front() else {
            panic!("a datagram waits");
        };
        assert_eq!(oldest, &frame(Lane::Datagram, 100, 6));
    }

    #[test]
    fn the_mailbox_refuses_the_newest_signal() {
        let (mut pump, mut tally) = (Pump::new(&Config::default()), Tally::default());
        for mark in 0..40 {
            let signal = frame(Lane::Signal, 100, mark);
            pump.accept(signal, false, &mut tally).unwrap();
        }
        let rest = pump.rest(&mut tally);
        assert_eq!(rest.len(), 32);
        let Held::Frame(oldest) = &rest[0] else {
            panic!("a signal waits");
        };
        assert_eq!(oldest, &frame(Lane::Signal, 100, 0));
    }

    #[test]
    fn the_source_is_stopped_before_a_reliable_frame_could_not_be_held() {
        let config = Config::default();
        let (mut pump, mut tally) = (Pump::new(&config), Tally::default());
        pump.set_hold(true);
        let mut held = 0;
        while pump.has_room() {
            let largest = frame(Lane::Reliable, config.limits.frame_bytes, 1);
            held += largest.len();
            pump.accept(largest, false, &mut tally).unwrap();
        }
        assert!(held <= config.hold_bytes, "{held}");
        let rest: usize = pump.rest(&mut tally).iter().map(Held::len).sum();
        assert_eq!(rest, held, "nothing is dropped");
    }

    #[test]
    fn two_of_the_largest_frames_are_held_while_memory_is_scarce() {
        for frame_bytes in [4 * 1024, 64 * 1024, 1024 * 1024] {
            let mut config = Config::default();
            config.limits.frame_bytes = frame_bytes;
            let (mut pump, mut tally) = (Pump::new(&config), Tally::default());
            for _ in 0..2 {
                assert!(pump.has_room(), "{frame_bytes}");
                let largest = frame(Lane::Reliable, frame_bytes, 1);
                pump.accept(largest, false, &mut tally).unwrap();
            }
        }
    }

    #[test]
    fn each_lane_has_its_limit() {
        let config = Config::default();
        let (mut pump, mut tally) = (Pump::new(&config), Tally::default());
        for (lane, max) in [
            (Lane::Reliable, config.limits.frame_bytes),
            (Lane::Datagram, config.limits.datagram_bytes),
            (Lane::Signal, config.limits.signal_bytes),
        ] {
            assert_eq!(pump.accept(frame(lane, max, 0), true, &mut tally), Ok(()));
            let over = pump.accept(frame(lane, max + 1, 0), true, &mut tally);
            assert_eq!(over, Err(CloseReason::FrameTooLarge), "{lane:?}");
        }
    }
}
