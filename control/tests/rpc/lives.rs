//! How long codes and pairings live, and how long codes are.

use std::time::Duration;

use peersox_control::{Config, Memory};
use peersox_core::id::PairingId;
use peersox_core::role::Role as CoreRole;
use peersox_proto::v1::*;

use crate::harness::*;

/// Pairs that were made and never used do not keep others out, not even for the minutes that they
/// live.
#[tokio::test]
async fn who_fills_the_store_with_pairings_keeps_nobody_out() {
    let server = Server::with_store(Config::default(), Memory::new(40)).await;
    let mut client = server.client().await;
    let mut hoard = async || {
        for at in 0..80 {
            let address = format!("198.51.{at}.1");
            let create = CreatePairingRequest::default();
            let created = client.create_pairing(from(&address, create)).await;
            let nameplate = created.unwrap().into_inner().nameplate;
            let join = JoinPairingRequest {
                nameplate,
                ..Default::default()
            };
            client.join_pairing(from(&address, join)).await.unwrap();
        }
    };
    hoard().await;
    let mut honest = server.client().await;
    let created = create(&mut honest).await;
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let attached = server
        .control
        .report_presence(id, CoreRole::Initiator, true);
    attached.await.unwrap();
    hoard().await;
    join(&mut honest, &created.nameplate).await.unwrap();
}

/// Twenty transfers leave nothing behind, and what somebody asked for stays.
#[tokio::test]
async fn pairings_that_nobody_keeps_are_gone_in_minutes() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut credentials = Vec::new();
    for at in 0..20 {
        let created = create_with(&mut client, 20, true).await;
        let request = JoinPairingRequest {
            nameplate: created.nameplate,
            ephemeral: true,
            ..Default::default()
        };
        client.join_pairing(request).await.unwrap();
        let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
        let credential = created.credential;
        if at == 7 {
            let request = GetPairingRequest {
                credential: credential.clone(),
                keep: true,
            };
            client.get_pairing(request).await.unwrap();
        }
        for online in [true, false] {
            for role in CoreRole::BOTH {
                let report = server.control.report_presence(id, role, online);
                report.await.unwrap();
            }
        }
        credentials.push(credential);
    }
    server.pass(Duration::from_secs(599));
    server.control.sweep().await;
    assert!(view(&mut client, &credentials[19]).await.is_ok());
    server.pass(Duration::from_secs(600));
    server.control.sweep().await;
    for (at, credential) in credentials.iter().enumerate() {
        let is_kept = view(&mut client, credential).await.is_ok();
        assert_eq!(is_kept, at == 7, "{at}");
    }
}

#[tokio::test]
async fn a_pairing_lives_while_somebody_is_attached() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create_with(&mut client, 20, true).await;
    let request = JoinPairingRequest {
        nameplate: created.nameplate,
        ephemeral: true,
        ..Default::default()
    };
    client.join_pairing(request).await.unwrap();
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let report = |online| server.control.report_presence(id, CoreRole::Joiner, online);
    report(true).await.unwrap();
    for _ in 0..1_000 {
        server.pass(Duration::from_secs(10));
        server.control.sweep().await;
    }
    report(false).await.unwrap();
    server.pass(Duration::from_secs(599));
    server.control.sweep().await;
    assert!(view(&mut client, &created.credential).await.is_ok());
    server.pass(Duration::from_secs(600));
    let status = view(&mut client, &created.credential).await.unwrap_err();
    assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
}

/// A code waits for an hour, and what it becomes lives less long than a code: the lease of the code says
/// nothing of when the pairing has to be prolonged.
#[tokio::test]
async fn a_pairing_lives_on_though_it_is_shorter_lived_than_its_code() {
    for attached in [true, false] {
        let mut config = Config::default();
        config.pairing.unkept_ttl = Duration::from_secs(20);
        let server = Server::with(config).await;
        let mut client = server.client().await;
        let created = create(&mut client).await;
        let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
        let report = |role| server.control.report_presence(id, role, true);
        let credential = created.credential.clone();
        let mut watch = None;
        if attached {
            report(CoreRole::Initiator).await.unwrap();
        } else {
            let request = WatchPairingRequest { credential };
            let mut events = client.watch_pairing(request).await.unwrap().into_inner();
            let waiting = events.message().await.unwrap().unwrap();
            assert_eq!(waiting.event(), PairingEvent::Waiting);
            watch = Some(events);
        }
        let pass = async |seconds: u64| {
            for _ in 0..seconds {
                server.pass(Duration::from_secs(1));
                server.control.sweep().await;
            }
        };
        pass(3_600).await;
        join(&mut client, &created.nameplate).await.unwrap();
        match &mut watch {
            Some(events) => {
                let joined = events.message().await.unwrap().unwrap();
                assert_eq!(joined.event(), PairingEvent::Joined);
            }
            None => report(CoreRole::Joiner).await.unwrap(),
        }
        pass(600).await;
        assert!(
            view(&mut client, &created.credential).await.is_ok(),
            "{attached}"
        );
    }
}

#[tokio::test]
async fn codes_with_few_secret_bits_are_longer() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (bits, digits) in [(20, 6), (10, 6), (0, 9), (0, 10), (20, 6)] {
        let created = create_with(&mut client, bits, true).await;
        assert_eq!(created.nameplate.len(), digits, "{bits} bits");
        let spaced = format!("{}-{}", &created.nameplate[..2], &created.nameplate[2..]);
        if bits == 10 {
            assert!(join(&mut client, &spaced).await.is_ok());
        }
    }
}

/// Guessers from everywhere spend what codes of one length may be tried. Then new codes are longer,
/// and old ones are given up; nobody who has not failed is refused meanwhile.
#[tokio::test]
async fn guesses_make_codes_longer_and_lock_nobody_out() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let before = create(&mut client).await;
    let mut watch = client
        .watch_pairing(WatchPairingRequest {
            credential: before.credential.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    let mut attacker = server.client().await;
    // Each network has failed before, and then guesses.
    let mut refused = 0;
    for at in 0..4_000 {
        let address = format!("10.{}.{}.1", at / 2 / 250, at / 2 % 250);
        let guess = JoinPairingRequest {
            nameplate: "000000".to_owned(),
            ..Default::default()
        };
        let status = attacker.join_pairing(from(&address, guess)).await;
        refused += u32::from(told(&status.unwrap_err()).1 == "RATE_LIMITED");
        server.pass(Duration::from_millis(20));
    }
    assert!(refused > 1_000, "{refused}");
    let after = create(&mut client).await;
    assert!(after.nameplate.len() > 6, "{}", after.nameplate.len());
    let elsewhere = |nameplate: &str| {
        let nameplate = nameplate.to_owned();
        from(
            "203.0.113.7",
            JoinPairingRequest {
                nameplate,
                ..Default::default()
            },
        )
    };
    assert!(
        client
            .join_pairing(elsewhere(&after.nameplate))
            .await
            .is_ok()
    );
    // The watch does not keep the old code for ever.
    assert_eq!(watch.message().await.unwrap().unwrap().event, 1);
    for _ in 0..20 {
        server.pass(Duration::from_secs(10));
        server.control.sweep().await;
    }
    assert_eq!(watch.message().await.unwrap().unwrap().event, 6);
}
