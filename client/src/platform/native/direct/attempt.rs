//! One attempt at a direct path: a task that owns the sockets, the agent of ICE and what carries frames.
//!
//! ```text
//!   Offer, Answer, Accept, Add ─► task ─┬─ descriptions, candidates ─► Told
//!   sockets ─────────── STUN ─────────► │
//!                                       └─ QUIC or WebRTC, once ICE has picked a pair ─► Leg
//! ```
//!
//! The side that offers controls ICE. When ICE is restarted it has other credentials and gathers again, while
//! the connection goes on over the pair that was picked before.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64_NOPAD;
use futures_util::StreamExt as _;
use futures_util::future::OptionFuture;
use futures_util::stream::FuturesUnordered;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol, Sha1HmacProvider};
use peersox_core::direct::{
    Carrier, Channel, Connection, IceCandidate, Input, SessionDescription, may_be_sought,
};
use peersox_proto::v1::IceServer;
use rand_core::RngCore as _;
use ring::hmac;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::engine::{Engine, Heard};
use super::gather::{self, Gather};
use super::names;
use super::socket::{Sockets, Stun};
use crate::platform::native::leg::Leg;
use crate::platform::native::{BoxFuture, Random};

/// What the task is asked to do.
pub(super) enum Order {
    Offer {
        restart: bool,
        servers: Vec<IceServer>,
    },
    Answer {
        servers: Vec<IceServer>,
    },
    Accept(SessionDescription),
    Add(IceCandidate),
}

/// What it tells.
pub(super) enum Told {
    Input(Input),
    /// Frames flow.
    Up(Leg),
}

pub(super) struct Attempt {
    sockets: Arc<Sockets>,
    stun: mpsc::Receiver<Stun>,
    agent: IceAgent,
    gather: Gather,
    /// Candidates of the other side whose names are being looked up.
    names: FuturesUnordered<BoxFuture<Option<IceCandidate>>>,
    engine: Engine,
    /// The digest of the other side's certificate, which stays the same for as long as the attempt.
    theirs: Option<[u8; 32]>,
    /// A handshake that is under way.
    connecting: OptionFuture<BoxFuture<Result<Leg, String>>>,
    /// The handshake was begun.
    begun: bool,
    /// It has led to a connection.
    is_up: bool,
    /// This side begins the handshake, as soon as there is a pair.
    begins: bool,
    /// This side offered.
    offered: bool,
    told: mpsc::Sender<Told>,
}

/// The attempt cannot go on; the text is for the log.
struct Failed(String);

