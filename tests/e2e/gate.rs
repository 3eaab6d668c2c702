//! A proxy that can be shut: the network between a peer and its relay. What crosses it is recorded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

/// Forwards while it is open. Shutting it cuts connections and swallows packets.
pub struct Gate {
    pub port: u16,
    tcp: watch::Sender<bool>,
    udp: watch::Sender<Udp>,
    record: Record,
}

/// What happens to UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Udp {
    Passes,
    /// Only what belongs to a flow that has passed before.
    OldFlowsPass,
    Swallowed,
}

/// The bytes of all TCP connections, both ways, as they came.
type Record = Arc<Mutex<Vec<u8>>>;

impl Gate {
    /// Passes TCP only.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::begin(listener, None, port)
    }

    /// Passes TCP, and UDP on the same port number.
    pub async fn with_udp(port: u16) -> Self {
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let own = listener.local_addr().expect("it is bound");
            // Somebody else may have the other port of this number.
            if let Ok(socket) = UdpSocket::bind(own).await {
                return Self::begin(listener, Some(socket), port);
            }
        }
    }

    fn begin(listener: TcpListener, socket: Option<UdpSocket>, port: u16) -> Self {
        let own = listener.local_addr().expect("it is bound").port();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let (tcp, state) = watch::channel(true);
        let record = Record::default();
        let recording = Arc::clone(&record);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, to, state.clone(), Arc::clone(&recording)));
            }
        });
        let (udp, state) = watch::channel(Udp::Passes);
        if let Some(socket) = socket {
            tokio::spawn(pass(Arc::new(socket), to, state));
        }
        Self {
            port: own,
            tcp,
            udp,
            record,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn shut(&self) {
        self.tcp.send_replace(false);
    }

    pub fn open(&self) {
        self.tcp.send_replace(true);
    }

    /// Lets UDP pass, or swallows it.
    pub fn udp(&self, what: Udp) {
        self.udp.send_replace(what);
    }

    /// What has crossed by TCP so far.
    pub fn recorded(&self) -> Vec<u8> {
        self.record.lock().expect("nobody panics with it").clone()
    }
}

async fn forward(near: TcpStream, to: SocketAddr, mut open: watch::Receiver<bool>, record: Record) {
    if !*open.borrow() {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    tokio::select! {
        _ = async {
            tokio::join!(
                copy(&mut near_read, &mut far_write, &record),
                copy(&mut far_read, &mut near_write, &record),
            )
        } => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

/// Copies one direction and passes its end on.
async fn copy(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    record: &Record,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
        let mut record = record.lock().expect("nobody panics with it");
        if record.len() < MAX_RECORD {
            record.extend_from_slice(&buffer[..read]);
        }
    }
}

/// Passes packets both ways, with a socket of its own towards the server for each client.
async fn pass(socket: Arc<UdpSocket>, to: SocketAddr, state: watch::Receiver<Udp>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let now = *state.borrow();
        let towards = match clients.get(&from) {
            _ if now == Udp::Swallowed => continue,
            Some(known) => Arc::clone(known),
            None if now == Udp::OldFlowsPass => continue,
            None => {
                let Ok(fresh) = UdpSocket::bind("127.0.0.1:0").await else {
                    continue;
                };
                let fresh = Arc::new(fresh);
                tokio::spawn(back(
                    Arc::clone(&fresh),
                    Arc::clone(&socket),
                    from,
                    state.clone(),
                ));
                clients.insert(from, Arc::clone(&fresh));
                fresh
            }
        };
        let _ = towards.send_to(&buffer[..len], to).await;
    }
}

async fn back(
    from: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    state: watch::Receiver<Udp>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is that of an earlier packet, which found no server.
        let Ok(len) = from.recv(&mut buffer).await else {
            continue;
        };
        if *state.borrow() != Udp::Swallowed {
            let _ = socket.send_to(&buffer[..len], client).await;
        }
    }
}

/// Beyond this a recording proves nothing more.
const MAX_RECORD: usize = 64 << 20;
