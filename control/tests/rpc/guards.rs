//! One host, or one network, at full effort: others are served meanwhile.

use peersox_control::{Config, guard};
use peersox_proto::v1::*;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::*;

fn watches(most: u64) -> Config {
    let guard = guard::Config {
        watches: most,
        ..guard::Config::default()
    };
    Config {
        guard,
        ..Config::default()
    }
}

async fn channel(server: &Server) -> Channel {
    let url = format!("http://{}", server.address);
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn one_host_cannot_take_all_watches_with_pairings_of_its_own() {
    let server = Server::with(watches(40)).await;
    let mut client = server.client().await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..5 {
        let request = from("192.0.2.66", CreatePairingRequest::default());
        let credential = client
            .create_pairing(request)
            .await
            .unwrap()
            .into_inner()
            .credential;
        for _ in 0..8 {
            let credential = credential.clone();
            let request = from("192.0.2.66", WatchPairingRequest { credential });
            match client.watch_pairing(request).await {
                Ok(watch) => open.push(watch),
                Err(status) => {
                    let (code, reason, retry) = told(&status);
                    assert_eq!(
                        (code, &*reason),
                        (Code::ResourceExhausted, "WATCHES_EXHAUSTED")
                    );
                    assert!(retry.is_some());
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((open.len(), refused), (20, 20));
    // The neighbour, somebody elsewhere, somebody by IPv6.
    for person in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        let request = from(person, CreatePairingRequest::default());
        let credential = client
            .create_pairing(request)
            .await
            .unwrap()
            .into_inner()
            .credential;
        let request = from(person, WatchPairingRequest { credential });
        open.push(client.watch_pairing(request).await.unwrap());
    }
}

#[tokio::test]
async fn streams_of_health_are_among_the_watches() {
    let server = Server::with(watches(8)).await;
    let mut health = HealthClient::new(channel(&server).await);
    let mut open = Vec::new();
    for _ in 0..9 {
        let request = from("192.0.2.66", HealthCheckRequest::default());
        open.extend(health.watch(request).await.ok());
    }
    assert_eq!(open.len(), 4);
    let elsewhere = from("198.51.100.1", HealthCheckRequest::default());
    open.push(health.watch(elsewhere).await.unwrap());
    // A stream that was let go makes room, once the server has noticed.
    open.clear();
    tokio::time::timeout(std::time::Duration::from_secs(30), async {
        loop {
            let request = from("192.0.2.66", HealthCheckRequest::default());
            match health.watch(request).await {
                Ok(_) => return,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .expect("a place becomes free");
}

#[tokio::test]
async fn reflection_is_served_only_where_it_is_asked_for() {
    use tonic_reflection::pb::v1 as reflection;
    for (asked_for, expected) in [(false, Some(Code::Unimplemented)), (true, None)] {
        let server = Server::with(Config {
            reflection: asked_for,
            ..Config::default()
        })
        .await;
        let channel = channel(&server).await;
        let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
        let requests = futures_util::stream::empty::<reflection::ServerReflectionRequest>();
        let failed = match client.server_reflection_info(requests).await {
            Ok(replies) => replies.into_inner().message().await.err(),
            Err(status) => Some(status),
        };
        assert_eq!(failed.map(|status| status.code()), expected);
    }
}

#[tokio::test]
async fn a_server_that_stops_sends_nobody_to_its_relay() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let credential = create(&mut client).await.credential;
    let request = OpenSessionRequest {
        credential,
        ..Default::default()
    };
    assert!(client.open_session(request.clone()).await.is_ok());
    server.control.stop();
    let status = client.open_session(request).await.unwrap_err();
    let (code, reason, retry) = told(&status);
    assert_eq!((code, &*reason), (Code::Unavailable, "DRAINING"));
    assert!(retry.is_some());
}

#[tokio::test]
async fn a_network_that_guesses_does_not_keep_others_from_joining() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut refused = 0;
    for host in 0..400 {
        let address = format!("2001:db8:7:{host:x}::1");
        let nameplate = "000000".to_owned();
        let guess = from(&address, joining(nameplate));
        let status = client.join_pairing(guess).await.unwrap_err();
        refused += usize::from(status.code() == Code::ResourceExhausted);
    }
    // Two /56 of a network may fail 80 times each.
    assert!(refused >= 400 - 80 - 80, "{refused}");
    let nameplate = create(&mut client).await.nameplate;
    let right = from("198.51.100.1", joining(nameplate));
    assert!(client.join_pairing(right).await.is_ok());
}

fn joining(nameplate: String) -> JoinPairingRequest {
    JoinPairingRequest {
        nameplate,
        ..JoinPairingRequest::default()
    }
}
