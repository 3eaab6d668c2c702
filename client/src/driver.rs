//! The task that owns a peer: it drives [`Endpoint`], and does what that decides.
//!
//! ```text
//!   handles ──commands──►┐                           ┌─ frames ──► legs, direct paths
//!                        │  driver ── core Endpoint ─┤
//!   handles ◄──replies───┘                           └─ Actions ─► platform, server
//! ```
//!
//! Each turn takes one thing, in this order: what a transport reports, an answer of the server, a command,
//! the clock. Then the driver obeys what the endpoint asks for, and hands over what it has to send as long as
//! there is room: records stay in the endpoint until then, so that an urgent one can still overtake.
//!
//! No rule is here: when to attach again, what a close number means and how long to wait is decided by
//! [`peersox_core::endpoint`].

mod desk;
mod outlets;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peersox_core::attach::{self, Cause, LegId, Session, Transport, Transports};
use peersox_core::channel;
use peersox_core::close::CloseReason;
use peersox_core::endpoint::{self, Action, Config, End, Endpoint, FAREWELL, Identity, Input, Way};
use peersox_core::peer::{self as machine};
use peersox_proto::v1::{IceServer, OpenSessionResponse, RelayEndpoint};
use tokio::sync::mpsc;

use crate::command::{Command, Offer};
use crate::event::{Event, Presence, Secured};
use crate::options::{Options, Proof};
use crate::platform::{BoxFuture, Clock, Direct, DirectNews, LegNews, Legs, Random, Wakes};
use crate::server::{Pairing, Server};
use crate::{AGENT, Error, NoLeg};
use desk::Desk;
pub(crate) use outlets::Outlets;

pub(crate) struct Driver {
    endpoint: Endpoint,
    clock: Clock,
    wakes: Wakes,
    desk: Desk,
    outlets: Outlets,
    server: Server,
    pairing: Pairing,
    /// Calls of OpenSession that were not answered yet.
    calls: FuturesUnordered<BoxFuture<(u32, Answer)>>,
    /// Of the latest answer.
    endpoints: Vec<RelayEndpoint>,
    /// Where the pairing meets, of the latest session.
    epoch: u32,
    ice_servers: Vec<IceServer>,
    legs: Legs,
    direct: Direct,
    /// The latest failure of OpenSession.
    refusal: Option<Error>,
    /// What transports said since the latest attempt began.
    said: Vec<String>,
}

/// Why a peer ended.
pub(crate) type Verdict = Result<(), Error>;

type Answer = Result<OpenSessionResponse, Error>;

impl Driver {
    pub(crate) fn new(
        server: Server,
        pairing: Pairing,
        proof: &Proof,
        options: &Options,
        offers: mpsc::Sender<Offer>,
        outlets: Outlets,
    ) -> Self {
        let config = Config {
            peer: machine::Config {
                channels: options.channels,
                ..machine::Config::default()
            },
            attach: attach::Config {
                transports: options.transport.transports().and(Legs::TRANSPORTS),
                patience: options.patience,
                upgrade_after: options.upgrade_after,
            },
            direct: Direct::mode(options.direct),
            carrier: Direct::CARRIER,
            once: options.once,
        };
        let code;
        let identity = Identity {
            role: pairing.role,
            pairing: pairing.id,
            proof: match proof {
                Proof::Code(typed) => {
                    code = typed.canonical();
                    machine::Proof::Code(code.as_bytes())
                }
                Proof::Secret(secret) => machine::Proof::Secret(secret.clone()),
            },
            hello: Bytes::from(options.agent.clone()),
            agent: AGENT.to_owned(),
            #[cfg(not(target_arch = "wasm32"))]
            trace: server.trace().cloned(),
        };
        let clock = Clock::start();
        Self {
            endpoint: Endpoint::new(config, identity, clock.now(), &mut Random),
            clock,
            wakes: Wakes::watch(),
            desk: Desk::new(offers),
            outlets,
            legs: Legs::new(server.trust().clone(), server.dialer().clone()),
            server,
            pairing,
            calls: FuturesUnordered::new(),
            endpoints: Vec::new(),
            epoch: 0,
            ice_servers: Vec::new(),
            direct: Direct::new(),
            refusal: None,
            said: Vec::new(),
        }
    }

