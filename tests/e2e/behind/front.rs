//! A real proxy in front of a real server, by a block of `docs/operations.md`.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect;
use crate::certificates::Authority;
use crate::floods::legs;
use crate::guides::{blocks, root};
use crate::harness::{PATIENCE, Server, quiet_port, soon};

/// Proxies of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

impl Kind {
    /// What it is called: as a program, as a package of Debian, and in the log of `scripts/test`.
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// The language of its blocks.
    fn language(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => self.name(),
            Self::Caddy => "caddyfile",
        }
    }

    /// The command that runs it in the foreground, as whoever runs the test, with its log on standard error.
    fn command(self, files: &Authority) -> Command {
        let mut command = Command::new(self.name());
        let folder = files.path("");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        match self {
            Self::Nginx => command.args(["-e", "stderr", "-p", &folder, "-c"]),
            Self::Haproxy => command.args(["-db", "-f"]),
            Self::Caddy => command
                .envs(["XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"].map(|it| (it, &folder)))
                .args(["run", "--adapter", "caddyfile", "--config"]),
        };
        command.arg(files.path("proxy.conf"));
        command
    }

    /// What stands around a block in a whole file of configuration.
    fn configuration(self, block: &str, folder: &str) -> String {
        match self {
            Self::Nginx => {
                let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let temporary = kinds.map(|it| format!("{it}_temp_path temporary;\n"));
                format!(
                    "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\n\
                     http {{\naccess_log off;\n{}{block}\n}}\n",
                    temporary.concat()
                )
            }
            Self::Haproxy => {
                format!("global\n    stats socket {folder}admin mode 600\n\n{block}\n")
            }
            Self::Caddy => {
                format!(
                    "{{\nadmin off\nskip_install_trust\nauto_https disable_redirects\n}}\n{block}\n"
                )
            }
        }
    }
}

/// A proxy, and the server behind it. Dropping it kills both.
pub struct Front {
    pub port: u16,
    pub server: Server,
    path: String,
    files: Authority,
    authority: String,
    _proxy: Child,
}

impl Front {
    /// By the block of this number for such a proxy, and the command below it; nothing where there is no such
    /// proxy, and a line that says so.
    pub async fn start(kind: Kind, number: usize) -> Option<Self> {
        let files = Authority::new();
        if let Err(error) = kind.command(&files).arg("--version").output().await {
            let name = kind.name();
            // Not by a macro: the test harness shows what those print for failures only.
            let line = format!("skipped: no {name}, the package of Debian, is here: {error}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let leaf = files.sign();
        files.put("cert.pem", &leaf.cert);
        files.put("key.pem", &leaf.key);
        files.put("both.pem", &format!("{}{}", leaf.cert, leaf.key));
        let (port, behind) = (quiet_port(), quiet_port());
        let here = |text: &str| {
            [
                ("/etc/ssl/p.example.pem", files.path("cert.pem")),
                ("/etc/ssl/private/p.example.key", files.path("key.pem")),
                ("/etc/haproxy/p.example.pem", files.path("both.pem")),
                ("https://p.example", format!("https://localhost:{port}")),
                ("listen 443", format!("listen {port}")),
                ("bind :443", format!("bind :{port}")),
                ("p.example {", format!("localhost:{port} {{")),
                ("p.example", "localhost".to_owned()),
                ("127.0.0.1:3000", format!("127.0.0.1:{behind}")),
            ]
            .iter()
            .fold(text.to_owned(), |text, (there, here)| {
                text.replace(there, here)
            })
        };
        let (block, command) = shown(kind.language(), number);
        let command = here(&command);
        let options: Vec<&str> = command.split_whitespace().collect();
        let server = Server::start(&options).await;
        let configuration = kind.configuration(&here(&block), &files.path(""));
        files.put("proxy.conf", &configuration);
        let mut proxy = kind.command(&files);
        let proxy = proxy
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let proxy = proxy.spawn().unwrap();
        let public = command.split_once("--public-url ").unwrap().1;
        let public = public.split_whitespace().next().unwrap();
        let path = public.trim_start_matches("https://").split_once('/');
        let front = Self {
            port,
            server,
            path: path
                .map_or("", |(_, path)| path)
                .trim_end_matches('/')
                .to_owned(),
            authority: match kind {
                Kind::Nginx | Kind::Haproxy => files.path("ca.pem"),
                Kind::Caddy => files.path("caddy/pki/authorities/local/root.crt"),
            },
            files,
            _proxy: proxy,
        };
        front.is_there().await;
        Some(front)
    }

    /// Waits until it speaks TLS; Caddy makes its certificate first.
    async fn is_there(&self) {
        let mut last = None;
        let speaks = async {
            while let Err(error) = tls([127, 0, 0, 1], self.port, b"http/1.1").await {
                last = Some(error);
                tokio::task::yield_now().await;
            }
        };
        let there = tokio::time::timeout(PATIENCE, speaks).await;
        assert!(there.is_ok(), "{last:?}");
    }

    /// What people say as `--server`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}{}", self.port, self.path())
    }

    /// The path that the server is below, without a slash at its end.
    pub fn path(&self) -> String {
        match self.path.as_str() {
            "" => String::new(),
            path => format!("/{path}"),
        }
    }

    /// A file in PEM by which the proxy's certificate is verified.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub async fn get(&self, path: &str) -> String {
        let host = format!("localhost:{}", self.port);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        self.ask([127, 0, 0, 1], request.as_bytes()).await
    }

