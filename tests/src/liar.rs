//! A server that lies: control and relay in one, over real sockets, on the machines of the core.
//!
//! It creates pairings and admits legs as a server does. Then it plays the other device with a guess at the
//! words, stops after so many messages, and lies. Its calls are gRPC and gRPC-Web, so that command lines and
//! pages meet the same one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use futures_util::{SinkExt as _, TryStreamExt as _};
use peersox_client::{CloseReason, OsRng, PairingId, Role};
use peersox_core::frame::{Frame, Lane};
use peersox_core::notice::{self, Kind};
use peersox_core::secure::Association;
use peersox_proto::v1;
use peersox_proto::v1::PairingEvent;
use peersox_proto::v1::pairing_service_server::PairingService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tonic::{Request, Response, Status};

use crate::{serve, upgrade};

/// What the server does after its guess, in this order.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// Says on the watch that somebody has joined.
    Joined,
    /// Says on the watch that the code has expired.
    Expired,
    /// Says on the watch that the pairing was revoked.
    Revoked,
    /// Closes the leg with this number.
    Close(CloseReason),
    /// Closes the leg with a number and a text of its own.
    CloseSaying(u16, &'static str),
    /// Sends notices that stand for nothing: a peer that comes and goes, a drain, drops, Pongs that nobody
    /// asked for.
    Notices,
    /// Lets the connection of the leg go without a word.
    Vanish,
}

/// A call, or a step of a leg, that the server does not go beyond: whoever waits for it waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// It goes on.
    Nowhere,
    /// GetConfig.
    Config,
    /// CreatePairing.
    Create,
    /// JoinPairing.
    Join,
    /// WatchPairing.
    Watch,
    /// OpenSession.
    Open,
    /// The handshake of a WebSocket.
    Upgrade,
    /// The answer to Hello.
    Welcome,
}

/// How the server behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Where it stops answering.
    pub stalls_at: Stall,
    /// Whether the other device seems to come.
    pub comes: bool,
    /// After how many messages of its guess it lies.
    pub says: usize,
    /// What it does then.
    pub lies: &'static [Lie],
    /// Whether watches are refused.
    pub refuses_watches: bool,
    /// What calls are refused with.
    pub refuses_with: Option<&'static str>,
    /// What is appended to the address of the relay.
    pub beside_the_url: &'static str,
    /// Whether each transport is said to be where another service listens.
    pub swaps_endpoints: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            stalls_at: Stall::Nowhere,
            comes: true,
            says: usize::MAX,
            lies: &[],
            refuses_watches: false,
            refuses_with: None,
            beside_the_url: "",
            swaps_endpoints: false,
        }
    }
}

/// A running server.
pub struct Liar {
    /// Where its calls are answered.
    pub url: String,
    state: Arc<State>,
}

struct State {
    manners: Manners,
    /// Host and port of calls, and of the relay.
    hosts: [String; 2],
    codes: Mutex<Vec<PairingId>>,
    watches: Mutex<HashMap<String, broadcast::Sender<PairingEvent>>>,
    /// The codes to whose exchange it said anything.
    guesses: Mutex<BTreeSet<String>>,
    deleted: Mutex<BTreeSet<Bytes>>,
    watched: Mutex<usize>,
}

impl Liar {
    /// Starts on ports of 127.0.0.1 that are free.
    ///
    /// # Panics
    /// If there are none.
    pub async fn start(manners: Manners) -> Self {
        let legs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let calls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hosts = [&calls, &legs].map(|it| it.local_addr().unwrap().to_string());
        let url = format!("http://{}", hosts[0]);
        let state = Arc::new(State {
            manners,
            hosts,
            codes: Mutex::default(),
            watches: Mutex::default(),
            guesses: Mutex::default(),
            deleted: Mutex::default(),
            watched: Mutex::default(),
        });
        tokio::spawn(serve_legs(legs, Arc::clone(&state)));
        serve(calls, Arc::new(Service(Arc::clone(&state))));
        Self { url, state }
    }

    /// How many codes were made.
    #[must_use]
    pub fn codes(&self) -> usize {
        self.state.codes.lock().unwrap().len()
    }

    /// How many codes it made a guess at.
    pub fn guesses(&self) -> usize {
        self.state.guesses.lock().unwrap().len()
    }

    /// How many pairings were deleted.
    pub fn deleted(&self) -> usize {
        self.state.deleted.lock().unwrap().len()
    }

