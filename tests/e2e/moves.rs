//! Pairs that go from one relay to another: because theirs dies, stops, or cannot be reached.

use std::time::Duration;

use crate::harness::{noise, quiet_port};
use crate::nodes::{Pair, Service, ask, knows, legs, until_legs};

/// The relay of a pair dies: both find the other relay, and nothing is lost.
#[tokio::test]
async fn a_pair_whose_relay_dies_goes_on_at_another() {
    let service = Service::new();
    let controls = [service.control().await];
    let control = &controls[0];
    let mut relays = vec![
        service.relay("one", &controls).await,
        service.relay("two", &controls).await,
    ];
    for transport in ["ws", "quic"] {
        let mut pair = Pair::connect(control, control, transport).await;
        pair.carry(&noise(300_000, 1)).await;
        let at = usize::from(legs(&relays[0]).await != 2);
        let (port, name) = (relays[at].port, ["one", "two"][at]);
        let dead = relays.remove(at);
        dead.kill().await;
        pair.is_connected_again().await;
        pair.carry(&noise(300_000, 2)).await;
        assert_eq!(legs(&relays[0]).await, 2);
        // That the first is back moves nobody.
        let back = service.relay_at(port, name, &controls).await;
        knows(control, &back, true).await;
        pair.carry(&noise(300_000, 3)).await;
        assert_eq!((legs(&relays[0]).await, legs(&back).await), (2, 0));
        pair.end().await;
        relays.insert(at, back);
        until_legs(&relays[1 - at], 0).await;
    }
}

/// A relay that is asked to stop sends its pairs to another one before it ends.
#[tokio::test]
async fn a_relay_that_stops_sends_its_pairs_elsewhere() {
    let service = Service::new();
    let socket = service.path("admin");
    let brief = ["--admin-socket", &socket, "--unkept-ttl", "3"];
    let controls = [service.control_with(0, &brief).await];
    let control = &controls[0];
    let relays = [
        service.relay("one", &controls).await,
        service.relay("two", &controls).await,
    ];
    let mut pairs = Vec::new();
    for transport in ["ws", "quic"] {
        pairs.push(Pair::connect(control, control, transport).await);
    }
    let (first, second) = (legs(&relays[0]).await, legs(&relays[1]).await);
    assert_eq!(first + second, 4);
    let [one, two] = relays;
    let (stops, stays) = if first > 0 { (one, two) } else { (two, one) };
    let moved = if first > 0 { first } else { second };
    assert!(stops.stop().await.success());
    until_legs(&stays, 4).await;
    for (seed, pair) in (7..).zip(&mut pairs) {
        pair.carry(&noise(300_000, seed)).await;
    }
    assert!(moved >= 2);
    // They left the first relay after they had come to the second: control knows that they are there, and
    // their pairings live on beyond the three seconds that are theirs without it.
    for seed in 0..40 {
        for pair in &mut pairs {
            pair.carry(&noise(10_000, seed)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let listed = ask(&socket, &["pairings", "--json"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for line in listed.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let online = (&line["initiator_online"], &line["joiner_online"]);
        assert_eq!(online, (&true.into(), &true.into()));
    }
    // Each held the leg that it had until both were at the second relay.
    for pair in pairs {
        assert!(pair.was_unbroken().await);
    }
}

/// Where there is no other relay, the exit code says that peers were hung up.
#[tokio::test]
async fn a_relay_that_cuts_peers_off_says_so() {
    let service = Service::new();
    let controls = [service.control().await];
    let relay = service.relay("one", &controls).await;
    let mut pair = Pair::connect(&controls[0], &controls[0], "ws").await;
    pair.carry(b"still here").await;
    assert_eq!(relay.stop().await.code(), Some(8));
    let relay = service.relay("two", &controls).await;
    pair.is_connected_again().await;
    pair.end().await;
    assert!(relay.stop().await.success(), "nobody was there any more");
}

/// Control sees a relay, and peers do not: they say so, and meet at the other one.
#[tokio::test]
async fn a_relay_that_peers_cannot_reach_is_left() {
    let service = Service::new();
    let controls = [service.control().await];
    let control = &controls[0];
    let good = service.relay("good", &controls).await;
    // Nothing listens where it says that it is.
    let dead = format!("http://127.0.0.1:{}", quiet_port());
    let bad = service
        .relay_reached_at(&dead, quiet_port(), "bad", &controls)
        .await;
    let mut pairs = Vec::new();
    // A pairing begins at either relay by chance, so there are pairs until one had to be sent away.
    let is_sent_away =
        |pairs: &[Pair]| pairs.iter().any(|pair| pair.one.has_told("attempt_failed"));
    while !is_sent_away(&pairs) {
        assert!(pairs.len() < 60, "none was placed at the other relay");
        let connects = (0..6).map(|_| Pair::connect(control, control, "ws"));
        pairs.extend(futures_util::future::join_all(connects).await);
    }
    let attached = 2 * pairs.len() as u64;
    assert_eq!((legs(&good).await, legs(&bad).await), (attached, 0));
    for pair in pairs {
        pair.end().await;
    }
}
