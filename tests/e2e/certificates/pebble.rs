//! A real authority that speaks ACME, for tests only: Debian's `pebble`.
//!
//! It comes to ports of its configuration instead of 443 and 80, issues certificates that live for
//! seconds, and forgets all when it ends. Where it is not installed, tests say so and are skipped.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

use super::Authority;
use crate::floods::legs;
use crate::harness::{quiet_port, soon};

/// A running authority. Dropping it kills it.
pub struct Pebble {
    /// What its directory is verified by.
    authority: Authority,
    ports: Ports,
    /// For how long certificates are valid, in seconds.
    life: u64,
    child: Child,
}

/// Where it listens, and where it comes to.
#[derive(Clone, Copy)]
struct Ports {
    directory: u16,
    management: u16,
    http: u16,
    tls: u16,
}

impl Pebble {
    /// One that comes to these ports by HTTP-01 and by TLS-ALPN-01; nothing where there is no pebble, and
    /// a line that says so.
    pub async fn start(http: u16, tls: u16, life: u64) -> Option<Self> {
        let found = Command::new("pebble").arg("-h").output().await;
        if let Err(error) = found {
            // Not by a macro: the test harness shows what those print for failures only.
            let line = format!("skipped: no pebble, the package of Debian, is here: {error}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let authority = Authority::new();
        let leaf = authority.sign();
        authority.put("cert.pem", &leaf.cert);
        authority.put("key.pem", &leaf.key);
        let ports = Ports {
            directory: quiet_port(),
            management: quiet_port(),
            http,
            tls,
        };
        let child = run(&authority, ports, life).await;
        Some(Self {
            authority,
            ports,
            life,
            child,
        })
    }

    /// Kills it, with all that it knows.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it anew: another authority at the same place, which knows no account.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.child = run(&self.authority, self.ports, self.life).await;
    }

    /// What `--acme-directory` and `--acme-root` say of it.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.ports.directory)
    }

    pub fn root(&self) -> String {
        self.authority.path("ca.pem")
    }

    /// A file in PEM with the certificate by which what it issues is verified.
    pub async fn issuer(&self) -> String {
        let told = get(self.ports.management, "/roots/0").await.unwrap();
        let (_, pem) = told.split_once("\r\n\r\n").unwrap();
        self.authority.put("issuer.pem", pem);
        self.authority.path("issuer.pem")
    }
}

async fn run(authority: &Authority, ports: Ports, life: u64) -> Child {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let configuration = json!({"pebble": {
        "listenAddress": at(ports.directory),
        "managementListenAddress": at(ports.management),
        "certificate": authority.path("cert.pem"),
        "privateKey": authority.path("key.pem"),
        "httpPort": ports.http,
        "tlsPort": ports.tls,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "certificateValidityPeriod": life,
    }});
    authority.put("pebble.json", &configuration.to_string());
    let child = Command::new("pebble")
        .args(["-config", &authority.path("pebble.json")])
        // Each order is proven anew, at once.
        .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let answers = async || get(ports.directory, "/dir").await.is_ok();
    soon(async {
        while !answers().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    child
}

async fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut tls = legs::trusting();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut told = String::new();
    stream.read_to_string(&mut told).await?;
    Ok(told)
}
