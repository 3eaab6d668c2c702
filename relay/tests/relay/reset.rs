//! A server that is killed and comes back on its port: what its peers learn.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use peersox_relay::listen::quic::{Keys, bind};
use quinn::ConnectionError;
use tokio::sync::oneshot;

use crate::support::{ANY_PORT, patiently, quic_client, quic_server};

/// A QUIC server that ends without a word.
struct Server {
    address: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(config: quinn::ServerConfig, keys: Keys, address: SocketAddr) -> Self {
        let (kill, killed) = oneshot::channel();
        let (bound, address_of) = mpsc::channel();
        let serve = async move {
            let endpoint = bind(config, &keys, address).unwrap();
            bound.send(endpoint.local_addr().unwrap()).unwrap();
            let mut connections = Vec::new();
            let serving = async {
                while let Some(incoming) = endpoint.accept().await {
                    connections.push(incoming.await.unwrap());
                }
            };
            tokio::select! {
                () = serving => {}
                _ = killed => {}
            }
        };
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            // Nothing runs once `serve` has ended, so nothing that its end sets off is sent.
            runtime.enable_all().build().unwrap().block_on(serve);
        });
        Self {
            address: address_of.recv().unwrap(),
            kill,
            thread,
        }
    }

    /// When it returns, the port is free.
    fn kill(self) -> SocketAddr {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
        self.address
    }
}

/// How the connection of a client ends that lives through a restart with these keys.
async fn end_of(before: Keys, after: Keys, idle: Duration) -> ConnectionError {
    let (config, cert) = quic_server();
    let mut client = quic_client(&cert);
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(idle.try_into().unwrap()));
    client.transport_config(transport.into());
    let socket = quinn::Endpoint::client(ANY_PORT).unwrap();

    let server = Server::start(config.clone(), before, ANY_PORT);
    let connecting = socket.connect_with(client, server.address, "localhost");
    let connection = patiently(connecting.unwrap()).await.unwrap();
    let address = server.kill();
    assert_eq!(connection.close_reason(), None, "nobody said goodbye");

    let _again = Server::start(config, after, address);
    // On a slow machine a short idle timeout may be over by now.
    if let Ok((mut send, _receive)) = connection.open_bi().await {
        let _ = send.write_all(b"still there?").await;
    }
    patiently(connection.closed()).await
}

fn keys(reset: u8, connection_ids: u64) -> Keys {
    Keys {
        reset: [reset; 32],
        connection_ids,
    }
}

#[tokio::test]
async fn a_peer_learns_at_once_that_a_restarted_server_has_forgotten_it() {
    // Beyond the test's patience, as is the server's own: the reset ends it or nothing does.
    let idle = Duration::from_secs(30);
    let end = end_of(keys(1, 2), keys(1, 2), idle).await;
    assert_eq!(end, ConnectionError::Reset);
}

#[tokio::test]
async fn without_the_same_keys_only_the_idle_timeout_ends_a_connection() {
    let idle = Duration::from_secs(2);
    let end = |after| end_of(keys(1, 2), after, idle);
    let (other_reset, other_ids) = tokio::join!(end(keys(9, 2)), end(keys(1, 9)));
    assert_eq!(other_reset, ConnectionError::TimedOut);
    assert_eq!(other_ids, ConnectionError::TimedOut);
}
