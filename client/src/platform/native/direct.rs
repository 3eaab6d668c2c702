//! Direct paths of native programs: ICE finds a pair of addresses, QUIC or WebRTC carries the frames.
//!
//! ```text
//!   Make, Offer, Accept, Answer, Add, Drop ─► attempt (a task) ─► Described, Candidate, Failed
//!                                                    └─ connected ─► Open ─► frames
//! ```
//!
//! There is one attempt at a time: the rules drop one before they make the next.

mod attempt;
mod certificate;
mod engine;
mod gather;
mod names;
mod quic;
mod socket;
pub(super) mod webrtc;

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peersox_core::close::CloseReason;
use peersox_core::direct::{Carrier, Channel, Connection, Input, Mode};
use peersox_core::endpoint::Action;
use peersox_core::frame::Frame;
use peersox_proto::v1::IceServer;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::attempt::{Order, Told};
use super::BoxFuture;
use super::leg::Open;
use crate::platform::{DirectNews, LegNews};

pub(crate) use self::gather::server as stun_server;
pub(super) use self::gather::{outward, own as own_addresses, resolve};

/// The connection of the present attempt, and what is to be told.
pub(crate) struct Direct {
    attempt: Option<Attempt>,
    /// What failed at once.
    failed: VecDeque<u64>,
    /// Connections that say goodbye.
    farewells: FuturesUnordered<BoxFuture<()>>,
}

struct Attempt {
    number: u64,
    orders: mpsc::Sender<Order>,
    told: mpsc::Receiver<Told>,
    /// The task has said its last word.
    is_over: bool,
    open: Option<Box<Open>>,
    _task: AbortOnDropHandle<()>,
}

impl Direct {
    /// What carries direct paths here, and is offered first.
    pub(crate) const CARRIER: Carrier = Carrier::Quic;

    /// When to look for a direct path, if a program wants it so.
    pub(crate) const fn mode(wanted: Mode) -> Mode {
        wanted
    }

    pub(crate) fn new() -> Self {
        Self {
            attempt: None,
            failed: VecDeque::new(),
            farewells: FuturesUnordered::new(),
        }
    }

    /// Does one of `Make`, `Offer`, `Accept`, `Answer`, `Add` and `Drop`, with these servers.
    pub(crate) fn obey(&mut self, action: Action, servers: &[IceServer]) {
        let servers = servers.to_vec();
        match action {
            Action::Make(number, carrier) => self.make(number, carrier),
            Action::Offer(number, restart) => {
                self.order(number, Order::Offer { restart, servers });
            }
            Action::Answer(number) => self.order(number, Order::Answer { servers }),
            Action::Accept(number, description) => {
                self.order(number, Order::Accept(description));
            }
            Action::Add(number, candidate) => self.order(number, Order::Add(candidate)),
            Action::Drop(number) => {
                let dropped = self.attempt.take_if(|it| it.number == number);
                self.part(dropped);
            }
            Action::OpenSession { .. }
            | Action::Connect(..)
            | Action::HangUp(..)
            | Action::Tell(_)
            | Action::End(_) => {}
        }
    }

    /// The attempts whose connection takes frames.
    pub(crate) fn open(&self) -> Vec<u64> {
        let open = self.attempt.iter().filter(|it| it.open.is_some());
        open.map(|it| it.number).collect()
    }

    /// Whether [`Direct::send`] may be called. If not, [`Direct::next`] tells when it may.
    pub(crate) fn has_room(&mut self, attempt: u64) -> bool {
        self.get(attempt).is_some_and(Open::has_room)
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&mut self, attempt: u64, frame: Frame) {
        if let Some(open) = self.get(attempt) {
            open.send(frame);
        }
    }

    /// Waits for news of any connection. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (u64, DirectNews) {
        if let Some(number) = self.failed.pop_front() {
            return (number, DirectNews::Input(Input::Failed));
        }
        let news = async {
            match &mut self.attempt {
                Some(attempt) => (attempt.number, attempt.next().await),
                None => std::future::pending().await,
            }
        };
        let mut news = std::pin::pin!(news);
        loop {
            tokio::select! {
                biased;
                Some(()) = self.farewells.next(), if !self.farewells.is_empty() => {}
                news = &mut news => return news,
            }
        }
    }

    /// Ends what there is: the other side is told, after the frames already sent.
    pub(crate) fn hang_up(&mut self) {
        let dropped = self.attempt.take();
        self.part(dropped);
    }

    /// Waits until the other side has been told, for as long as sockets may take.
    pub(crate) async fn finish(&mut self) {
        while self.farewells.next().await.is_some() {}
    }

    fn part(&mut self, attempt: Option<Attempt>) {
        if let Some(open) = attempt.and_then(|it| it.open) {
            self.farewells
                .push(Box::pin(open.hang_up(CloseReason::Done)));
        }
    }

    fn make(&mut self, number: u64, carrier: Carrier) {
        let (told, hears) = mpsc::channel(TOLD);
        match attempt::Attempt::new(carrier, told) {
            Ok(attempt) => {
                let (orders, taken) = mpsc::channel(ORDERS);
                self.attempt = Some(Attempt {
                    number,
                    orders,
                    told: hears,
                    is_over: false,
                    open: None,
                    _task: AbortOnDropHandle::new(tokio::spawn(attempt.run(taken))),
                });
            }
            Err(why) => {
                tracing::debug!(why, "no direct connection");
                self.failed.push_back(number);
            }
        }
    }

    fn order(&mut self, attempt: u64, order: Order) {
        let Some(it) = self.attempt.as_mut().filter(|it| it.number == attempt) else {
            return;
        };
        let is_candidate = matches!(order, Order::Add(_));
        // More candidates than a sane peer has are of no use; whatever else does not fit is missed.
        if it.orders.try_send(order).is_err() && !is_candidate && !it.is_over {
            self.failed.push_back(attempt);
        }
    }

    fn get(&mut self, attempt: u64) -> Option<&mut Open> {
        let present = self.attempt.as_mut().filter(|it| it.number == attempt)?;
        present.open.as_deref_mut()
    }
}

impl Attempt {
    async fn next(&mut self) -> DirectNews {
        loop {
            let frames = async {
                match &mut self.open {
                    Some(open) => open.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                told = self.told.recv(), if !self.is_over => match told {
                    Some(Told::Input(input)) => return DirectNews::Input(input),
                    Some(Told::Up(leg)) => {
                        self.open = Some(Box::new(Open::new(leg)));
                        return changed(Connection::Connected, Channel::Open);
                    }
                    None => {
                        self.is_over = true;
                        return DirectNews::Input(Input::Failed);
                    }
                },
                news = frames => match news {
                    LegNews::Frame(bytes) => return DirectNews::Frame(bytes),
                    LegNews::Room => return DirectNews::Room,
                    LegNews::Ended(ended, why) => {
                        tracing::debug!(?ended, why, "a direct connection ended");
                        self.open = None;
                        return changed(Connection::Closed, Channel::Closed);
                    }
                    LegNews::Connected => {}
                },
            }
        }
    }
}

fn changed(connection: Connection, channel: Channel) -> DirectNews {
    DirectNews::Input(Input::Changed(connection, channel))
}

/// Orders that wait: an offer, an answer, and the candidates that came early.
const ORDERS: usize = 96;

/// What waits to be told: a description and the candidates of this side.
const TOLD: usize = 32;
