//! The legs of one peer: a WebSocket each, in which one binary message is one frame.
//!
//! The browser takes whatever it is given, and sends it even after the socket was told to close. So frames
//! go to it directly, as long as little waits there.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use peersox_core::attach::{Ended, LegId, Transport, Transports};
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;
use peersox_web::socket::{self, End, Receiver, Sender};

use super::{BoxFuture, Dialer, Trust};
use crate::platform::LegNews;

/// The legs of one peer, those that are being connected included.
pub(crate) struct Legs {
    legs: Vec<(LegId, Leg)>,
}

enum Leg {
    /// The browser refused to make it: what it said.
    Refused(String),
    Made(Box<Made>),
}

struct Made {
    url: String,
    sender: Sender,
    receiver: Receiver,
    is_open: bool,
    /// Somebody was told that there is no room, and waits for it.
    room: Option<BoxFuture<()>>,
}

impl Legs {
    /// What carries a leg here.
    pub(crate) const TRANSPORTS: Transports = Transports::NONE.with(Transport::WebSocket);

    pub(crate) fn new(_: Trust, _: Dialer) -> Self {
        Self { legs: Vec::new() }
    }

    /// Begins to connect a leg to this endpoint.
    pub(crate) fn connect(&mut self, leg: LegId, endpoint: RelayEndpoint) {
        let state = match socket::connect(&endpoint.url, SUBPROTOCOL) {
            Ok((sender, receiver)) => Leg::Made(Box::new(Made {
                url: endpoint.url,
                sender,
                receiver,
                is_open: false,
                room: None,
            })),
            Err(failure) => Leg::Refused(format!("no WebSocket to {}: {failure}", endpoint.url)),
        };
        self.legs.push((leg, state));
    }

    /// The legs that are connected.
    pub(crate) fn open(&self) -> Vec<LegId> {
        let open = |(leg, state): &(LegId, Leg)| match state {
            Leg::Made(made) if made.is_open => Some(*leg),
            Leg::Made(_) | Leg::Refused(_) => None,
        };
        self.legs.iter().filter_map(open).collect()
    }

    /// Whether [`Legs::send`] may be called. If not, [`Legs::next`] tells when it may.
    pub(crate) fn has_room(&mut self, leg: LegId) -> bool {
        let Some(made) = self.get(leg) else {
            return false;
        };
        if made.sender.has_room() {
            made.room = None;
            return true;
        }
        let sender = made.sender.clone();
        made.room
            .get_or_insert_with(|| Box::pin(async move { sender.room().await }));
        false
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&mut self, leg: LegId, frame: Frame) {
        if let Some(made) = self.get(leg) {
            // It fails only before the socket is open, and nobody sends by then. A frame that meets the end
            // of the socket is lost like those in the network.
            let _ = made.sender.send(&frame.into_bytes());
        }
    }

    /// Whether frames that this leg took have not been handed to the network.
    pub(crate) fn waits(&mut self, leg: LegId) -> bool {
        self.get(leg)
            .is_some_and(|made| made.sender.buffered_amount() > 0)
    }

    /// Ends a leg and tells nothing more of it: with a reason after the frames already sent, else at once.
    pub(crate) fn hang_up(&mut self, leg: LegId, reason: Option<CloseReason>) {
        if let (Some(made), Some(reason)) = (self.get(leg), reason) {
            // The numbers of reasons are among those that a browser permits.
            let _ = made.sender.close(Some(reason.number()));
        }
        // What is dropped closes, if it does not yet.
        self.legs.retain(|(it, _)| *it != leg);
    }

    /// Waits until each leg that was hung up with a reason has told it: the browser does that by itself.
    pub(crate) async fn finish(self) {}

    /// Waits for news of any leg. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (LegId, LegNews) {
        let legs = &mut self.legs;
        let (leg, news) = poll_fn(|context| {
            let mut each = legs.iter_mut();
            let first = each.find_map(|(leg, state)| match state.poll_next(context) {
                Poll::Ready(news) => Some((*leg, news)),
                Poll::Pending => None,
            });
            first.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        if matches!(news, LegNews::Ended(..)) {
            self.legs.retain(|(it, _)| *it != leg);
        }
        (leg, news)
    }

    fn get(&mut self, leg: LegId) -> Option<&mut Made> {
        let (_, state) = self.legs.iter_mut().find(|(it, _)| *it == leg)?;
        match state {
            Leg::Made(made) if made.is_open => Some(made),
            Leg::Made(_) | Leg::Refused(_) => None,
        }
    }
}

impl Leg {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<LegNews> {
        match self {
            Self::Refused(why) => Poll::Ready(LegNews::Ended(Ended::Broken, std::mem::take(why))),
            Self::Made(made) => made.poll_next(context),
        }
    }
}

impl Made {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<LegNews> {
        if !self.is_open {
            let opened = ready!(pin!(self.receiver.opened()).poll(context));
            self.is_open = opened.is_ok();
            return Poll::Ready(match opened {
                Ok(()) => LegNews::Connected,
                Err(end) => self.ended(&end, "no WebSocket to"),
            });
        }
        let next = pin!(self.receiver.next()).poll(context);
        if let Poll::Ready(next) = next {
            return Poll::Ready(match next {
                Ok(bytes) => LegNews::Frame(bytes),
                Err(end) => self.ended(&end, "lost the WebSocket to"),
            });
        }
        match &mut self.room {
            Some(room) => {
                ready!(room.as_mut().poll(context));
                self.room = None;
                Poll::Ready(LegNews::Room)
            }
            None => Poll::Pending,
        }
    }

    fn ended(&self, end: &End, what: &str) -> LegNews {
        let ended = end.code.map_or(Ended::Broken, Ended::Closed);
        let said = match end.reason.as_str() {
            "" => "the browser does not say why",
            reason => reason,
        };
        LegNews::Ended(ended, format!("{what} {}: {said}", self.url))
    }
}

const SUBPROTOCOL: &str = "peersox.v1";
