//! One code, and many who redeem it at the same moment at several nodes of control.
//!
//! `PEERSOX_ROUNDS=1000 cargo test --workspace --test e2e joins` does it as often.

use futures_util::future::join_all;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::{CreatePairingRequest, JoinPairingRequest, OpenSessionRequest};
use tonic::transport::Channel;

use crate::harness::soon;
use crate::nodes::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_hundred_redeems_a_code_at_three_nodes() {
    let rounds = std::env::var("PEERSOX_ROUNDS").ok();
    let mut rounds: usize = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    while rounds > 0 {
        // Nodes that have refused so many guesses refuse more for a while.
        let some = rounds.min(200);
        redeem(some).await;
        rounds -= some;
    }
}

async fn redeem(rounds: usize) {
    let service = Service::new();
    let mut clients = Vec::new();
    let mut controls = Vec::new();
    for _ in 0..3 {
        let control = service.control().await;
        let channel = Channel::from_shared(control.url()).unwrap();
        clients.push(PairingServiceClient::new(channel.connect().await.unwrap()));
        controls.push(control);
    }
    let _relay = service.relay("one", &controls).await;
    for round in 0..rounds {
        let mut here = clients[round % 3].clone();
        let created = here.create_pairing(CreatePairingRequest::default()).await;
        let created = created.unwrap().into_inner();
        let joins = (0..200).map(|at| {
            let mut there = clients[at % 3].clone();
            let nameplate = created.nameplate.clone();
            async move {
                let request = JoinPairingRequest {
                    nameplate,
                    ..JoinPairingRequest::default()
                };
                there.join_pairing(request).await
            }
        });
        let answers = soon(join_all(joins)).await;
        let (winners, losers): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let winners: Vec<_> = winners.into_iter().map(Result::unwrap).collect();
        let said = losers.into_iter().map(|it| it.unwrap_err().to_string());
        let said: std::collections::BTreeSet<_> = said.collect();
        assert_eq!(winners.len(), 1, "round {round}: the others got {said:#?}");
        // What the winner holds opens a session at any node.
        for client in &mut clients {
            let request = OpenSessionRequest {
                credential: winners[0].get_ref().credential.clone(),
                ..OpenSessionRequest::default()
            };
            client.open_session(request).await.unwrap();
        }
    }
}
