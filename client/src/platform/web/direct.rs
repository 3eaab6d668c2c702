//! Direct paths: an `RTCPeerConnection` with two data channels for each attempt.
//!
//! ```text
//!   Make ─► connection ─► events ───────────────────────────────► Changed, Candidate, frames
//!   Offer, Answer, Accept, Add ─► steps, one promise or two each ─► Described, Accepted, Failed
//! ```
//!
//! There is one attempt at a time: the rules drop one before they make the next.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peersox_core::direct::{self, Carrier, Channel, IceCandidate, Input, Mode, SessionDescription};
use peersox_core::endpoint::Action;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1;
use peersox_web::Failure;
use peersox_web::rtc::{self, Candidate, Configuration, Connection, Event, Events, Kind, State};

use super::BoxFuture;
use crate::platform::DirectNews;

/// The connection of the present attempt, and what is to be told.
pub(crate) struct Direct {
    attempt: Option<Attempt>,
    /// What failed at once.
    failed: VecDeque<u64>,
}

struct Attempt {
    number: u64,
    connection: Rc<Connection>,
    events: Events,
    /// What the browser is asked and has not answered; each gives what to tell of it, if anything.
    steps: FuturesUnordered<BoxFuture<Option<Input>>>,
    /// The reliable channel was open once, and is closed.
    is_closed: bool,
}

impl Direct {
    /// What carries direct paths here, and is offered first.
    pub(crate) const CARRIER: Carrier = Carrier::WebRtc;

    /// When to look for a direct path, if a program wants it so. Workers have no WebRTC.
    pub(crate) fn mode(wanted: Mode) -> Mode {
        match rtc::is_available() {
            true => wanted,
            false => Mode::Off,
        }
    }

    pub(crate) fn new() -> Self {
        Self {
            attempt: None,
            failed: VecDeque::new(),
        }
    }