impl Attempt {
    /// Binds the sockets.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(carrier: Carrier, told: mpsc::Sender<Told>) -> Result<Self, String> {
        let (sender, stun) = mpsc::channel(STUN_WAITING);
        let sockets = Sockets::bind(sender).map_err(|error| error.to_string())?;
        let sockets = Arc::new(sockets);
        let mut agent = IceAgent::with_hmac(credentials(), &Ring);
        agent.set_control_tie_breaker(Random.next_u64());
        agent.set_max_candidate_pairs(MOST_PAIRS);
        agent.set_timing_advance(PACE);
        Ok(Self {
            engine: Engine::new(carrier, Arc::clone(&sockets))?,
            sockets,
            stun,
            agent,
            gather: Gather::default(),
            names: FuturesUnordered::new(),
            theirs: None,
            connecting: OptionFuture::from(None),
            begun: false,
            is_up: false,
            begins: false,
            offered: false,
            told,
        })
    }

    /// Does what it is asked to until nobody asks any more, or it cannot go on.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        if let Err(Failed(why)) = self.work(&mut orders).await {
            tracing::debug!(why, "a direct path cannot be made");
            let _ = self.told.send(Told::Input(Input::Failed)).await;
        }
    }

    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Failed> {
        loop {
            // Not at each turn: the agent sends a check whenever it is called, and paces them by its time.
            let is_due = |at: std::time::Instant| at <= now();
            if self.agent.poll_timeout().is_none_or(is_due) {
                self.agent.handle_timeout(now());
            }
            if self.obey_agent() {
                let mended = Input::Changed(Connection::Connected, Channel::Open);
                self.tell(Told::Input(mended)).await?;
            }
            let due = self.agent.poll_timeout().map(Instant::from_std);
            let due = OptionFuture::from(due.map(tokio::time::sleep_until));
            tokio::select! {
                biased;
                Some(done) = &mut self.connecting => {
                    self.connecting = OptionFuture::from(None);
                    let leg = done.map_err(Failed)?;
                    self.is_up = true;
                    self.tell(Told::Up(leg)).await?;
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await?,
                    None => return Ok(()),
                },
                Some(stun) = self.stun.recv() => self.hear(&stun).await?,
                Some(shown) = self.names.next(), if !self.names.is_empty() => {
                    shown.iter().for_each(|it| self.add_theirs(it));
                }
                (server, request) = self.gather.next() => self.sockets.send(None, server, &request),
                Some(()) = due => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failed> {
        match order {
            Order::Offer { restart, servers } => {
                self.offered = true;
                self.agent.set_controlling(true);
                if restart {
                    self.agent.ice_restart(credentials(), false);
                }
                self.describe(true, &servers).await
            }
            Order::Answer { servers } => self.describe(false, &servers).await,
            Order::Accept(description) => self.accept(&description).await,
            Order::Add(candidate) => {
                let hides = names::hidden(&candidate.candidate).is_some();
                match hides && self.names.len() < MOST_NAMES {
                    true => self.names.push(Box::pin(names::shown(candidate))),
                    false => self.add_theirs(&candidate),
                }
                Ok(())
            }
        }
    }

    /// Adds an address of the other side. One that does not fit costs nothing but itself.
    fn add_theirs(&mut self, candidate: &IceCandidate) {
        match theirs(candidate) {
            Ok(candidate) => self.agent.add_remote_candidate(candidate),
            Err(error) => tracing::debug!(%error, "a candidate is of no use here"),
        }
    }

    /// Describes this side, then tells its addresses as they become known.
    async fn describe(&mut self, offers: bool, servers: &[IceServer]) -> Result<(), Failed> {
        let IceCreds { ufrag, pass } = self.agent.local_credentials().clone();
        let described = Input::Described(self.engine.describe(offers, ufrag, pass));
        self.tell(Told::Input(described)).await?;
        for ip in gather::own() {
            let candidate = self
                .sockets
                .at(ip)
                .and_then(|at| Candidate::host(at, UDP).ok());
            self.add(candidate).await?;
        }
        self.gather.begin(servers);
        Ok(())
    }

    async fn accept(&mut self, description: &SessionDescription) -> Result<(), Failed> {
        let Heard {
            fragment,
            password,
            fingerprint,
            begins,
        } = self
            .engine
            .hear(description, self.offered)
            .map_err(Failed)?;
        if self.theirs.is_some_and(|known| known != fingerprint) {
            return Err(Failed("the other side has another certificate".to_owned()));
        }
        let known = self.agent.remote_credentials();
        if !self.offered && known.is_some_and(|known| known.ufrag != fragment) {
            self.agent.ice_restart(credentials(), false);
        }
        self.agent.set_remote_credentials(IceCreds {
            ufrag: fragment,
            pass: password,
        });
        if self.theirs.replace(fingerprint).is_none() {
            self.begins = begins;
            if !self.offered {
                self.agent.set_controlling(false);
            }
            if !begins {
                self.begin(fingerprint);
            }
        }
        self.tell(Told::Input(Input::Accepted)).await
    }

    /// A datagram of STUN: of a server that was asked, or of the other side.
    async fn hear(&mut self, stun: &Stun) -> Result<(), Failed> {
        let Stun { from, to, datagram } = stun;
        let to = to.and_then(|ip| self.sockets.at(ip));
        let base = to.or_else(|| self.base(*from));
        let Some(base) = base else { return Ok(()) };
        if let Some(address) = self.gather.answered(*from, datagram) {
            let seen = Candidate::server_reflexive(address, base, UDP);
            return self.add(seen.ok()).await;
        }
        if self.knows_enough_but(*from) {
            return Ok(());
        }
        if let Ok(message) = StunMessage::parse(datagram) {
            let packet = StunPacket {
                proto: UDP,
                source: *from,
                destination: base,
                message,
            };
            self.agent.handle_packet(now(), packet);
        }
        Ok(())
    }

    /// Whether the other side has many addresses and this is none of them. Whoever knows the password may
    /// send from anywhere, and a device has a few addresses.
    fn knows_enough_but(&self, at: SocketAddr) -> bool {
        let mut known = self.agent.remote_candidates();
        known.clone().count() >= MOST_REMOTE && !known.any(|it| it.addr() == at)
    }

    /// An address of this side of the version of another one, where the system does not say to which a
    /// datagram came.
    fn base(&self, from: SocketAddr) -> Option<SocketAddr> {
        let mut own = self.agent.local_candidates().map(|it| it.local());
        own.find(|it| it.is_ipv4() == from.is_ipv4())
    }

    /// Adds an address of this side, and tells it if it is of use.
    async fn add(&mut self, candidate: Option<Candidate>) -> Result<(), Failed> {
        let added = candidate.and_then(|it| self.agent.add_local_candidate(it).cloned());
        let Some(added) = added else { return Ok(()) };
        let candidate = Input::Candidate(IceCandidate {
            candidate: added.to_sdp_string(),
            sdp_mid: self.engine.section().to_owned(),
            username_fragment: self.agent.local_credentials().ufrag.clone(),
            ..IceCandidate::default()
        });
        self.tell(Told::Input(candidate)).await
    }

    /// Takes what the agent has found and picked, and sends what it wants to send. True if it has picked
    /// another pair while there is a connection.
    fn obey_agent(&mut self) -> bool {
        let mut is_mended = false;
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::DiscoveredRecv { source, .. } => self.sockets.found(source),
                IceAgentEvent::NominatedSend {
                    source,
                    destination,
                    ..
                } => {
                    tracing::debug!(%source, %destination, "ICE has picked a pair");
                    self.sockets.route(source, destination);
                    is_mended |= self.is_up;
                    if let (true, false, Some(theirs)) = (self.begins, self.begun, self.theirs) {
                        self.begin(theirs);
                    }
                }
                IceAgentEvent::IceRestart(_) | IceAgentEvent::IceConnectionStateChange(_) => {}
            }
        }
        // Addresses are noted before replies leave, so that packets that answer them are taken.
        while let Some(sent) = self.agent.poll_transmit() {
            let from: IpAddr = sent.source.ip();
            self.sockets
                .send(Some(from), sent.destination, &sent.contents);
        }
        is_mended
    }

    fn begin(&mut self, theirs: [u8; 32]) {
        self.begun = true;
        let connecting = self.engine.connect(theirs, self.begins);
        self.connecting = OptionFuture::from(Some(connecting));
    }

    async fn tell(&mut self, told: Told) -> Result<(), Failed> {
        let sent = self.told.send(told).await;
        sent.map_err(|_| Failed("nobody wants it any more".to_owned()))
    }
}

