//! How two devices meet: one code, one peer; what both hear when it goes wrong; who is waited for, and for
//! how long.

use std::time::Duration;

use futures_util::future::join_all;
use peersox_client::{
    Burnt, Choice, Error, Invite, Options, Peer, Proof, Replaced, Server as Control, Step,
    Transport, Trust,
};

use crate::client::code;
use crate::harness::{Peer as Command, Server, noise, signal, soon};

async fn control(server: &Server) -> Control {
    Control::connect(&server.url(), Trust::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn one_code_makes_one_peer() {
    let server = Server::start(&[]).await;
    let control = control(&server).await;
    let created = control.create_pairing().await.unwrap();
    let words = || Proof::Code(code(&created.nameplate, "tulip-ember"));
    let start = |pairing| Peer::start(control.clone(), pairing, words(), Options::default());
    let first = start(created.pairing.clone()).unwrap();
    let refused = |again: Result<Peer, Error>| assert_eq!(again.err(), Some(Error::CodeSpent));
    refused(start(created.pairing.clone()));
    drop(first);
    refused(start(created.pairing.clone()));
    // Neither does a pairing that comes from storage take a code.
    let (restored, _) = control.restore(created.pairing.credential).await.unwrap();
    refused(start(restored));
}

#[tokio::test]
async fn both_hear_that_a_word_was_wrong_over_every_transport() {
    let server = Server::start(&[]).await;
    let control = control(&server).await;
    let transports = [Transport::Quic, Transport::WebSocket];
    for round in 0..8 {
        let pairs = transports.iter().flat_map(|a| transports.map(|b| [*a, b]));
        let each = pairs.map(async |pair| {
            let created = control.create_pairing().await.unwrap();
            let joined = control.join_pairing(&created.nameplate).await.unwrap();
            let start = |pairing, words, transport| {
                let proof = Proof::Code(code(&created.nameplate, words));
                let options = Options {
                    transport: Choice::Only(transport),
                    ..Options::default()
                };
                Peer::start(control.clone(), pairing, proof, options).unwrap()
            };
            let a = start(created.pairing.clone(), "tulip-ember", pair[0]);
            let b = start(joined, "tulip-velvet", pair[1]);
            let ends = soon(async { tokio::join!(a.connected(), b.connected()) }).await;
            assert!(a.is_code_used() && b.is_code_used());
            (pair, ends)
        });
        for (pair, ends) in join_all(each).await {
            let burnt = Err(Error::Burnt(Burnt::Mismatch));
            assert_eq!(ends, (burnt.clone(), burnt), "round {round}: {pair:?}");
        }
    }
}

#[tokio::test]
async fn a_code_is_shown_until_it_is_typed_and_replaced_when_it_is_gone() {
    let server = Server::start(&[]).await;
    let control = control(&server).await;
    let mut invite = Invite::new(control.clone(), 2, Options::default());
    let mut codes = Vec::new();
    for _ in 0..2 {
        let Step::Show(code) = soon(invite.next()).await.unwrap() else {
            panic!("no code is shown");
        };
        codes.push(code);
        if codes.len() == 1 {
            let (_, pairing) = invite.shown().unwrap();
            let pairing = pairing.clone();
            control.delete_pairing(&pairing).await.unwrap();
            let Step::Replaced(Replaced::Gone, _) = soon(invite.next()).await.unwrap() else {
                panic!("the code is not replaced");
            };
        }
    }
    let code = codes.pop().unwrap();
    assert_ne!(code, codes[0]);
    let joined = control.join_pairing(&code.nameplate).await.unwrap();
    let (proof, options) = (Proof::Code(code), Options::default());
    let joiner = Peer::start(control, joined, proof, options).unwrap();
    let Step::Met(peer, _) = soon(invite.next()).await.unwrap() else {
        panic!("the two do not meet");
    };
    soon(joiner.connected()).await.unwrap();
    soon(async { tokio::join!(peer.close(), joiner.ended()) })
        .await
        .0
        .unwrap();
}

#[tokio::test]
async fn an_interrupted_command_takes_its_code_back() {
    let server = Server::start(&[]).await;
    let mut ping = Command::start(&server.url(), &["ping"]);
    let code = ping.code().await;
    signal(&ping.child, "INT");
    assert_eq!(ping.end().await.0, 130);
    let late = Command::start(&server.url(), &["ping", &code]);
    let (status, said) = late.end().await;
    assert_eq!(status, 3, "{said}");
}

#[tokio::test]
async fn who_types_a_code_hears_that_the_other_device_is_not_there() {
    let server = Server::start(&[]).await;
    let control = control(&server).await;
    let created = control.create_pairing().await.unwrap();
    let code = format!("{}-tulip-ember", created.nameplate);
    let mut ping = Command::start(&server.url(), &["ping", &code, "--wait", "3"]);
    ping.event("waiting").await;
    assert_eq!(ping.end().await.0, 5);
}

/// The grace of the relay and the moment after it: 45 s.
#[tokio::test]
async fn a_device_that_was_killed_is_not_waited_for_and_one_that_was_stopped_is() {
    let server = Server::start(&[]).await;
    let killed = async {
        let mut here = Command::start(&server.url(), &["connect"]);
        let code = here.code().await;
        let mut there = Command::start(&server.url(), &["connect", &code, "--transport", "ws"]);
        here.event("connected").await;
        there.event("connected").await;
        signal(&there.child, "KILL");
        let (status, said) = here.end().await;
        assert_eq!(status, 5, "{said}");
        assert!(said.contains("did not come back in time"), "{said}");
    };
    let stopped = async {
        let mut here = Command::start(&server.url(), &["connect"]);
        let code = here.code().await;
        let mut there = Command::start(&server.url(), &["connect", &code]);
        here.event("connected").await;
        there.event("connected").await;
        signal(&there.child, "STOP");
        tokio::time::sleep(Duration::from_secs(45)).await;
        signal(&there.child, "CONT");
        let sent = noise(100_000, 7);
        let mut stdin = here.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, &sent)
            .await
            .unwrap();
        drop(stdin);
        assert!(there.output().await == sent, "something is lost");
        assert_eq!(here.end().await.0, 0);
        assert_eq!(there.end().await.0, 0);
    };
    tokio::join!(killed, stopped);
}
