//! One peer's connection to the relay, whatever carries it.
//!
//! A leg is a source and a sink of frames in one value that one task owns, so that nothing is split
//! and no lock is needed. Every operation is a poll: what was begun lives in the leg, never in a
//! future, so nothing is lost when its task turns to something else.
//!
//! ```text
//!   poll_first           the first frame, a sign of life, or how the leg ended
//!   poll_turn            the same for all that one read brings; reliable frames stay together as runs
//!   poll_ready, feed     room for a frame, then the frame; small buffers fill up
//!   write_runs           frames that came together, where both ends are WebSockets
//!   poll_flush           what was fed is handed to the kernel or to QUIC
//!   hang_up              the last frames, the close reason, and the socket is gone
//! ```
//!
//! How a leg ends is the peer's word or the world's: number 4000 means [`Ending::Done`], 4020
//! [`Ending::Moved`]. Everything else, the WebSocket codes 1000 and 1001 of a closed or reloaded page
//! included, is [`Ending::Gone`]: the peer may come back.

use std::net::IpAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use peersox_codec::{Heads, Run};
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_core::session::LegId;
use tokio::time::Instant;
use tracing::Span;

use crate::metrics::Transport;
use crate::pump::Held;
use crate::seat::Seat;
use crate::span::Taken;

pub(crate) mod grpc;
pub(crate) mod quic;
mod socket;
pub(crate) mod webtransport;
pub(crate) mod ws;

/// One leg. Its fields beside the wire belong to the session task.
pub(crate) struct Leg {
    pub(crate) id: LegId,
    /// When bytes last came, or when we last did not listen.
    pub(crate) heard: Instant,
    /// Whether a ping went out since then.
    pub(crate) probed: bool,
    /// Writing failed. The end is final once reading has nothing more to say.
    pub(crate) broken: bool,
    /// When the peer last heard from us while we did not listen.
    pub(crate) reassured: Instant,
    /// See [`crate::span`].
    pub(crate) span: Span,
    /// What came from it since it was admitted.
    pub(crate) taken: Taken,
    wire: Wire,
    /// Given back when the socket is closed.
    seat: Seat,
}

pub(crate) enum Wire {
    Ws(Box<ws::Ws>),
    Quic(Box<quic::Quic>),
    Grpc(Box<grpc::Grpc>),
}

/// What came in.
pub(crate) enum Item {
    /// The bytes of a frame, not looked at.
    Frame(Bytes),
    /// The transport's own traffic.
    Sign,
}

/// What came in, some of it together.
pub(crate) enum Came<'a> {
    Item(Item),
    /// Whole frames of the reliable lane, in memory that is used again.
    Run(Run<&'a [u8]>),
    /// The same in memory that may be kept.
    Shared(Run<Bytes>),
}

/// What the caller is ready to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    All,
    /// What comes in order. Before Hello there is nothing else to take.
    Ordered,
    /// Datagrams that travel outside the order, while the receiver of ordered frames is slow.
    Datagrams,
}

/// How a leg ended, or why it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Without a reason.
    Gone,
    /// The peer said that it is done.
    Done,
    /// The peer has gone to another relay: it ended the leg with [`CloseReason::Moved`].
    Moved,
    /// The peer broke a rule; the leg is still to be hung up.
    Fault(CloseReason),
}

impl Ending {
    /// The peer ended the leg with this number.
    pub(crate) fn of_peer(number: u64) -> Self {
        let reason = u16::try_from(number)
            .ok()
            .and_then(CloseReason::from_number);
        match reason {
            Some(CloseReason::Done) => Self::Done,
            Some(CloseReason::Moved) => Self::Moved,
            _ => Self::Gone,
        }
    }
}

/// Writing is not possible any more.
#[derive(Debug)]
pub(crate) struct Broken;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// Not now; the task is woken when it is worth another try.
    Busy,
    /// Never: the path takes only smaller ones.
    TooLarge,
}

impl Leg {
    pub(crate) fn new(id: LegId, wire: Wire, seat: Seat) -> Self {
        Self {
            id,
            heard: Instant::now(),
            probed: false,
            broken: false,
            reassured: Instant::now(),
            span: Span::none(),
            taken: Taken::default(),
            wire,
            seat,
        }
    }

    /// Whom it is charged to.
    pub(crate) fn address(&self) -> IpAddr {
        self.seat.address()
    }

