//! What one connection is given, and for how long.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// One end of a connection that is served; the other end belongs to the test.
async fn served(idle: Duration, hsts: Option<Duration>, pool: &Pool) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mine = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let address = address.ip();
    let connection = Connection {
        address,
        router: Router::new(),
        prefix: Prefix::default(),
        forwarded: Arc::default(),
        hsts: hsts.map(hsts_header),
        served: AtomicBool::new(false),
        load: Load::new(
            pool.take(address, 1).unwrap(),
            Connections::default().opened(),
        ),
        idle,
        connections: Connections::default(),
    };
    tokio::spawn(Arc::new(connection).run(stream, None, CancellationToken::new()));
    mine
}

#[tokio::test]
async fn a_connection_of_http2_that_carries_nothing_is_closed() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // GET / of the authority h, the end of stream 1 (RFC 9113, section 6.2; RFC 7541).
    const GET: &[u8] = &[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'h'];
    let pool = Pool::new(10, &Networks::default());
    let mut mine = served(Duration::from_millis(50), None, &pool).await;
    mine.write_all(&[PREFACE, SETTINGS, GET].concat())
        .await
        .unwrap();
    let mut told = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(9), mine.read_to_end(&mut told));
    end.await
        .expect("it is closed before a first request is due")
        .unwrap();
    drop(mine);
    while pool.used() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_with_tls_asks_browsers_to_insist_on_it() {
    let pool = Pool::new(10, &Networks::default());
    let month = Some(Duration::from_secs(2_592_000));
    for (hsts, host, expected) in [
        (month, "p.example", "max-age=2592000\r\n"),
        (month, "p.example:3000", "max-age=2592000\r\n"),
        (month, "localhost:3000", ""),
        (Some(Duration::ZERO), "p.example", "max-age=0\r\n"),
        (None, "p.example", ""),
    ] {
        let mut mine = served(Duration::from_secs(9), hsts, &pool).await;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        mine.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        mine.read_to_string(&mut told).await.unwrap();
        let header = told.split_once("strict-transport-security: ");
        let header = header.map_or("", |(_, rest)| rest);
        let is_right = header.starts_with(expected) && header.is_empty() == expected.is_empty();
        assert!(is_right, "{host}: {told}");
    }
}