    /// The gRPC status of a guess that comes from an address of this machine, with lines in its header.
    pub async fn guess(&self, from: [u8; 4], at: usize, lines: &str) -> String {
        status(&self.ask(from, &guess(&self.path(), at, lines)).await)
    }

    async fn ask(&self, from: [u8; 4], request: &[u8]) -> String {
        let mut stream = soon(tls(from, self.port, b"http/1.1")).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut told = Vec::new();
        // Proxies may end TCP without a last word of TLS.
        let _ = soon(stream.read_to_end(&mut told)).await;
        String::from_utf8_lossy(&told).into_owned()
    }

    /// Waits until haproxy has looked whether the server is ready, and found that it is.
    pub async fn is_found_healthy(&self) {
        let socket = self.files.path("admin");
        let found = async || {
            let mut stream = UnixStream::connect(&socket).await?;
            stream.write_all(b"show stat\n").await?;
            let mut told = String::new();
            stream.read_to_string(&mut told).await?;
            let line = told.lines().find(|it| it.starts_with("peersox,one,"));
            std::io::Result::Ok(line.unwrap_or_default().to_owned())
        };
        soon(async {
            loop {
                let line = found().await.unwrap();
                assert!(!line.contains("DOWN"), "{line}");
                if line.contains(",L7OK,") {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// A block of the manual in this language, of those the one of this number, and the options of
/// `peersox serve` in the block below it.
fn shown(language: &str, number: usize) -> (String, String) {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let blocks = blocks(&text);
    let mut found = blocks
        .windows(2)
        .filter(|pair| pair[0].language == language);
    let pair = found.nth(number).expect("the manual shows it");
    let command = pair[1]
        .lines
        .first()
        .and_then(|it| it.strip_prefix("$ peersox serve "));
    let command = command.expect("the command of the server stands below");
    (pair[0].lines.join("\n"), command.to_owned())
}

/// A connection of TLS to a port of this machine, from one of its addresses, that takes any certificate.
pub async fn tls(
    from: [u8; 4],
    port: u16,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut tls = legs::trusting();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = connect(from, port).await?;
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await
}

/// A request that joins by the nameplate of this number, in gRPC-Web, with lines in its header.
pub fn guess(path: &str, at: usize, lines: &str) -> Vec<u8> {
    let nameplate = format!("{at:06}");
    let body = [&[0, 0, 0, 0, 8, 0x0a, 6][..], nameplate.as_bytes()].concat();
    let head = format!(
        "POST {path}/peersox.v1.PairingService/JoinPairing HTTP/1.1\r\nhost: localhost\r\n\
         connection: close\r\ncontent-type: application/grpc-web+proto\r\n{lines}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// The status of gRPC in an answer, as a header or as a trailer, in whatever case.
pub fn status(told: &str) -> String {
    let told = told.to_ascii_lowercase();
    let status = told.split("grpc-status:").nth(1);
    let status = status.unwrap_or_else(|| panic!("{told}"));
    let digits = status.trim_start().chars();
    digits.take_while(char::is_ascii_digit).collect()
}