    /// How many bytes the peer may have sent that nobody reads: with wide windows, or with those it has.
    pub(crate) fn unread(&self, wide: bool) -> usize {
        match &self.wire {
            Wire::Ws(ws) => ws.unread(),
            Wire::Quic(quic) => quic.unread(wide),
            Wire::Grpc(grpc) => grpc.unread(),
        }
    }

    /// How many bytes may wait for the peer.
    pub(crate) fn send_buffer(&self, wide: bool) -> usize {
        match &self.wire {
            Wire::Ws(ws) => ws.send_buffer(),
            Wire::Quic(quic) => quic.send_buffer(wide),
            Wire::Grpc(grpc) => grpc.send_buffer(),
        }
    }

    /// How long a byte and its acknowledgement take, where the leg has windows of its own.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        match &self.wire {
            Wire::Ws(_) | Wire::Grpc(_) => None,
            Wire::Quic(quic) => Some(quic.rtt()),
        }
    }

    /// Whether the peer's program is known to have read since the last call, or nothing tells.
    pub(crate) fn reads_on(&mut self) -> bool {
        match &mut self.wire {
            Wire::Ws(_) | Wire::Grpc(_) => true,
            Wire::Quic(quic) => quic.reads_on(),
        }
    }

    /// What carries it.
    pub(crate) fn transport(&self) -> Transport {
        match &self.wire {
            Wire::Ws(_) => Transport::WebSocket,
            Wire::Quic(quic) if quic.is_webtransport() => Transport::WebTransport,
            Wire::Quic(_) => Transport::Quic,
            Wire::Grpc(_) => Transport::Grpc,
        }
    }

    /// Counts it as admitted.
    pub(crate) fn admit(&mut self) {
        self.seat.admit(self.transport());
    }

    /// Whether what is not read waits in windows of the leg's own, so that little has to wait behind it.
    pub(crate) fn has_windows(&self) -> bool {
        matches!(self.wire, Wire::Quic(_))
    }

    /// Permits the peer to send more ahead.
    pub(crate) fn widen_receiving(&mut self) {
        if let Wire::Quic(quic) = &mut self.wire {
            quic.widen_receiving();
        }
    }

    /// Lets more wait for the peer, or less.
    pub(crate) fn set_sending(&mut self, wide: bool) {
        if let Wire::Quic(quic) = &mut self.wire {
            quic.set_sending(wide);
        }
    }

    /// Whether silence has to be measured here, because the transport does not do it. HTTP/2 does, but a
    /// proxy in between answers in the peer's place.
    pub(crate) fn needs_probes(&self) -> bool {
        matches!(self.wire, Wire::Ws(_) | Wire::Grpc(_))
    }

    /// The first frame, before anything is passed on.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ending>> {
        match &mut self.wire {
            Wire::Ws(ws) => ws.poll_first(cx),
            Wire::Quic(quic) => {
                let came = ready!(quic.poll_turn(cx, Want::Ordered, 0))?;
                Poll::Ready(match came {
                    Came::Item(item) => Ok(item),
                    // There is no room for one, and no Hello is on the reliable lane.
                    Came::Run(_) | Came::Shared(_) => Err(Ending::Fault(CloseReason::HelloInvalid)),
                })
            }
            Wire::Grpc(grpc) => grpc.poll_turn(cx).map_ok(Item::Frame),
        }
    }

    /// Reads once, and hands on what is whole then; at most `room` bytes of runs, which is no less than the
    /// largest frame has. An error of `take` ends the leg.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        want: Want,
        room: usize,
        mut take: impl FnMut(&mut Context<'_>, Came<'_>) -> Result<(), Ending>,
    ) -> Poll<Result<(), Ending>> {
        match &mut self.wire {
            // Everything is in order on a WebSocket and in a call.
            Wire::Ws(_) | Wire::Grpc(_) if want == Want::Datagrams => Poll::Pending,
            Wire::Ws(ws) => ws.poll_turn(cx, room, &mut take),
            Wire::Quic(quic) => {
                let came = ready!(quic.poll_turn(cx, want, room))?;
                Poll::Ready(take(cx, came))
            }
            Wire::Grpc(grpc) => {
                let frame = ready!(grpc.poll_turn(cx))?;
                Poll::Ready(take(cx, Came::Item(Item::Frame(frame))))
            }
        }
    }

    /// Whether the peer is known to have left for good, though not all that it sent is read.
    pub(crate) fn is_done(&self) -> bool {
        match &self.wire {
            Wire::Ws(ws) => ws.is_done(),
            Wire::Quic(quic) => quic.is_done(),
            // What a peer says last lies behind all that is not read.
            Wire::Grpc(_) => false,
        }
    }

    /// Pending for good once writing failed: only reading can tell how the leg ended.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken {
            return Poll::Pending;
        }
        let ready = match &mut self.wire {
            Wire::Ws(ws) => ws.poll_ready(cx),
            Wire::Quic(quic) => quic.poll_ready(cx),
            Wire::Grpc(grpc) => grpc.poll_ready(cx),
        };
        match ready {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(Broken)) => {
                self.broken = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes a frame, or frames that came together; only after [`Leg::poll_ready`] was ready.
    pub(crate) fn feed(&mut self, held: Held) {
        match &mut self.wire {
            Wire::Ws(ws) => ws.feed(held),
            Wire::Quic(quic) => quic.feed(held),
            Wire::Grpc(grpc) => grpc.feed(held),
        }
    }

    /// What stands in front of each frame of the runs that [`Leg::write_runs`] takes, if it takes any.
    pub(crate) fn writes_runs(&self) -> Option<Heads> {
        match &self.wire {
            Wire::Ws(_) if !self.broken => Some(Heads::WebSocket),
            Wire::Ws(_) | Wire::Quic(_) | Wire::Grpc(_) => None,
        }
    }

    /// Takes frames that came together, with the heads that [`Leg::writes_runs`] names. Answers how many
    /// bytes of them are dealt with. That is 0 if the leg takes nothing now; the task is woken when it does.
    pub(crate) fn write_runs<'a>(
        &mut self,
        cx: &mut Context<'_>,
        runs: impl Iterator<Item = Run<&'a [u8]>> + Clone,
    ) -> usize {
        let Wire::Ws(ws) = &mut self.wire else {
            return 0;
        };
        match ws.write_runs(cx, runs) {
            Ok(written) => written,
            Err(Broken) => {
                self.broken = true;
                0
            }
        }
    }

    /// Sends a datagram at once, or says why not.
    pub(crate) fn poll_datagram(&mut self, cx: &mut Context<'_>, frame: &Frame) -> Sent {
        if let Wire::Quic(quic) = &mut self.wire
            && let Some(sent) = quic.poll_datagram(cx, frame)
        {
            return sent;
        }
        if self.poll_ready(cx).is_pending() {
            return Sent::Busy;
        }
        self.feed(Held::Frame(frame.clone()));
        Sent::Yes
    }

    /// Sends a ping of the transport, if it has one; only after [`Leg::poll_ready`] was ready. In a call of
    /// gRPC it is for the peer to say something in time.
    pub(crate) fn probe(&mut self) {
        if let Wire::Ws(ws) = &mut self.wire {
            ws.ping();
        }
    }

    /// Pushes out what was fed. Pending is no reason to wait: the task is woken.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if self.broken {
            return;
        }
        let flushed = match &mut self.wire {
            Wire::Ws(ws) => ws.poll_flush(cx),
            Wire::Quic(quic) => quic.poll_flush(cx),
            Wire::Grpc(grpc) => grpc.poll_flush(cx),
        };
        self.broken |= matches!(flushed, Poll::Ready(Err(Broken)));
    }

    /// Delivers `last`, then ends the leg with a reason and closes its socket. May wait for the
    /// peer without bound; its caller has the patience.
    pub(crate) async fn hang_up(self, last: Vec<Held>, reason: CloseReason) {
        match self.wire {
            Wire::Ws(ws) => ws.hang_up(last, reason).await,
            Wire::Quic(quic) => quic.hang_up(last, reason).await,
            Wire::Grpc(grpc) => grpc.hang_up(last, reason, self.seat).await,
        }
    }

    /// Lets go of a leg that the peer ended.
    pub(crate) async fn part(self) {
        match self.wire {
            Wire::Ws(ws) => ws.part().await,
            Wire::Quic(quic) => quic.part(),
            Wire::Grpc(grpc) => grpc.part(self.seat).await,
        }
    }
}

/// Whether frames that still wait for a leg are worth delivering before it is hung up. A peer that
/// broke a rule, or whose place is taken, gets its reason at once.
pub(crate) fn is_graceful(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::PeerLeft | CloseReason::PeerLost | CloseReason::Draining
    )
}