    /// How often a watch was asked for.
    pub fn watched(&self) -> usize {
        *self.state.watched.lock().unwrap()
    }
}

async fn serve_legs(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            if state.manners.stalls_at == Stall::Upgrade {
                return std::future::pending().await;
            }
            if let Ok(leg) = tokio_tungstenite::accept_hdr_async(stream, upgrade).await {
                let _ = guess(leg, &state).await;
            }
        });
    }
}

type Leg = WebSocketStream<TcpStream>;
type Broken = tokio_tungstenite::tungstenite::Error;

/// Plays the other device on one leg. Returns when the leg has ended.
async fn guess(mut leg: Leg, state: &State) -> Result<(), Broken> {
    let manners = state.manners;
    let Some(Message::Binary(hello)) = leg.try_next().await? else {
        return Ok(());
    };
    let hello = notice::decode(Frame::parse(hello).unwrap().payload()).unwrap();
    let Some(Kind::Hello(hello)) = hello else {
        panic!("the first frame is {hello:?}");
    };
    if manners.stalls_at == Stall::Welcome {
        return silence(leg).await;
    }
    say(
        &mut leg,
        notice::encode(Kind::Welcome(v1::Welcome::default())),
    )
    .await?;
    if !manners.comes {
        return lie(leg, &hello.ticket, state).await;
    }
    say(
        &mut leg,
        notice::encode(Kind::PeerOnline(v1::PeerOnline {})),
    )
    .await?;

    let number: usize = hello.ticket.parse().unwrap();
    let pairing = state.codes.lock().unwrap()[number];
    let guess = format!("{number:06}-tulip-velvet");
    let (role, rng) = (Role::Joiner, &mut OsRng);
    let mut guesser = Association::with_code(role, pairing, guess.as_bytes(), Bytes::new(), rng);
    let mut said = 0;
    while said < manners.says {
        let Some(Message::Binary(bytes)) = leg.try_next().await? else {
            return Ok(());
        };
        let frame = Frame::parse(bytes).unwrap();
        if frame.lane() == Lane::Reliable {
            // A guess that is wrong is what this is about.
            let _ = guesser.handle(frame, &mut OsRng);
        }
        while said < manners.says
            && let Some(frame) = guesser.poll_transmit()
        {
            state.guesses.lock().unwrap().insert(hello.ticket.clone());
            say(&mut leg, frame).await?;
            said += 1;
        }
    }
    lie(leg, &hello.ticket, state).await
}

async fn lie(mut leg: Leg, ticket: &str, state: &State) -> Result<(), Broken> {
    let tell = |event| {
        let watches = state.watches.lock().unwrap();
        watches.get(ticket).map(|watch| watch.send(event))
    };
    for lie in state.manners.lies {
        let (code, reason) = match *lie {
            Lie::Joined => {
                tell(PairingEvent::Joined);
                continue;
            }
            Lie::Expired => {
                tell(PairingEvent::Expired);
                continue;
            }
            Lie::Revoked => {
                tell(PairingEvent::Revoked);
                continue;
            }
            Lie::Notices => {
                for kind in notices() {
                    say(&mut leg, notice::encode(kind)).await?;
                }
                continue;
            }
            Lie::Vanish => return Ok(()),
            Lie::Close(reason) => (reason.number(), reason.text()),
            Lie::CloseSaying(number, text) => (number, text),
        };
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        leg.close(Some(frame)).await?;
    }
    silence(leg).await
}

fn notices() -> impl Iterator<Item = Kind> {
    let flaps = (0..100).flat_map(|_| {
        [
            Kind::PeerOnline(v1::PeerOnline {}),
            Kind::PeerAway(v1::PeerAway::default()),
        ]
    });
    let pongs = (0..100).map(|nonce| Kind::Pong(v1::Pong { nonce }));
    let dropped = v1::DatagramsDropped { count: u64::MAX };
    let others = [
        Kind::DatagramsDropped(dropped),
        Kind::DatagramsDropped(dropped),
        Kind::Draining(v1::Draining::default()),
    ];
    flaps.chain(pongs).chain(others)
}

/// Holds a leg and answers nothing, not even a farewell.
async fn silence(leg: Leg) -> Result<(), Broken> {
    let _held = leg;
    std::future::pending().await
}

async fn say(leg: &mut Leg, frame: Frame) -> Result<(), Broken> {
    leg.send(Message::Binary(frame.into_bytes())).await
}

