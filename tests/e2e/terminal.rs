//! What reaches a terminal: text, and nothing that a terminal obeys, whoever wrote it.

use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _};
use peersox_proto::v1;
use peersox_proto::v1::pairing_service_server::PairingService;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tonic::{Code, Request, Response, Status};

use crate::harness::{binary, quiet, soon};

/// Clears the screen, goes up a line, draws a phrase of its own, turns the direction of writing, and rings.
const HOSTILE: &str = "\u{1b}[2J\u{1b}[1A\rverification phrase: a b c\nconnected\u{9b}2J\u{7}\u{7f}\
                       \u{202e}txt.exe\u{2066}\u{200b}\u{61c}";

#[tokio::test]
async fn a_server_draws_nothing_by_its_errors() {
    for code in [
        Code::Unknown,
        Code::Internal,
        Code::NotFound,
        Code::Unavailable,
    ] {
        let url = serve(Hostile::Refuses(code)).await;
        for command in COMMANDS {
            is_harmless(command, &url, "txt.exe").await;
        }
    }
}

#[tokio::test]
async fn a_server_draws_nothing_by_the_addresses_of_its_relay() {
    for (transport, scheme) in [
        (v1::Transport::Websocket, "ws"),
        (v1::Transport::Websocket, HOSTILE),
        (v1::Transport::Quic, "quic"),
    ] {
        let endpoint = v1::RelayEndpoint {
            transport: transport.into(),
            url: format!("{scheme}://{HOSTILE}:1/{HOSTILE}"),
            certificate_hashes: Vec::new(),
        };
        let url = serve(Hostile::SendsTo(endpoint)).await;
        for command in COMMANDS {
            is_harmless(command, &url, "").await;
        }
    }
}

#[tokio::test]
async fn a_relay_draws_nothing_by_its_reasons() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let hash = Sha256::digest(key.cert.der()).to_vec();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    tls.alpn_protocols = vec![b"peersox.v1".to_vec()];
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let relay = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let endpoint = v1::RelayEndpoint {
        transport: v1::Transport::Quic.into(),
        url: format!("quic://{}", relay.local_addr().unwrap()),
        certificate_hashes: vec![hash.into()],
    };
    tokio::spawn(async move {
        while let Some(incoming) = relay.accept().await {
            // A command whose time is over leaves in the middle of a handshake.
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    let _ = connection.accept_bi().await;
                    connection.close(77u8.into(), HOSTILE.as_bytes());
                }
            });
        }
    });
    let url = serve(Hostile::SendsTo(endpoint)).await;
    for command in COMMANDS {
        is_harmless(command, &url, "txt.exe").await;
    }
}

#[tokio::test]
async fn whatever_else_listens_on_the_port_draws_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = format!("{HOSTILE}{}", "x".repeat(10_000));
            let head = format!("HTTP/1.1 502 {HOSTILE}\r\ncontent-length: {}", body.len());
            let reply = format!("{head}\r\ncontent-type: text/{HOSTILE}\r\n\r\n{body}");
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    for command in COMMANDS {
        is_harmless(command, &url, "").await;
    }
}

/// Commands that talk to a server before anything else.
const COMMANDS: [&[&str]; 4] = [
    &["send", "/bin/true"],
    &["receive", "481920-tulip-ember", "-y"],
    &["ping"],
    &["forward", "--target", "localhost:1"],
];

/// Runs a command in sentences and in JSON; looks at each byte that it says. `heard` is part of what it must
/// say, so that nothing is proven by silence.
async fn is_harmless(command: &[&str], url: &str, heard: &str) {
    for json in [&[][..], &["--json"]] {
        let mut heard_it = false;
        // Most commands end only when they have waited for long enough, and a busy machine needs longer.
        for wait in ["1", "5", "25"] {
            let mut child = Command::new(binary());
            child.args(command).args(json);
            child.args(["--server", url, "--log", "trace", "--wait", wait]);
            child.stdin(Stdio::null());
            let Output {
                status,
                stdout,
                stderr,
            } = soon(quiet(&mut child).output()).await.unwrap();
            assert!(!status.success(), "{command:?}");
            let said = [stdout, stderr].map(|said| String::from_utf8(said).unwrap());
            heard_it = said.iter().any(|said| said.contains(heard));
            for said in said {
                assert!(is_plain(&said), "{command:?}: {said:?}");
                let forged = said.lines().any(|line| line.starts_with("connected"));
                assert!(!forged, "{command:?}: {said}");
                let longest = said.lines().map(|line| line.chars().count()).max();
                assert!(longest.unwrap_or(0) < 10_000, "{command:?}: {longest:?}");
            }
            if heard_it {
                break;
            }
        }
        assert!(heard_it, "{command:?} says nothing of {heard:?}");
    }
}

/// Whether a terminal shows a text as it is: escape sequences would move the cursor, and bidirectional
/// controls change the order in which people read it.
pub fn is_plain(text: &str) -> bool {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}')
    };
    !text.chars().any(obeyed)
}

/// A control plane that does not mean well.
enum Hostile {
    /// Answers every call with this code and a hostile text.
    Refuses(Code),
    /// Sends everybody to this address.
    SendsTo(v1::RelayEndpoint),
}

/// Starts one; gives its address.
async fn serve(hostile: Hostile) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    peersox_tests::serve(listener, Arc::new(hostile));
    url
}

impl Hostile {
    fn answer<T>(&self, reply: T) -> Result<Response<T>, Status> {
        match self {
            Self::Refuses(code) => Err(Status::new(*code, HOSTILE)),
            Self::SendsTo(_) => Ok(Response::new(reply)),
        }
    }
}

#[tonic::async_trait]
impl PairingService for Hostile {
    type WatchPairingStream = BoxStream<'static, Result<v1::WatchPairingResponse, Status>>;

    async fn get_config(
        &self,
        _: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        self.answer(v1::GetConfigResponse::default())
    }

    async fn create_pairing(
        &self,
        _: Request<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        self.answer(v1::CreatePairingResponse {
            pairing_id: vec![7; 16].into(),
            nameplate: "481920".into(),
            credential: vec![7; 48].into(),
            ..v1::CreatePairingResponse::default()
        })
    }

    async fn join_pairing(
        &self,
        _: Request<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        self.answer(v1::JoinPairingResponse {
            pairing_id: vec![7; 16].into(),
            credential: vec![7; 48].into(),
            ..v1::JoinPairingResponse::default()
        })
    }

    async fn get_pairing(
        &self,
        _: Request<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        self.answer(v1::GetPairingResponse::default())
    }

    async fn open_session(
        &self,
        _: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        let endpoints = match self {
            Self::Refuses(_) => Vec::new(),
            Self::SendsTo(endpoint) => vec![endpoint.clone()],
        };
        self.answer(v1::OpenSessionResponse {
            ticket: "ticket".into(),
            endpoints,
            ..v1::OpenSessionResponse::default()
        })
    }

    async fn watch_pairing(
        &self,
        _: Request<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        self.answer(futures_util::stream::pending().boxed())
    }

    async fn confirm_join(
        &self,
        _: Request<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        self.answer(v1::ConfirmJoinResponse::default())
    }

    async fn delete_pairing(
        &self,
        _: Request<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        self.answer(v1::DeletePairingResponse::default())
    }
}