/// HMAC-SHA1 of `ring`, which QUIC brings: STUN authenticates its messages with it (RFC 8489, section 14.5).
#[derive(Debug)]
struct Ring;

impl Sha1HmacProvider for Ring {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut signing = hmac::Context::with_key(&key);
        for payload in payloads {
            signing.update(payload);
        }
        let mut tag = [0; 20];
        tag.copy_from_slice(signing.sign().as_ref());
        tag
    }
}

/// A candidate of the other side.
fn theirs(candidate: &IceCandidate) -> Result<Candidate, is::IceError> {
    let mut read = Candidate::from_sdp_string(&candidate.candidate)?;
    if !may_be_sought(read.addr()) {
        let what = format!("no device is to be sought at {}", read.addr().ip());
        return Err(is::IceError::BadCandidate(what));
    }
    if !candidate.username_fragment.is_empty() {
        read.set_ufrag(&candidate.username_fragment);
    }
    Ok(read)
}

/// 48 bits that name one side, and 144 that nobody else knows (RFC 8445, section 5.3), in the letters of ICE.
fn credentials() -> IceCreds {
    let (mut fragment, mut password) = ([0; 6], [0; 18]);
    Random.fill_bytes(&mut fragment);
    Random.fill_bytes(&mut password);
    IceCreds {
        ufrag: BASE64_NOPAD.encode(&fragment),
        pass: BASE64_NOPAD.encode(&password),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

const UDP: Protocol = Protocol::Udp;

/// The pause between two checks: Ta in RFC 8445, section 14. docs/security.md promises it.
const PACE: Duration = Duration::from_millis(50);

/// Candidates of the other side: those that it told ([`peersox_core::direct`] bounds them), and those that it
/// was seen at.
const MOST_REMOTE: usize = 128;

/// Names that are looked up at a time. A browser has one for each version of IP and each network card.
const MOST_NAMES: usize = 8;

/// A pair for each address of this side and each of the other, those seen by servers included.
const MOST_PAIRS: usize = 200;

/// More datagrams of STUN that nobody has read yet are lost; whoever sent them asks again.
const STUN_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use peersox_core::direct::Description;

    use super::*;

    #[test]
    fn a_candidate_is_an_address_that_may_be_sought() {
        let read = |at: &str| {
            theirs(&IceCandidate {
                candidate: format!("candidate:1 1 udp 2113929471 {at} typ host"),
                ..IceCandidate::default()
            })
        };
        assert!(read("192.0.2.1 9").is_ok() && read("2001:db8::1 9").is_ok());
        for none in ["224.0.0.251 5353", "192.0.2.1 0", "0b5f2a9e.local 9", ""] {
            assert!(read(none).is_err(), "{none}");
        }
    }

    /// However many addresses the other side names, and however often something else happens meanwhile.
    #[tokio::test]
    async fn checks_are_paced() {
        let (told, mut hears) = mpsc::channel(256);
        let (orders, taken) = mpsc::channel(256);
        let run = Attempt::new(Carrier::Quic, told).unwrap().run(taken);
        let _task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(run));
        let begun = Instant::now();
        let answer = Description {
            fragment: "F7gI".into(),
            password: "x9cml/YzichV2+XlhiMu8g".into(),
            fingerprint: [7; 32],
        };
        let offer = Order::Offer {
            restart: false,
            servers: Vec::new(),
        };
        let accept = Order::Accept(SessionDescription {
            r#type: Carrier::Quic.answer().into(),
            sdp: answer.to_string(),
        });
        for order in [offer, accept] {
            assert!(orders.send(order).await.is_ok());
        }
        let ip = gather::own().into_iter().find(IpAddr::is_ipv4).unwrap();
        let sought = [(); 64].map(|()| std::net::UdpSocket::bind((ip, 0)).unwrap());
        while begun.elapsed() < 20 * PACE {
            for sought in &sought {
                let port = sought.local_addr().unwrap().port();
                let add = Order::Add(IceCandidate {
                    candidate: format!("candidate:1 1 udp 1 {ip} {port} typ host"),
                    ..IceCandidate::default()
                });
                assert!(orders.send(add).await.is_ok());
                while hears.try_recv().is_ok() {}
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let mut checks = 0;
        for sought in &sought {
            sought.set_nonblocking(true).unwrap();
            while sought.recv(&mut [0; 1_500]).is_ok() {
                checks += 1;
            }
        }
        let paces = begun.elapsed().as_millis() / PACE.as_millis();
        assert!(
            (1..=paces + 2).contains(&checks),
            "{checks} checks in {paces} times the pace"
        );
    }

    #[test]
    fn credentials_are_long_and_in_the_letters_of_ice() {
        let IceCreds { ufrag, pass } = credentials();
        let description = Description {
            fragment: ufrag,
            password: pass,
            fingerprint: [0; 32],
        };
        assert_eq!(description.to_string().parse(), Ok(description));
        assert_ne!(credentials(), credentials());
    }
}
