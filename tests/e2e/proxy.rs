//! What stands between peers and servers: proxies of several kinds, on real sockets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How a proxy treats a connection.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Passes HTTP/1.1 and answers HTTP/2 with 400, as nginx does.
    Http1,
    /// Passes HTTP/1.1 and never answers HTTP/2.
    SilentToHttp2,
    /// Calls the server by HTTP/1.0 and passes no upgrade on, as nginx does unless it is told otherwise.
    Http10,
    /// Serves the server below `/x`, by HTTP/1.1, and takes that path away.
    Below,
    /// Answers each request with this instead of the server.
    Page(&'static str),
    /// Is asked with CONNECT, by the user `user` with the password `p@ss`.
    Connect,
    /// Is asked by SOCKS5, by the same user. Names become 127.0.0.1.
    Socks5,
}

/// A proxy on a port of its own.
pub struct Proxy {
    pub port: u16,
    /// How many connections it passed on to the server.
    passed: Arc<AtomicUsize>,
}

impl Proxy {
    /// Passes on to a port of this machine.
    pub async fn start(kind: Kind, to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let passed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&passed);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    // A connection that breaks is the peer's to notice.
                    let _ = serve(kind, near, to, &count).await;
                });
            }
        });
        Self { port, passed }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn serve(kind: Kind, mut near: TcpStream, to: u16, count: &AtomicUsize) -> io::Result<()> {
    let far = async || {
        count.fetch_add(1, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", to)).await
    };
    match kind {
        Kind::Connect => {
            let head = head(&mut near).await?;
            // user:p@ss
            if !head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n") {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                return near.write_all(refusal).await;
            }
            assert!(head.starts_with("CONNECT peersox.test:"), "{head}");
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            return pass(near, far().await?).await;
        }
        Kind::Socks5 => {
            negotiate(&mut near).await?;
            return pass(near, far().await?).await;
        }
        Kind::Http1 | Kind::SilentToHttp2 | Kind::Http10 | Kind::Below | Kind::Page(_) => {}
    }
    let head = head(&mut near).await?;
    if head.starts_with("PRI ") {
        if matches!(kind, Kind::SilentToHttp2) {
            return near.read_to_end(&mut Vec::new()).await.map(|_| ());
        }
        return near.write_all(BAD_REQUEST).await;
    }
    let upgrades = head.to_ascii_lowercase().contains("\r\nupgrade: websocket");
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_owned).collect();
    match kind {
        Kind::Page(answer) => return near.write_all(answer.as_bytes()).await,
        Kind::Http10 => {
            lines[0] = lines[0].replace("HTTP/1.1", "HTTP/1.0");
            lines.retain(|line| !is_field(line, "upgrade") && !is_field(line, "connection"));
        }
        Kind::Below => {
            let Some(stripped) = stripped(&lines[0]) else {
                return near.write_all(NOT_FOUND).await;
            };
            lines[0] = stripped;
        }
        _ => {}
    }
    if !upgrades {
        // One request for each connection, so that none goes by unseen.
        lines.push("connection: close".into());
    }
    let mut far = far().await?;
    let head = format!("{}\r\n\r\n", lines.join("\r\n"));
    far.write_all(head.as_bytes()).await?;
    pass(near, far).await
}

async fn pass(mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    copy_bidirectional(&mut near, &mut far).await.map(|_| ())
}

/// Everything before the body.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn is_field(line: &str, name: &str) -> bool {
    let field = line.split_once(':').map(|(field, _)| field);
    field.is_some_and(|field| field.eq_ignore_ascii_case(name))
}

/// The request line without `/x` at the beginning of its path.
fn stripped(line: &str) -> Option<String> {
    let (method, rest) = line.split_once(' ')?;
    let rest = rest
        .strip_prefix("/x")
        .filter(|rest| rest.starts_with('/'))?;
    Some(format!("{method} {rest}"))
}

/// SOCKS5 (RFC 1928) with user name and password (RFC 1929), for names only.
async fn negotiate(stream: &mut TcpStream) -> io::Result<()> {
    let mut offer = vec![0; 2];
    stream.read_exact(&mut offer).await?;
    let mut methods = vec![0; offer[1].into()];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&2) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, 2]).await?;
    let mut login = [0; 11];
    stream.read_exact(&mut login).await?;
    let known = login == *b"\x01\x04user\x04p@ss";
    stream.write_all(&[1, u8::from(!known)]).await?;
    let mut request = [0; 5];
    stream.read_exact(&mut request).await?;
    // Version, CONNECT, reserved, a name.
    assert_eq!(request[..4], [5, 1, 0, 3], "the proxy is given a name");
    let mut name = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut name).await?;
    assert!(name.starts_with(b"peersox.test"), "{name:?}");
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\n\
    content-length: 24\r\nconnection: close\r\n\r\n<h1>400 Bad Request</h1>";

const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
