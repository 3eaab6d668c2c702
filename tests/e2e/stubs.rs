//! A server and a relay that say exactly what a test wants, over real sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use futures_util::{SinkExt as _, TryStreamExt as _};
use peersox_client::{Pairing, PairingId, Role};
use peersox_core::frame::{Frame, Lane};
use peersox_core::notice::{self, Kind};
use peersox_proto::v1;
use peersox_proto::v1::pairing_service_server::PairingService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tonic::{Request as Asked, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::harness::soon;
use peersox_tests::{serve, upgrade};

/// What OpenSession is answered.
#[derive(Clone, Copy)]
pub enum Say {
    /// This ticket, and the stub relay's address.
    Ticket(&'static str),
    /// To come back after this time.
    Wait(Duration),
    /// That the server is about to be restarted.
    Away,
}

/// A control plane that knows one call, and that peers make another one when they connect.
pub struct Control {
    pub url: String,
    calls: Arc<Mutex<Vec<Instant>>>,
}

/// A relay that speaks WebSocket.
pub struct Relay {
    url: String,
    legs: mpsc::Receiver<Leg>,
}

/// A leg as its relay sees it.
pub struct Leg(WebSocketStream<TcpStream>);

struct Service {
    relay: String,
    /// The last one is repeated.
    script: Mutex<VecDeque<Say>>,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Control {
    /// Answers with one entry of the script after the other, and with the last one for ever.
    pub async fn start(relay: &Relay, script: &[Say]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::default();
        let service = Service {
            relay: relay.url.clone(),
            script: Mutex::new(script.iter().copied().collect()),
            calls: Arc::clone(&calls),
        };
        serve(listener, Arc::new(service));
        Self { url, calls }
    }

    /// When OpenSession was called.
    pub fn calls(&self) -> Vec<Instant> {
        self.calls.lock().unwrap().clone()
    }
}

/// A right to a pairing that the stubs know nothing of.
pub fn pairing() -> Pairing {
    let id = PairingId::from_bytes([7; 16]);
    Pairing::stored(id, Role::Initiator, "credential".into())
}

impl Relay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/v1/relay", listener.local_addr().unwrap());
        let (sender, legs) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upgraded = tokio_tungstenite::accept_hdr_async(stream, upgrade).await;
                if sender.send(Leg(upgraded.unwrap())).await.is_err() {
                    return;
                }
            }
        });
        Self { url, legs }
    }

    /// The next leg, which has said Hello with this ticket and was not answered.
    pub async fn leg(&mut self, ticket: &str) -> Leg {
        let mut leg = soon(self.legs.recv()).await.unwrap();
        match leg.hear().await {
            Some(Kind::Hello(hello)) => assert_eq!(hello.ticket, ticket),
            other => panic!("the first frame is {other:?}"),
        }
        leg
    }

    /// The next leg, admitted.
    pub async fn admit(&mut self, ticket: &str, welcome: v1::Welcome) -> Leg {
        let mut leg = self.leg(ticket).await;
        leg.say(Kind::Welcome(welcome)).await;
        leg
    }
}

impl Leg {
    pub async fn say(&mut self, kind: Kind) {
        let frame = notice::encode(kind).into_bytes();
        self.0.send(Message::Binary(frame)).await.unwrap();
    }

    /// The next notice; nothing if the leg ends before.
    pub async fn hear(&mut self) -> Option<Kind> {
        loop {
            let Ok(Some(Message::Binary(bytes))) = soon(self.0.try_next()).await else {
                return None;
            };
            let frame = Frame::parse(bytes).unwrap();
            if frame.lane() == Lane::Notice {
                return notice::decode(frame.payload()).unwrap();
            }
        }
    }

    /// Hangs up with this number.
    pub async fn close(mut self, number: u16) {
        let frame = CloseFrame {
            code: number.into(),
            reason: "".into(),
        };
        self.0.close(Some(frame)).await.unwrap();
        while let Ok(Some(_)) = soon(self.0.try_next()).await {}
    }
}

#[tonic::async_trait]
impl PairingService for Service {
    type WatchPairingStream = BoxStream<'static, Result<v1::WatchPairingResponse, Status>>;

    async fn open_session(
        &self,
        _: Asked<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        self.calls.lock().unwrap().push(Instant::now());
        let mut script = self.script.lock().unwrap();
        let say = match script.len() {
            1 => script[0],
            _ => script.pop_front().unwrap(),
        };
        match say {
            Say::Ticket(ticket) => Ok(Response::new(v1::OpenSessionResponse {
                ticket: ticket.into(),
                endpoints: vec![v1::RelayEndpoint {
                    transport: v1::Transport::Websocket.into(),
                    url: self.relay.clone(),
                    certificate_hashes: Vec::new(),
                }],
                ..v1::OpenSessionResponse::default()
            })),
            Say::Wait(time) => Err(Status::with_error_details(
                tonic::Code::ResourceExhausted,
                "later",
                ErrorDetails::with_retry_info(Some(time)),
            )),
            Say::Away => Err(Status::unavailable("about to be restarted")),
        }
    }

    async fn get_config(
        &self,
        _: Asked<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        Ok(Response::new(v1::GetConfigResponse::default()))
    }

    async fn create_pairing(
        &self,
        _: Asked<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        Err(Status::unimplemented("a stub"))
    }

    async fn join_pairing(
        &self,
        _: Asked<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        Err(Status::unimplemented("a stub"))
    }

    async fn get_pairing(
        &self,
        _: Asked<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        Err(Status::unimplemented("a stub"))
    }

    async fn confirm_join(
        &self,
        _: Asked<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        Err(Status::unimplemented("a stub"))
    }

    async fn watch_pairing(
        &self,
        _: Asked<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        Err(Status::unimplemented("a stub"))
    }

    async fn delete_pairing(
        &self,
        _: Asked<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        Err(Status::unimplemented("a stub"))
    }
}