struct Service(Arc<State>);

impl Service {
    fn endpoints(&self) -> Vec<v1::RelayEndpoint> {
        let State { manners, hosts, .. } = &*self.0;
        let [calls, relay] = hosts;
        let endpoint = |transport: v1::Transport, url: String, hashes: usize| v1::RelayEndpoint {
            transport: transport.into(),
            url,
            certificate_hashes: vec![Bytes::from_static(&[7; 32]); hashes],
        };
        if manners.swaps_endpoints {
            return vec![
                endpoint(v1::Transport::Quic, format!("quic://{calls}"), 1),
                endpoint(
                    v1::Transport::Websocket,
                    format!("ws://{calls}/v1/relay"),
                    0,
                ),
            ];
        }
        let url = format!("ws://{relay}/v1/relay{}", manners.beside_the_url);
        vec![endpoint(v1::Transport::Websocket, url, 0)]
    }

    /// Answers a call, or never does.
    async fn answer<T>(&self, stall: Stall, answer: T) -> Result<Response<T>, Status> {
        let manners = self.0.manners;
        if manners.stalls_at == stall {
            return std::future::pending().await;
        }
        match manners.refuses_with {
            Some(text) if stall != Stall::Config => Err(Status::failed_precondition(text)),
            _ => Ok(Response::new(answer)),
        }
    }
}

#[tonic::async_trait]
impl PairingService for Service {
    type WatchPairingStream = BoxStream<'static, Result<v1::WatchPairingResponse, Status>>;

    async fn get_config(
        &self,
        _: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        self.answer(Stall::Config, v1::GetConfigResponse::default())
            .await
    }

    async fn create_pairing(
        &self,
        _: Request<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        let number = {
            let mut codes = self.0.codes.lock().unwrap();
            let number = codes.len();
            codes.push(PairingId::from_bytes([u8::try_from(number).unwrap(); 16]));
            number
        };
        let created = v1::CreatePairingResponse {
            pairing_id: vec![u8::try_from(number).unwrap(); 16].into(),
            credential: number.to_string().into(),
            nameplate: format!("{number:06}"),
            ..v1::CreatePairingResponse::default()
        };
        self.answer(Stall::Create, created).await
    }

    async fn join_pairing(
        &self,
        _: Request<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        self.0
            .codes
            .lock()
            .unwrap()
            .push(PairingId::from_bytes([0; 16]));
        let joined = v1::JoinPairingResponse {
            pairing_id: vec![0; 16].into(),
            credential: "0".into(),
            ..v1::JoinPairingResponse::default()
        };
        self.answer(Stall::Join, joined).await
    }

    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        let credential = request.into_inner().credential;
        let opened = v1::OpenSessionResponse {
            ticket: String::from_utf8(credential.to_vec()).unwrap(),
            endpoints: self.endpoints(),
            ..v1::OpenSessionResponse::default()
        };
        self.answer(Stall::Open, opened).await
    }

    async fn watch_pairing(
        &self,
        request: Request<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        *self.0.watched.lock().unwrap() += 1;
        if self.0.manners.refuses_watches {
            return Err(Status::resource_exhausted("too many watches"));
        }
        let credential = request.into_inner().credential;
        let ticket = String::from_utf8(credential.to_vec()).unwrap();
        let events = {
            let mut watches = self.0.watches.lock().unwrap();
            let watch = watches.entry(ticket);
            watch.or_insert_with(|| broadcast::channel(8).0).subscribe()
        };
        let waiting = futures_util::stream::iter([PairingEvent::Waiting]);
        let later = futures_util::stream::unfold(events, async |mut events| {
            Some((events.recv().await.ok()?, events))
        });
        let answers = waiting.chain(later).map(|event| {
            Ok(v1::WatchPairingResponse {
                event: event.into(),
                ..v1::WatchPairingResponse::default()
            })
        });
        self.answer(Stall::Watch, answers.boxed()).await
    }

    async fn get_pairing(
        &self,
        _: Request<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn confirm_join(
        &self,
        _: Request<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        Ok(Response::new(v1::ConfirmJoinResponse::default()))
    }

    async fn delete_pairing(
        &self,
        request: Request<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        let credential = request.into_inner().credential;
        self.0.deleted.lock().unwrap().insert(credential);
        Ok(Response::new(v1::DeletePairingResponse::default()))
    }
}
