//! The legs of one peer: each connects, then has a reader and a writer.
//!
//! ```text
//!   connect ──► Connecting ──► Open ──┬─ source, read here ────────────► News
//!                                     └─ queue ─► writer task ─► sink
//! ```

use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use peersox_core::attach::{LegId, Transports};
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;

use super::leg::{End, Leg, Open};
use super::tls::Trust;
use super::{BoxFuture, Dialer};
use crate::platform::LegNews;

/// The legs of one peer, those that are being connected included.
pub(crate) struct Legs {
    trust: Trust,
    dialer: Dialer,
    legs: Vec<(LegId, State)>,
    /// Legs that say goodbye.
    farewells: FuturesUnordered<BoxFuture<()>>,
}

enum State {
    Connecting(BoxFuture<Result<Leg, End>>),
    Open(Box<Open>),
}

impl Legs {
    /// What carries a leg here.
    pub(crate) const TRANSPORTS: Transports = Transports::NATIVE;

    /// Without any. Legs are connected through `dialer` to relays that `trust` knows.
    pub(crate) fn new(trust: Trust, dialer: Dialer) -> Self {
        Self {
            trust,
            dialer,
            legs: Vec::new(),
            farewells: FuturesUnordered::new(),
        }
    }

    /// Begins to connect a leg to this endpoint.
    pub(crate) fn connect(&mut self, leg: LegId, endpoint: RelayEndpoint) {
        let (trust, dialer) = (self.trust.clone(), self.dialer.clone());
        let connecting = async move { Leg::connect(&endpoint, &trust, &dialer).await };
        self.legs
            .push((leg, State::Connecting(Box::pin(connecting))));
    }

    /// The legs that are connected.
    pub(crate) fn open(&self) -> Vec<LegId> {
        let open = |(leg, state): &(LegId, State)| match state {
            State::Open(_) => Some(*leg),
            State::Connecting(_) => None,
        };
        self.legs.iter().filter_map(open).collect()
    }

    /// Whether [`Legs::send`] may be called. If not, [`Legs::next`] tells when it may: the room may come
    /// back between the two calls, and would be missed if only a full queue were waited for.
    pub(crate) fn has_room(&mut self, leg: LegId) -> bool {
        self.get(leg).is_some_and(Open::has_room)
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&mut self, leg: LegId, frame: Frame) {
        if let Some(open) = self.get(leg) {
            open.send(frame);
        }
    }

    /// Whether frames that this leg took have not been handed to the network.
    pub(crate) fn waits(&mut self, leg: LegId) -> bool {
        self.get(leg).is_some_and(|open| open.waits())
    }

    /// Ends a leg and tells nothing more of it: with a reason after the frames already sent, else at once.
    pub(crate) fn hang_up(&mut self, leg: LegId, reason: Option<CloseReason>) {
        let Some(at) = self.legs.iter().position(|(it, _)| *it == leg) else {
            return;
        };
        let (_, state) = self.legs.swap_remove(at);
        if let (State::Open(open), Some(reason)) = (state, reason)
            && !open.is_written()
        {
            self.farewells.push(Box::pin(open.hang_up(reason)));
        }
    }

    /// Waits until each leg that was hung up with a reason has told it, for as long as sockets may take.
    pub(crate) async fn finish(mut self) {
        while self.farewells.next().await.is_some() {}
    }

    /// Waits for news of any leg. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (LegId, LegNews) {
        let (leg, news) = {
            let mut news = std::pin::pin!(any(&mut self.legs));
            loop {
                tokio::select! {
                    biased;
                    Some(()) = self.farewells.next(), if !self.farewells.is_empty() => {}
                    news = &mut news => break news,
                }
            }
        };
        if matches!(news, LegNews::Ended(..)) {
            self.legs.retain(|(it, _)| *it != leg);
        }
        (leg, news)
    }

    fn get(&mut self, leg: LegId) -> Option<&mut Open> {
        let (_, state) = self.legs.iter_mut().find(|(it, _)| *it == leg)?;
        match state {
            State::Open(open) => Some(open),
            State::Connecting(_) => None,
        }
    }
}

/// Waits for news of any of these legs. Cancelling it loses nothing.
async fn any(legs: &mut [(LegId, State)]) -> (LegId, LegNews) {
    match legs {
        [] => std::future::pending().await,
        // Nearly always there is one: nothing is allocated for each frame.
        [(leg, state)] => (*leg, state.next().await),
        several => {
            let each = several.iter_mut();
            let all = each.map(|(leg, state)| Box::pin(async { (*leg, state.next().await) }));
            select_all(all).await.0
        }
    }
}

impl State {
    async fn next(&mut self) -> LegNews {
        let connected = match self {
            Self::Open(open) => return open.next().await,
            Self::Connecting(connecting) => connecting.await,
        };
        match connected {
            Ok(leg) => {
                *self = Self::Open(Box::new(Open::new(leg)));
                LegNews::Connected
            }
            Err(end) => end.into(),
        }
    }
}
