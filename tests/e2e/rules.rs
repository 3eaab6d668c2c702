//! The rules of a leg at the peer, as a server and a relay see them that behave oddly.

use std::time::{Duration, Instant};

use peersox_client::{
    Cause, CloseReason, Error, Event, Message, Options, Peer, Priority, Proof, Server, Trust,
};
use peersox_core::notice::Kind;
use peersox_core::secure::PairingSecret;
use peersox_proto::v1;

use crate::harness::soon;
use crate::stubs::{Control, Leg, Relay, Say, pairing};

#[tokio::test]
async fn a_server_that_asks_to_wait_is_not_called_earlier() {
    let wait = Duration::from_secs(2);
    let script = [Say::Ticket("one"), Say::Wait(wait), Say::Ticket("two")];
    let (control, mut relay, mut peer, leg) = attached(&script, v1::Welcome::default()).await;
    leg.close(CloseReason::IdleTimeout.number()).await;
    // A program that wakes up is in a hurry, and waits all the same.
    let mut events = peer.events();
    loop {
        match soon(events.recv()).await.unwrap() {
            Event::AttemptFailed { cause, .. } => break assert_eq!(cause, Cause::Control),
            _ => peer.wake().await.unwrap(),
        }
    }
    peer.wake().await.unwrap();
    let _leg = relay.admit("two", v1::Welcome::default()).await;
    let calls = control.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls[2] - calls[1] >= wait, "{:?}", calls[2] - calls[1]);
}

#[tokio::test]
async fn a_relay_that_asks_for_a_ping_each_millisecond_gets_at_most_two_a_second() {
    let welcome = v1::Welcome {
        limits: Some(v1::RelayLimits {
            keepalive_millis: 1,
            ..v1::RelayLimits::default()
        }),
        ..v1::Welcome::default()
    };
    let (_control, _relay, _peer, mut leg) = attached(&[Say::Ticket("one")], welcome).await;
    let mut pings = Vec::new();
    while pings.len() < 5 {
        let Some(Kind::Ping(v1::Ping { nonce })) = leg.hear().await else {
            panic!("the leg ended after {} pings", pings.len());
        };
        pings.push(Instant::now());
        leg.say(Kind::Pong(v1::Pong { nonce })).await;
    }
    // From the first to the last of five there are four pauses.
    let took = pings[4] - pings[0];
    assert!(took >= Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_leg_that_is_replaced_by_the_peers_own_newer_one_ends_nothing() {
    let script = [Say::Ticket("one"), Say::Ticket("two")];
    let (_control, mut relay, mut peer, mut old) = attached(&script, v1::Welcome::default()).await;
    let mut events = peer.events();
    let grace_millis = 60_000;
    old.say(Kind::Draining(v1::Draining {
        grace_millis,
        ..v1::Draining::default()
    }))
    .await;
    let mut new = relay.leg("two").await;
    // The peer hears of this before the Welcome of the leg that caused it.
    old.close(CloseReason::Replaced.number()).await;
    new.say(Kind::Welcome(v1::Welcome::default())).await;
    let mut legs = 0;
    while legs < 2 {
        match soon(events.recv()).await.unwrap() {
            Event::Attached { .. } => legs += 1,
            Event::LegLost { why, .. } => panic!("nothing was lost: {why}"),
            _ => {}
        }
    }
    assert!(matches!(new.hear().await, Some(Kind::Ping(_))));
    assert!(peer.open("still here", Priority::Normal).await.is_ok());
}

#[tokio::test]
async fn while_the_server_is_away_the_old_ticket_is_used() {
    let script = [Say::Ticket("one"), Say::Away];
    let (control, mut relay, _peer, leg) = attached(&script, v1::Welcome::default()).await;
    leg.close(CloseReason::IdleTimeout.number()).await;
    let _leg = relay.admit("one", v1::Welcome::default()).await;
    // The server was asked before: one that was restarted knows better.
    assert!(control.calls().len() > 2, "{:?}", control.calls());
}

#[tokio::test]
async fn the_other_peers_leave_amid_the_own_farewell_is_a_good_end() {
    let online = v1::Welcome {
        peer_online: true,
        ..v1::Welcome::default()
    };
    for closes in [true, false] {
        let script = [Say::Ticket("one")];
        let (_control, _relay, peer, leg) = attached(&script, online).await;
        let chat = peer.open("chat", Priority::Normal).await.unwrap();
        let left = CloseReason::PeerLeft;
        let end = match closes {
            true => {
                let leave = async {
                    // Answered after the farewell was heard: calls are served in their order.
                    let late = chat.send(Message::Text("late".into())).await;
                    assert!(late.is_err(), "it was sent before the farewell");
                    leg.close(left.number()).await;
                };
                soon(async { tokio::join!(peer.close(), leave).0 }).await
            }
            false => {
                leg.close(left.number()).await;
                soon(peer.ended()).await
            }
        };
        assert_eq!(
            end,
            if closes {
                Ok(())
            } else {
                Err(Error::Closed(left))
            }
        );
    }
}

/// A peer whose first leg was admitted.
async fn attached(script: &[Say], welcome: v1::Welcome) -> (Control, Relay, Peer, Leg) {
    let mut relay = Relay::start().await;
    let control = Control::start(&relay, script).await;
    let server = Server::connect(&control.url, Trust::default())
        .await
        .unwrap();
    let proof = Proof::Secret(PairingSecret::from_bytes([9; 32]));
    let attach = Peer::attach(server, pairing(), proof, Options::default());
    let admit = relay.admit("one", welcome);
    let (peer, leg) = soon(async { tokio::join!(attach, admit) }).await;
    (control, relay, peer.unwrap(), leg)
}
