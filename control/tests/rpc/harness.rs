//! A control plane on a port of its own, with a clock that tests can move.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use peersox_control::directory::{self, Directory, Quic};
use peersox_control::ice::{Secret, Servers};
use peersox_control::{ClientAddr, Clock, Config, Control, Memory};
use peersox_core::id::PairingId;
use peersox_core::ticket::{Signer, Verifier};
use peersox_core::time::Timestamp;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::*;
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(crate) type Client = PairingServiceClient<Channel>;

pub(crate) struct Server {
    pub(crate) control: Control<Memory>,
    pub(crate) address: SocketAddr,
    pub(crate) verifier: Verifier,
    pub(crate) revoked: mpsc::Receiver<PairingId>,
    millis: Arc<AtomicU64>,
}

pub(crate) const START: u64 = 1_790_000_000_123;

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::with_store(config, Memory::default()).await
    }

    pub(crate) async fn with_store(config: Config, store: Memory) -> Self {
        let millis = Arc::new(AtomicU64::new(START));
        let hand = Arc::clone(&millis);
        let clock: Clock = Arc::new(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
        Self::build(config, store, clock, millis).await
    }

    /// Runs on the clock on the wall.
    pub(crate) async fn in_real_time(config: Config) -> Self {
        let clock: Clock = Arc::new(|| std::time::SystemTime::now().into());
        Self::build(config, Memory::default(), clock, Arc::default()).await
    }

    async fn build(config: Config, store: Memory, clock: Clock, millis: Arc<AtomicU64>) -> Self {
        let signer = Signer::from_seed(&[7; 32]);
        let verifier = Verifier::new(&[signer.public_key()]).unwrap();
        let directory = directory::Config {
            quic: Some(Quic::default()),
            ice_servers: ice_servers(),
            ..directory::Config::default()
        };
        let (_, certificates) = watch::channel(vec![[1; 32], [2; 32]]);
        let directory = Directory::new(directory, certificates);
        let (control, revoked) = Control::new(config, store, signer, directory, clock);
        let router = control.router().layer(from_fn(from_header));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            control,
            address,
            verifier,
            revoked,
            millis,
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }

    pub(crate) async fn client(&self) -> Client {
        let url = format!("http://{}", self.address);
        Client::connect(url).await.unwrap()
    }
}

/// One of each kind.
fn ice_servers() -> Servers {
    let urls = ["stun:stun.example", "turns:turn.example:5349"];
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    let secret = Secret::parse(TURN_SECRET).unwrap();
    Servers::new(urls, Some(secret), TURN_LIFETIME).unwrap()
}

pub(crate) const TURN_LIFETIME: Duration = Duration::from_secs(7 * 3600);
pub(crate) const TURN_SECRET: &[u8] = b"shared with a TURN server";

/// Stands in for the accept loop: a test says from where it calls.
async fn from_header(mut request: Request, next: Next) -> axum::response::Response {
    let from = request.headers().get("x-test-from");
    let from = from.map_or("192.0.2.1", |value| value.to_str().unwrap());
    let from: IpAddr = from.parse().unwrap();
    request.extensions_mut().insert(ClientAddr(from));
    next.run(request).await
}

/// A request that comes from an address of the caller's choice.
pub(crate) fn from<T>(address: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let address = address.parse().unwrap();
    request.metadata_mut().insert("x-test-from", address);
    request
}

/// As a client that does not know that one has to ask for a pairing to be kept, and has two words.
pub(crate) async fn create(client: &mut Client) -> CreatePairingResponse {
    create_with(client, 20, false).await
}

pub(crate) async fn create_with(
    client: &mut Client,
    secret_bits: u32,
    ephemeral: bool,
) -> CreatePairingResponse {
    let request = CreatePairingRequest {
        secret_bits,
        ephemeral,
        ..CreatePairingRequest::default()
    };
    let reply = client.create_pairing(request).await;
    reply.unwrap().into_inner()
}

pub(crate) async fn join(
    client: &mut Client,
    nameplate: &str,
) -> Result<JoinPairingResponse, Status> {
    let nameplate = nameplate.to_owned();
    let reply = client
        .join_pairing(JoinPairingRequest {
            nameplate,
            ..Default::default()
        })
        .await;
    reply.map(tonic::Response::into_inner)
}

pub(crate) async fn view(
    client: &mut Client,
    credential: &bytes::Bytes,
) -> Result<GetPairingResponse, Status> {
    let credential = credential.clone();
    let reply = client
        .get_pairing(GetPairingRequest {
            credential,
            ..Default::default()
        })
        .await;
    reply.map(tonic::Response::into_inner)
}

pub(crate) async fn delete(client: &mut Client, credential: &bytes::Bytes) -> Result<(), Status> {
    let credential = credential.clone();
    let reply = client.delete_pairing(DeletePairingRequest { credential });
    reply.await.map(drop)
}

/// Code, reason and, if there is one, the time to wait.
pub(crate) fn told(status: &Status) -> (Code, String, Option<Duration>) {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .expect("every status of ours has a reason");
    assert_eq!(info.domain, "peersox");
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    (status.code(), info.reason.clone(), retry)
}