    /// Does one of `Make`, `Offer`, `Accept`, `Answer`, `Add` and `Drop`, with these servers.
    pub(crate) fn obey(&mut self, action: Action, servers: &[v1::IceServer]) {
        match action {
            Action::Make(number, _) => self.make(number, servers),
            Action::Offer(number, restart) => self.step(number, |connection| {
                renew(&connection, servers);
                let offer = connection.create_offer(restart);
                Box::pin(async move { told(describe(&connection, Kind::Offer, offer).await) })
            }),
            Action::Answer(number) => self.step(number, |connection| {
                renew(&connection, servers);
                let answer = connection.create_answer();
                Box::pin(async move { told(describe(&connection, Kind::Answer, answer).await) })
            }),
            Action::Accept(number, description) => self.step(number, |connection| {
                let kind = match description.r#type.as_str() {
                    "offer" => Kind::Offer,
                    _ => Kind::Answer,
                };
                let set = connection.set_remote(kind, &description.sdp);
                Box::pin(async move { told(set.await.map(|()| Input::Accepted)) })
            }),
            Action::Add(number, candidate) => self.step(number, |connection| {
                let added = connection.add_candidate(&theirs(candidate));
                // One that does not fit costs nothing but itself.
                Box::pin(async move { added.await.err().and(None) })
            }),
            Action::Drop(number) => {
                self.attempt.take_if(|it| it.number == number);
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
        let open = self.attempt.iter().filter(|it| it.connection.is_open());
        open.map(|it| it.number).collect()
    }

    /// Whether [`Direct::send`] may be called. If not, [`Direct::next`] tells when it may.
    pub(crate) fn has_room(&mut self, attempt: u64) -> bool {
        self.get(attempt).is_some_and(|it| it.connection.has_room())
    }

    /// Sends a frame; the caller has made sure that there is room. A datagram that cannot leave is dropped.
    pub(crate) fn send(&mut self, attempt: u64, frame: Frame) {
        let Some(it) = self.get(attempt) else { return };
        let lane = frame.lane();
        let bytes = frame.into_bytes();
        if lane == Lane::Datagram {
            it.connection.send_datagram(&bytes);
        } else if it.connection.send(&bytes).is_err() {
            // What follows the frame would be of no use without it.
            self.failed.push_back(attempt);
        }
    }

    /// Waits for news of any connection. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (u64, DirectNews) {
        poll_fn(|context| {
            if let Some(number) = self.failed.pop_front() {
                return Poll::Ready((number, DirectNews::Input(Input::Failed)));
            }
            match &mut self.attempt {
                Some(attempt) => attempt.poll_next(context),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Ends what there is. A browser tells the other side by itself.
    pub(crate) fn hang_up(&mut self) {
        self.attempt = None;
    }

    /// Waits until the other side has been told.
    pub(crate) async fn finish(&mut self) {}

    fn make(&mut self, number: u64, servers: &[v1::IceServer]) {
        match Connection::new(&configuration(servers)) {
            Ok((connection, events)) => {
                self.attempt = Some(Attempt {
                    number,
                    connection: Rc::new(connection),
                    events,
                    steps: FuturesUnordered::new(),
                    is_closed: false,
                });
            }
            Err(failure) => {
                tracing::debug!(%failure, "no direct connection");
                self.failed.push_back(number);
            }
        }
    }

    fn step(
        &mut self,
        attempt: u64,
        begin: impl FnOnce(Rc<Connection>) -> BoxFuture<Option<Input>>,
    ) {
        if let Some(it) = self.get(attempt) {
            it.steps.push(begin(Rc::clone(&it.connection)));
        }
    }

    fn get(&mut self, attempt: u64) -> Option<&mut Attempt> {
        self.attempt.as_mut().filter(|it| it.number == attempt)
    }
}

impl Attempt {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(u64, DirectNews)> {
        let event = pin!(self.events.next()).poll(context);
        if let Poll::Ready(event) = event {
            return Poll::Ready((self.number, self.news(event)));
        }
        while let Poll::Ready(Some(done)) = self.steps.poll_next_unpin(context) {
            if let Some(input) = done {
                return Poll::Ready((self.number, DirectNews::Input(input)));
            }
        }
        Poll::Pending
    }

    fn news(&mut self, event: Event) -> DirectNews {
        self.is_closed |= event == Event::Closed;
        match event {
            Event::Candidate(candidate) => DirectNews::Input(Input::Candidate(ours(candidate))),
            Event::State(_) | Event::Open | Event::Closed => {
                DirectNews::Input(Input::Changed(self.connection(), self.channel()))
            }
            Event::Room => DirectNews::Room,
            Event::Frame(bytes) => DirectNews::Frame(bytes),
        }
    }

    fn connection(&self) -> direct::Connection {
        match self.connection.state() {
            State::New | State::Connecting | State::Disconnected => direct::Connection::Pending,
            State::Connected => direct::Connection::Connected,
            State::Failed => direct::Connection::Failed,
            State::Closed => direct::Connection::Closed,
        }
    }

    fn channel(&self) -> Channel {
        match (self.is_closed, self.connection.is_open()) {
            (true, _) => Channel::Closed,
            (false, true) => Channel::Open,
            (false, false) => Channel::Pending,
        }
    }
}

/// Takes what was made as the local description.
async fn describe(
    connection: &Connection,
    kind: Kind,
    made: impl Future<Output = Result<String, Failure>>,
) -> Result<Input, Failure> {
    let sdp = made.await?;
    connection.set_local(kind, &sdp).await?;
    let r#type = match kind {
        Kind::Offer => "offer",
        Kind::Answer => "answer",
    };
    Ok(Input::Described(SessionDescription {
        r#type: r#type.to_owned(),
        sdp,
    }))
}

fn told(done: Result<Input, Failure>) -> Option<Input> {
    Some(done.unwrap_or_else(|failure| {
        tracing::debug!(%failure, "the direct connection fails");
        Input::Failed
    }))
}

/// Gives a connection the servers of the latest session.
fn renew(connection: &Connection, servers: &[v1::IceServer]) {
    // Firefox before 119 does not know how: the connection keeps those that it was made with.
    let _ = connection.set_configuration(&configuration(servers));
}

fn configuration(servers: &[v1::IceServer]) -> Configuration {
    // A browser refuses the whole list for the sake of one TURN server without a password.
    let is_turn = |url: &String| {
        let scheme = url.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("turn") || scheme.eq_ignore_ascii_case("turns")
    };
    let is_usable = |it: &&v1::IceServer| !it.credential.is_empty() || !it.urls.iter().any(is_turn);
    let usable = servers.iter().filter(is_usable).cloned();
    let usable = usable.map(|it| rtc::IceServer {
        urls: it.urls,
        username: it.username,
        credential: it.credential,
    });
    Configuration {
        ice_servers: usable.collect(),
        ..Configuration::default()
    }
}

fn ours(it: Candidate) -> IceCandidate {
    IceCandidate {
        candidate: it.candidate,
        sdp_mid: it.sdp_mid,
        sdp_mline_index: it.sdp_mline_index.into(),
        username_fragment: it.username_fragment,
    }
}

fn theirs(it: IceCandidate) -> Candidate {
    Candidate {
        candidate: it.candidate,
        sdp_mid: it.sdp_mid,
        sdp_mline_index: it.sdp_mline_index.try_into().unwrap_or_default(),
        username_fragment: it.username_fragment,
    }
}