    /// Runs until the peer ends, says why, and stays to answer handles until the last is dropped: a
    /// receiver that has read everything is still owed its `None`.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let end = loop {
            // Handles that were dropped say goodbye before another frame is answered in their name.
            if inbox.is_closed() && inbox.is_empty() {
                return self.hang_up().await;
            }
            if let Some(end) = self.settle() {
                break end;
            }
            let due = self.clock.sleep_until(self.endpoint.poll_timeout());
            tokio::select! {
                biased;
                (leg, news) = self.legs.next() => self.on_leg(leg, news),
                (attempt, news) = self.direct.next() => self.on_direct(attempt, news),
                Some((call, answer)) = self.calls.next() => self.on_answer(call, answer),
                command = inbox.recv() => match command {
                    Some(Command::HangUp) => {
                        self.say_done();
                        break End::Closed { flushed: false };
                    }
                    Some(command) => self.on_command(command),
                    None => return self.hang_up().await,
                },
                id = self.desk.dropped() => self.desk.abandon(id, self.endpoint.channels()),
                slept = self.wakes.next() => self.tell(Input::Wake(slept)),
                () = due => self.on_time(),
            }
        };
        let verdict = self.verdict(end);
        self.desk.end(&told_to_channels(end, &verdict));
        self.outlets.over();
        self.direct.hang_up();
        self.legs.finish().await;
        self.direct.finish().await;
        self.outlets.end.send_replace(Some(verdict));
        drop(self.outlets);
        while let Some(command) = inbox.recv().await {
            self.desk.serve(command, self.endpoint.channels());
        }
    }

    /// Every handle was dropped without a farewell.
    async fn hang_up(mut self) {
        self.say_done();
        self.legs.finish().await;
        self.direct.finish().await;
    }

    fn say_done(&mut self) {
        for leg in self.legs.open() {
            self.legs.hang_up(leg, Some(CloseReason::Done));
        }
        self.direct.hang_up();
    }

    fn tell(&mut self, input: Input) {
        self.endpoint.handle(input, self.clock.now(), &mut Random);
    }

    fn on_leg(&mut self, leg: LegId, news: LegNews) {
        match news {
            LegNews::Connected => self.tell(Input::LegConnected(leg)),
            LegNews::Frame(bytes) => self.on_frame(Way::Leg(leg), bytes),
            LegNews::Room => {}
            LegNews::Ended(ended, said) => {
                tracing::debug!(?leg, ?ended, said, "a leg ended");
                self.said.push(said);
                self.tell(Input::LegEnded(leg, ended));
            }
        }
    }

    fn on_direct(&mut self, attempt: u64, news: DirectNews) {
        match news {
            DirectNews::Input(input) => self.tell(Input::Direct(attempt, input)),
            DirectNews::Frame(bytes) => self.on_frame(Way::Direct(attempt), bytes),
            DirectNews::Room => {}
        }
    }

    fn on_frame(&mut self, way: Way, bytes: Bytes) {
        let now = self.clock.now();
        self.endpoint.handle_frame(way, bytes, now, &mut Random);
    }

    fn on_answer(&mut self, call: u32, answer: Answer) {
        let input = match answer {
            Ok(opened) => {
                let offered = opened.endpoints.iter().filter_map(transport);
                let session = Session {
                    offered: offered.collect::<Transports>(),
                    ticket: opened.ticket.clone(),
                };
                let outlives = outlives(&opened);
                (self.endpoints, self.ice_servers) = (opened.endpoints, opened.ice_servers);
                self.epoch = opened.epoch;
                Input::SessionOpened {
                    call,
                    session,
                    outlives,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no session");
                let error = self.refused(error);
                if let Error::Unconfirmed { retry_after } = error {
                    self.refusal = Some(error);
                    let now = self.clock.now();
                    self.endpoint
                        .unconfirmed(call, retry_after, now, &mut Random);
                    return;
                }
                let failed = Input::SessionFailed {
                    call,
                    is_final: !error.is_transient(),
                    retry_after: error.retry_after(),
                };
                self.refusal = Some(error);
                failed
            }
        };
        self.tell(input);
    }

    /// A joiner that was refused, or not answered in time, has no pairing any more: for it
    /// `CREDENTIAL_INVALID` means that it was not let in.
    fn refused(&self, error: Error) -> Error {
        let never_was_in = self.pairing.is_unconfirmed() && self.endpoints.is_empty();
        match error {
            Error::CredentialInvalid if never_was_in => Error::NotLetIn,
            other => other,
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Close => self.tell(Input::Close(FAREWELL)),
            Command::Wake => self.tell(Input::Wake(Duration::ZERO)),
            Command::Upgrade(reply) => {
                let now = self.clock.now();
                // A caller that gave up is not an error.
                let _ = reply.send(Ok(self.endpoint.upgrade(now, &mut Random)));
            }
            command => self.desk.serve(command, self.endpoint.channels()),
        }
    }

    fn on_time(&mut self) {
        for leg in self.legs.open() {
            let waits = self.legs.waits(leg);
            self.tell(Input::Waiting(leg, waits));
        }
        self.tell(Input::Timeout);
    }

    /// Does what the endpoint asks for and hands over what it has to send, until it wants nothing more.
    fn settle(&mut self) -> Option<End> {
        loop {
            while let Some(action) = self.endpoint.poll_action(self.clock.now(), &mut Random) {
                if let Action::End(end) = action {
                    return Some(end);
                }
                self.obey(action);
            }
            if !self.transmit() {
                let endpoint = &self.endpoint;
                let (path, why) = (endpoint.path(), endpoint.why_relayed());
                self.outlets.path(path, why, endpoint.carrier());
                return None;
            }
        }
    }

    /// Whether anything was sent.
    fn transmit(&mut self) -> bool {
        let mut sent = false;
        for leg in self.legs.open() {
            sent |= self.transmit_to(leg);
        }
        for attempt in self.direct.open() {
            sent |= self.transmit_directly(attempt);
        }
        sent
    }

    fn transmit_directly(&mut self, attempt: u64) -> bool {
        let (now, mut sent) = (self.clock.now(), false);
        while self.direct.has_room(attempt)
            && let Some(frame) = self.endpoint.poll_transmit(Way::Direct(attempt), now)
        {
            self.direct.send(attempt, frame);
            sent = true;
        }
        sent
    }

    fn transmit_to(&mut self, leg: LegId) -> bool {
        let (now, mut sent) = (self.clock.now(), false);
        while self.legs.has_room(leg)
            && let Some(frame) = self.endpoint.poll_transmit(Way::Leg(leg), now)
        {
            self.legs.send(leg, frame);
            sent = true;
        }
        sent
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::OpenSession { call, unreached } => {
                self.said.clear();
                let (server, pairing) = (self.server.clone(), self.pairing.clone());
                let unreached = if unreached { self.epoch } else { 0 };
                self.calls.push(Box::pin(async move {
                    (call, server.open_session(&pairing, unreached).await)
                }));
            }
            Action::Connect(leg, by) => {
                let is_meant = |it: &&RelayEndpoint| transport(it) == Some(by);
                match self.endpoints.iter().find(is_meant) {
                    Some(endpoint) => self.legs.connect(leg, endpoint.clone()),
                    None => self.tell(Input::LegEnded(leg, attach::Ended::Broken)),
                }
            }
            Action::HangUp(leg, reason) => {
                if reason.is_some() {
                    self.transmit_to(leg);
                }
                self.legs.hang_up(leg, reason);
            }
            Action::Drop(attempt) => {
                if self.direct.open().contains(&attempt) {
                    self.transmit_directly(attempt);
                }
                self.direct.obey(action, &self.ice_servers);
            }
            action @ (Action::Make(..)
            | Action::Offer(..)
            | Action::Accept(..)
            | Action::Answer(_)
            | Action::Add(..)) => self.direct.obey(action, &self.ice_servers),
            Action::Tell(event) => self.on_event(event),
            Action::End(_) => {}
        }
    }

    fn on_event(&mut self, event: endpoint::Event) {
        let event = match event {
            endpoint::Event::Attached {
                transport,
                resumed,
                peer_online,
            } => {
                if !peer_online {
                    self.outlets.presence(Presence::Absent);
                }
                Event::Attached { transport, resumed }
            }
            endpoint::Event::LegLost { cause, retry_in } => Event::LegLost {
                cause,
                why: match (cause, self.said.last()) {
                    (Cause::Broken, Some(said)) => said.clone(),
                    _ => cause.to_string(),
                },
                retry_in,
            },
            endpoint::Event::AttemptFailed { cause, retry_in } => Event::AttemptFailed {
                cause,
                why: self.why(cause),
                retry_in,
            },
            endpoint::Event::PeerOnline => Event::PeerOnline,
            endpoint::Event::CodeUsed => Event::CodeUsed,
            endpoint::Event::PeerAway(grace) => Event::PeerAway { grace },
            endpoint::Event::Draining(_) => Event::Draining,
            endpoint::Event::DatagramsDropped(count) => Event::DatagramsDropped(count),
            endpoint::Event::RelayRtt(rtt) => {
                let status = &self.outlets.status;
                return status.send_modify(|status| status.relay_rtt = Some(rtt));
            }
            endpoint::Event::Secured { sas, hello } => return self.secured(sas, &hello),
            endpoint::Event::Channel(event) => return self.on_channel(event),
            endpoint::Event::Path(kind) => Event::Path(kind),
            endpoint::Event::DirectFailed(why) => Event::DirectFailed(why),
        };
        self.outlets.tell(event);
    }

    fn on_channel(&mut self, event: channel::Event) {
        match event {
            channel::Event::Connected => self.outlets.tell(Event::Connected),
            channel::Event::PeerRestarted => {
                self.desk.restarted();
                self.outlets.tell(Event::PeerRestarted);
            }
            event => self.desk.hear(event, self.endpoint.channels()),
        }
    }

    fn secured(&mut self, phrase: peersox_core::secure::Sas, hello: &[u8]) {
        let Some(secret) = self.endpoint.secret().cloned() else {
            return;
        };
        let secured = Secured {
            secret,
            phrase,
            agent: String::from_utf8_lossy(hello).into_owned(),
        };
        let first = self.outlets.secured.send_replace(Some(secured)).is_none();
        if first {
            self.outlets.tell(Event::Secured { phrase });
        }
    }

    fn verdict(&mut self, end: End) -> Verdict {
        tracing::debug!(?end, "the peer ended");
        match end {
            End::Closed { flushed: true } | End::PeerClosed => Ok(()),
            End::Closed { flushed: false } => Err(Error::NotTaken),
            End::HungUp(reason) => Err(reason.into()),
            End::Peer(end) => Err(end.into()),
            End::Refused => Err(self.refusal.take().unwrap_or_else(|| Error::Unreachable {
                server: self.server.url().to_owned(),
                why: Cause::Control.to_string(),
                retry_after: None,
            })),
            End::NoLeg(cause) => {
                let why = self.why(cause);
                Err(NoLeg { cause, why }.into())
            }
        }
    }

    /// Why an attempt failed, for people.
    fn why(&self, cause: Cause) -> String {
        match (cause, &self.refusal) {
            (Cause::Broken, _) if !self.said.is_empty() => self.said.join("; "),
            (Cause::Control, Some(refusal)) => refusal.to_string(),
            _ => cause.to_string(),
        }
    }
}

/// What channels hear of the end: what [`Peer::ended`](crate::Peer::ended) says, and of an end in
/// good order who began it.
fn told_to_channels(end: End, verdict: &Verdict) -> Error {
    match verdict {
        Err(error) => error.clone(),
        Ok(()) if end == End::PeerClosed => Error::PeerDone,
        Ok(()) => Error::Gone,
    }
}

fn transport(endpoint: &RelayEndpoint) -> Option<Transport> {
    Transport::from_number(endpoint.transport.try_into().ok()?)
}

/// For how much longer than the ticket the credentials of the TURN servers are valid, if there are any: the
/// user name begins with the second at which they expire.
fn outlives(opened: &OpenSessionResponse) -> Option<Duration> {
    let expiry = |server: &IceServer| server.username.split_once(':')?.0.parse::<u64>().ok();
    let expires = Duration::from_secs(opened.ice_servers.iter().filter_map(expiry).min()?);
    let ticket = u64::try_from(opened.ticket_expires_at_millis).ok()?;
    Some(expires.saturating_sub(Duration::from_millis(ticket)))
}
