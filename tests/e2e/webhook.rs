//! A program of the operator's is told what happens to pairings.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::auth::{Folder, new_key};
use crate::harness::{Peer, Server, http_get, noise, quiet_port, refuses, soon};
use crate::nodes::{Service, knows};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A program that is told, and refuses the first time.
struct Program {
    port: u16,
    told: mpsc::UnboundedReceiver<(String, String)>,
}

impl Program {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut statuses = ["500 Internal Server Error"].into_iter();
            while let Ok((stream, _)) = listener.accept().await {
                let status = statuses.next().unwrap_or("204 No Content");
                let _ = tell.send(answer(stream, status).await);
            }
        });
        Self { port, told }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/told", self.port)
    }

    /// Waits until it was told of so many different events; gives them by name. The signature of each is
    /// checked, and one has come twice, as it was refused.
    async fn events(&mut self, count: usize) -> BTreeMap<String, Value> {
        let (mut by_id, mut times) = (BTreeMap::new(), 0);
        while by_id.len() < count || times <= count {
            let (head, body) = soon(self.told.recv()).await.unwrap();
            assert!(is_signed(&head, &body), "{head}");
            let event: Value = serde_json::from_str(&body).unwrap();
            let id = event["id"].as_str().unwrap().to_owned();
            assert_eq!(id.len(), 32, "{body}");
            let before = by_id.insert(id, event.clone());
            assert!(before.is_none_or(|before| before == event), "{body}");
            times += 1;
        }
        let name = |event: &Value| event["event"].as_str().unwrap().to_owned();
        by_id.into_values().map(|it| (name(&it), it)).collect()
    }
}

/// Reads a request and answers it; head and body.
async fn answer(mut stream: TcpStream, status: &str) -> (String, String) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|it| it.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                let reply = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
                stream.write_all(reply.as_bytes()).await.unwrap();
                return (head.to_owned(), body.to_owned());
            }
        }
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{text}");
    }
}

fn is_signed(head: &str, body: &str) -> bool {
    let value = head
        .lines()
        .find_map(|it| it.strip_prefix("peersox-signature: "));
    let (time, signature) = value.unwrap().split_once(',').unwrap();
    let signed = format!("{}.{body}", time.strip_prefix("t=").unwrap());
    let expected = HEXLOWER.encode(&hmac(SECRET.as_bytes(), signed.as_bytes()));
    signature.strip_prefix("v1=") == Some(&expected)
}

/// HMAC-SHA256 (RFC 2104), by hand: what receivers have a library for.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let padded = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(it, key)| *it ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(padded(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

/// Has two peers meet on the account of this key, send bytes, and part.
async fn talk(server: &Server, key: &str, bytes: &[u8]) {
    let environment = [("PEERSOX_AUTH_TOKEN_FILE", key)];
    let mut one = Peer::start_with(&server.url(), &["connect"], &environment);
    let code = one.code().await;
    let mut two = Peer::start(&server.url(), &["connect", &code]);
    tokio::join!(one.event("connected"), two.event("connected"));
    one.stdin.take().unwrap().write_all(bytes).await.unwrap();
    assert!(two.output().await == bytes);
    assert_eq!(one.end().await.0, 0);
    assert_eq!(two.end().await.0, 0);
}

/// What is told of one pairing from its code to its end.
fn is_told(events: &BTreeMap<String, Value>, bytes: u64) {
    let names: Vec<_> = events.keys().map(String::as_str).collect();
    assert_eq!(names, ["closed", "connected", "paired"]);
    let pairing = &events["paired"]["pairing"];
    for event in events.values() {
        assert_eq!(
            (&event["pairing"], &event["account"]),
            (pairing, &"ci".into())
        );
    }
    let closed = &events["closed"];
    assert!(closed["bytes"].as_u64().unwrap() > bytes, "{closed}");
    assert!(closed["duration_millis"].as_u64().is_some(), "{closed}");
}

/// The flags, and the files that they name.
struct Given {
    folder: Folder,
    key: String,
    keys: String,
    secret: String,
}

impl Given {
    async fn new() -> Self {
        let folder = Folder::new();
        let (line, key) = new_key("ci").await;
        Self {
            key: folder.put("key", &key),
            keys: folder.put("keys", &line),
            secret: folder.put("secret", SECRET),
            folder,
        }
    }

    fn flags<'a>(&'a self, url: &'a str) -> Vec<&'a str> {
        let auth = ["--auth", "keys", "--auth-keys-file", &self.keys];
        let told = ["--webhook", url, "--webhook-secret-file", &self.secret];
        [&auth[..], &told].concat()
    }
}

#[tokio::test]
async fn a_program_is_told_of_a_pairing_and_asked_again_when_it_refuses() {
    let (given, mut program) = (Given::new().await, Program::start().await);
    let metrics = format!("127.0.0.1:{}", quiet_port());
    let url = program.url();
    let flags = [&given.flags(&url)[..], &["--metrics-listen", &metrics]].concat();
    let server = Server::start(&flags).await;
    talk(&server, &given.key, &noise(100_000, 1)).await;
    is_told(&program.events(3).await, 100_000);
    let delivered = r#"peersox_webhook_events_total{outcome="delivered"} 3"#;
    soon(async { while !http_get(&metrics, "/metrics").await.contains(delivered) {} }).await;
    let failed = r#"peersox_webhook_events_total{outcome="failed"} 1"#;
    let text = http_get(&metrics, "/metrics").await;
    assert!(text.contains(failed), "{text}");
}

#[tokio::test]
async fn what_a_relay_apart_forwards_is_told_too() {
    let (given, mut program) = (Given::new().await, Program::start().await);
    let (service, url) = (Service::new(), program.url());
    let control = service.control_with(0, &given.flags(&url)).await;
    let controls = [control];
    let relay = service.relay("only", &controls).await;
    knows(&controls[0], &relay, true).await;
    talk(&controls[0], &given.key, &noise(100_000, 2)).await;
    is_told(&program.events(3).await, 100_000);
}

#[tokio::test]
async fn a_webhook_needs_a_url_and_a_secret() {
    let given = Given::new().await;
    let short = given.folder.put("short", "secret");
    let secret = given.secret.as_str();
    refuses(&[
        (
            &["--webhook", "http://127.0.0.1/"],
            2,
            "--webhook-secret-file",
        ),
        (&["--webhook-secret-file", secret], 2, "--webhook"),
        (
            &[
                "--webhook",
                "ftp://127.0.0.1/",
                "--webhook-secret-file",
                secret,
            ],
            2,
            "https://",
        ),
        (
            &[
                "--webhook",
                "http://127.0.0.1/",
                "--webhook-secret-file",
                &short,
            ],
            7,
            "32 characters",
        ),
    ])
    .await;
}
