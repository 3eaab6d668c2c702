//! `peersox forward`: TCP connections carried to a port on the other side.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Peer, Server, noise, soon};

/// A forward to `target`, and the address to connect to here. The peers live as long as it does.
struct Forwarded {
    _server: Server,
    serving: Peer,
    _listening: Peer,
    address: String,
}

impl Forwarded {
    async fn to(target: &str) -> Self {
        let server = Server::start(&[]).await;
        let mut serving = Peer::start(&server.url(), &["forward", "--target", target]);
        let code = serving.code().await;
        let args = ["forward", "--listen", "127.0.0.1:0", &code];
        let mut listening = Peer::start(&server.url(), &args);
        let address = listening.event("listening").await["address"].clone();
        Self {
            _server: server,
            serving,
            _listening: listening,
            address: address.as_str().unwrap().to_owned(),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }
}

async fn service() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn several_connections_at_once_each_half_closed_by_itself() {
    let (listener, address) = service().await;
    // Answers only when the request has ended: without half-close nothing would ever come back.
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                stream.read_to_end(&mut request).await.unwrap();
                let digest = blake3::hash(&request);
                stream.write_all(digest.as_bytes()).await.unwrap();
                stream.write_all(&request).await.unwrap();
            });
        }
    });
    let forwarded = Forwarded::to(&address).await;
    let exchanges = (0..8).map(|seed| {
        let connecting = forwarded.connect();
        async move {
            let stream = connecting.await;
            let request = noise(100_000 + 700_000 * usize::try_from(seed % 3).unwrap(), seed);
            let (mut read, mut write) = stream.into_split();
            let writing = async {
                write.write_all(&request).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut answer = Vec::new();
            let ((), got) = tokio::join!(writing, read.read_to_end(&mut answer));
            got.unwrap();
            assert_eq!(answer[..32], *blake3::hash(&request).as_bytes());
            assert!(answer[32..] == request);
        }
    });
    soon(futures_util::future::join_all(exchanges)).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_resets_the_connection_and_says_why() {
    let (listener, address) = service().await;
    drop(listener);
    let mut forwarded = Forwarded::to(&address).await;
    let mut stream = forwarded.connect().await;
    let broken = soon(stream.read(&mut [0; 1])).await;
    assert!(broken.is_err(), "not an orderly end: {broken:?}");
    let event = forwarded.serving.event("unreachable").await;
    assert_eq!(event["target"], address.as_str());
    // The next one is carried: one failure ends one connection.
    let listener = TcpListener::bind(&address).await.unwrap();
    let mut stream = forwarded.connect().await;
    let (mut served, _) = soon(listener.accept()).await.unwrap();
    stream.write_all(b"again").await.unwrap();
    let mut got = [0; 5];
    soon(served.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"again");
}

#[tokio::test]
async fn a_connection_that_breaks_on_one_side_breaks_on_the_other() {
    let (listener, address) = service().await;
    let forwarded = Forwarded::to(&address).await;
    let mut stream = forwarded.connect().await;
    let (served, _) = soon(listener.accept()).await.unwrap();
    served.set_zero_linger().unwrap();
    drop(served);
    let broken = soon(stream.read(&mut [0; 1])).await;
    assert!(broken.is_err(), "not an orderly end: {broken:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_known_before_a_code_is_shown() {
    let (listener, address) = service().await;
    let args = ["forward", "--listen", &address];
    let (exit, said) = Peer::start("http://127.0.0.1:1", &args).end().await;
    assert_eq!(exit, 7, "{said}");
    assert!(said.contains(&address), "{said}");
    drop(listener);
    let (exit, said) = Peer::start("http://127.0.0.1:1", &["forward"]).end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(
        said.contains("--listen") && said.contains("--target"),
        "{said}"
    );
}
