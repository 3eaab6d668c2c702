//! Several nodes over one Redis hold everybody to the budgets of one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use peersox_core::ticket::Signer;
use peersox_core::time::Timestamp;
use peersox_proto::v1::pairing_service_server::PairingService as _;
use peersox_proto::v1::{CreatePairingRequest, JoinPairingRequest};
use peersox_test_redis as servers;
use tonic::{Code, Request};

use super::Pairing;
use crate::http::ClientAddr;
use crate::{Config, Control, Directory, Redis, directory};

async fn node(redis: &servers::Redis) -> Pairing<Redis> {
    let store = Redis::connect(redis.url().parse().unwrap()).await.unwrap();
    let (_, certificates) = tokio::sync::watch::channel(Vec::new());
    let directory = Directory::new(directory::Config::default(), certificates);
    let clock = Arc::new(|| Timestamp::from(SystemTime::now()));
    let signer = Signer::from_seed(&[1; 32]);
    let (control, _) = Control::new(Config::default(), store, signer, directory, clock);
    Pairing(Arc::clone(&control.0))
}

fn call<T>(from: IpAddr, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(ClientAddr(from));
    request
}

async fn create(node: &Pairing<Redis>, from: IpAddr) -> Result<String, Code> {
    let request = CreatePairingRequest {
        secret_bits: 20,
        ephemeral: true,
        ..CreatePairingRequest::default()
    };
    let created = node.create_pairing(call(from, request)).await;
    created
        .map(|it| it.into_inner().nameplate)
        .map_err(|status| status.code())
}

async fn join(node: &Pairing<Redis>, from: IpAddr, nameplate: &str) -> Result<(), Code> {
    let request = JoinPairingRequest {
        nameplate: nameplate.to_owned(),
        ephemeral: true,
        ..JoinPairingRequest::default()
    };
    let joined = node.join_pairing(call(from, request)).await;
    joined.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn a_host_has_the_budgets_of_one_node_at_all_of_them() {
    let redis = servers::Redis::start();
    let nodes = [node(&redis).await, node(&redis).await, node(&redis).await];
    let [guesser, honest] = [1, 2].map(|network| IpAddr::from([192, 0, network, 1]));
    // Whoever is right pays nothing, at whichever node.
    for at in 0..30 {
        let code = create(&nodes[at % 3], honest).await.unwrap();
        join(&nodes[(at + 1) % 3], honest, &code).await.unwrap();
    }
    let mut failed = 0;
    for at in 0..60 {
        match join(&nodes[at % 3], guesser, "000000000000").await {
            Err(Code::NotFound) => failed += 1,
            refused => assert_eq!(refused, Err(Code::ResourceExhausted)),
        }
    }
    assert_eq!(failed, 20, "an hour's budget of one node");
    let mut created = 0;
    for at in 0..90 {
        created += u32::from(create(&nodes[at % 3], guesser).await.is_ok());
    }
    // A second gives one back.
    assert!((60..=63).contains(&created), "{created}");
    let code = create(&nodes[0], honest).await.unwrap();
    assert_eq!(join(&nodes[1], honest, &code).await, Ok(()));
    let budgets = redis.cli(&["keys", "peersox:b:*"]);
    assert!(!budgets.is_empty());
    for key in budgets.lines() {
        let left: i64 = redis.cli(&["pttl", key]).parse().unwrap();
        // A key that has expired meanwhile answers -2.
        assert_ne!(left, -1, "{key} never expires");
    }
}

/// Guesses at one node make the codes of the others longer.
#[tokio::test]
async fn guesses_at_one_node_are_known_to_the_others() {
    let redis = servers::Redis::start();
    let (one, other) = (node(&redis).await, node(&redis).await);
    let asked = create(&other, IpAddr::from([198, 51, 100, 1]))
        .await
        .unwrap();
    assert_eq!(asked.len(), 6);
    // 0.18 % of a million nameplates, each from a network of its own.
    for at in 0u32..1_900 {
        let [_, _, a, b] = at.to_be_bytes();
        let refused = join(&one, IpAddr::from([10, a, b, 1]), "123456").await;
        assert_ne!(refused, Ok(()));
    }
    let longer = create(&one, IpAddr::from([198, 51, 100, 1])).await.unwrap();
    assert!(longer.len() > 6, "{longer}");
    other.0.sweep().await.unwrap();
    let longer = create(&other, IpAddr::from([198, 51, 100, 1]))
        .await
        .unwrap();
    assert!(longer.len() > 6, "{longer}");
}
