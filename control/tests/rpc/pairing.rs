//! The unary calls.

use std::collections::HashSet;
use std::time::Duration;

use data_encoding::BASE64;
use peersox_control::{Config, Memory};
use peersox_core::id::PairingId;
use peersox_core::role::Role as CoreRole;
use peersox_core::ticket::Claims;
use peersox_proto::v1::*;
use ring::hmac;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::*;

const CODE_TTL: Duration = Duration::from_secs(130);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::test]
async fn two_peers_meet() {
    let server = Server::start().await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    let created = create(&mut one).await;
    assert_eq!(created.nameplate.len(), 6);
    assert_eq!(
        (created.pairing_id.len(), created.credential.len()),
        (16, 48)
    );
    let now = i64::try_from(START).unwrap();
    assert_eq!(created.code_expires_at_millis, now + 130_000);
    let state = view(&mut one, &created.credential).await.unwrap();
    assert!(!state.joined);

    let joined = join(&mut two, &created.nameplate).await.unwrap();
    assert_eq!(joined.pairing_id, created.pairing_id);
    assert_eq!(joined.restorable_until_millis, now + 600_000);
    for (credential, role) in [
        (&created.credential, Role::Initiator),
        (&joined.credential, Role::Joiner),
    ] {
        let state = view(&mut one, credential).await.unwrap();
        assert!(state.joined);
        assert_eq!(state.role(), role);
        assert_eq!(state.pairing_id, created.pairing_id);
    }

    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    for online in [true, false] {
        let report = server.control.report_presence(id, CoreRole::Joiner, online);
        report.await.unwrap();
    }
    server.pass(WEEK - Duration::from_secs(1));
    assert!(view(&mut two, &joined.credential).await.is_ok());
    server.pass(WEEK - Duration::from_secs(1));
    assert!(view(&mut one, &created.credential).await.is_ok());
    server.pass(WEEK);
    let status = view(&mut one, &created.credential).await.unwrap_err();
    assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn an_unknown_a_used_and_an_expired_code_are_one_and_the_same_answer() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let used = create(&mut client).await.nameplate;
    join(&mut client, &used).await.unwrap();
    let expired = create(&mut client).await.nameplate;
    server.pass(CODE_TTL);
    let waiting = create(&mut client).await;
    let unknown = (0..)
        .map(|number| format!("{number:06}"))
        .find(|code| ![&used, &expired, &waiting.nameplate].contains(&code))
        .unwrap();
    let revoked = waiting.nameplate;
    delete(&mut client, &waiting.credential).await.unwrap();

    let mut answers = Vec::new();
    for code in [unknown, used, expired, revoked] {
        let status = join(&mut client, &code).await.unwrap_err();
        assert_eq!(
            told(&status),
            (Code::NotFound, "CODE_NOT_FOUND".into(), None)
        );
        let mut headers = status.metadata().clone().into_headers();
        headers.remove("date");
        let bytes = (
            status.message().to_owned(),
            status.details().to_vec(),
            headers,
        );
        answers.push(bytes);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_malformed_code_says_what_is_wrong_and_costs_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for _ in 0..10 {
        for (typed, part) in [
            ("", "empty"),
            ("12", "2 digits"),
            ("12345a", "secret"),
            ("735102-river", "secret"),
            ("🦀", "contains"),
        ] {
            let status = join(&mut client, typed).await.unwrap_err();
            assert_eq!(
                told(&status),
                (Code::InvalidArgument, "CODE_MALFORMED".into(), None)
            );
            assert!(status.message().contains(part), "{}", status.message());
            assert!(!status.message().contains("735102"));
            assert!(!status.message().contains("river"));
            let details = status.get_error_details();
            let violation = &details.bad_request().unwrap().field_violations[0];
            assert_eq!(violation.field, "nameplate");
        }
    }
    let nameplate = create(&mut client).await.nameplate;
    let spaced = format!(" {} {}", &nameplate[..3], &nameplate[3..]);
    assert!(join(&mut client, &spaced).await.is_ok());
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_pairing_are_one_and_the_same_answer() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let right = create(&mut client).await.credential;
    let changed = |at: usize| {
        let mut bytes = right.to_vec();
        bytes[at] ^= 1;
        bytes::Bytes::from(bytes)
    };
    let mut answers = Vec::new();
    for credential in [
        changed(0),
        changed(47),
        right.slice(1..),
        bytes::Bytes::new(),
    ] {
        let status = view(&mut client, &credential).await.unwrap_err();
        assert_eq!(
            told(&status),
            (Code::Unauthenticated, "CREDENTIAL_INVALID".into(), None)
        );
        answers.push((status.message().to_owned(), status.details().to_vec()));
        assert!(delete(&mut client, &credential).await.is_err());
        let request = OpenSessionRequest {
            credential,
            ..Default::default()
        };
        assert!(client.open_session(request).await.is_err());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_redeem_at_once_one_wins() {
    let server = Server::start().await;
    let client = server.client().await;
    let nameplate = create(&mut client.clone()).await.nameplate;
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..200 {
        let (mut client, nameplate) = (client.clone(), nameplate.clone());
        tasks.spawn(async move {
            let message = JoinPairingRequest {
                nameplate,
                ..Default::default()
            };
            let request = from(&format!("10.0.0.{at}"), message);
            client.join_pairing(request).await.map(drop)
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_session_is_opened_with_a_ticket_and_addresses() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let joined = join(&mut client, &created.nameplate).await.unwrap();
    for (credential, role) in [
        (created.credential, CoreRole::Initiator),
        (joined.credential, CoreRole::Joiner),
    ] {
        let request = OpenSessionRequest {
            credential,
            ..Default::default()
        };
        let session = client.open_session(request).await.unwrap().into_inner();
        assert_eq!(session.role(), role.into());
        let claims = server
            .verifier
            .verify(&session.ticket, server.now())
            .unwrap();
        let pairing = PairingId::try_from(&created.pairing_id[..]).unwrap();
        let session_of = Claims {
            session: pairing,
            role,
            epoch: 0,
        };
        assert_eq!(claims, session_of);
        let start = i64::try_from(START / 1000 * 1000).unwrap();
        assert_eq!(session.refresh_at_millis, start + 240_000);
        assert_eq!(session.ticket_expires_at_millis, start + 300_000);

        let port = server.address.port();
        let [quic, websocket, webtransport, grpc] = &session.endpoints[..] else {
            panic!("{:?}", session.endpoints);
        };
        assert_eq!(quic.url, format!("quic://127.0.0.1:{port}"));
        assert_eq!(quic.transport(), Transport::Quic);
        assert_eq!(quic.certificate_hashes, [vec![1; 32], vec![2; 32]]);
        assert_eq!(websocket.url, format!("ws://127.0.0.1:{port}/v1/relay"));
        assert!(websocket.certificate_hashes.is_empty());
        let url = format!("https://127.0.0.1:{port}/v1/relay");
        assert_eq!(webtransport.url, url);
        assert_eq!(webtransport.transport(), Transport::Webtransport);
        assert_eq!(webtransport.certificate_hashes, quic.certificate_hashes);
        assert_eq!(grpc.url, format!("http://127.0.0.1:{port}"));
        assert_eq!(grpc.transport(), Transport::Grpc);
        assert!(grpc.certificate_hashes.is_empty());
    }
}

#[tokio::test]
async fn each_session_has_turn_credentials_of_its_own() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    join(&mut client, &created.nameplate).await.unwrap();
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let attached = server
        .control
        .report_presence(id, CoreRole::Initiator, true);
    attached.await.unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TURN_SECRET);
    let mut users = HashSet::new();
    let end = START / 1000 + TURN_LIFETIME.as_secs();
    for later in [0, 3600, 3600] {
        let credential = created.credential.clone();
        let request = OpenSessionRequest {
            credential,
            ..Default::default()
        };
        let session = client.open_session(request).await.unwrap().into_inner();
        let [stun, turn] = &session.ice_servers[..] else {
            panic!("{:?}", session.ice_servers);
        };
        assert_eq!(stun.urls, ["stun:stun.example"]);
        assert_eq!((stun.username.as_str(), stun.credential.as_str()), ("", ""));

        assert_eq!(turn.urls, ["turns:turn.example:5349"]);
        let code = BASE64.decode(turn.credential.as_bytes()).unwrap();
        hmac::verify(&secret, turn.username.as_bytes(), &code).unwrap();
        let (expiry, user) = turn.username.split_once(':').unwrap();
        assert_eq!(expiry, (end + later).to_string());
        assert_eq!(user.len(), 16, "{user}");
        assert!(users.insert(user.to_owned()), "{user} twice");
        if later == 0 {
            server.pass(Duration::from_secs(3600));
        }
    }
}

#[tokio::test]
async fn a_revoked_pairing_is_gone_and_the_relay_is_told() {
    let mut server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let joined = join(&mut client, &created.nameplate).await.unwrap();
    delete(&mut client, &joined.credential).await.unwrap();
    let revoked = server.revoked.recv().await.unwrap();
    assert_eq!(revoked.as_bytes()[..], created.pairing_id[..]);
    for credential in [&created.credential, &joined.credential] {
        let status = delete(&mut client, credential).await.unwrap_err();
        assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
    }
    drop(server.revoked);
    let created = create(&mut client).await;
    delete(&mut client, &created.credential).await.unwrap();
}

#[tokio::test]
async fn guessing_and_hoarding_are_slowed_down() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let waiting = create(&mut client).await.nameplate;
    let last = if waiting.ends_with('0') { '1' } else { '0' };
    let mut wrong = 0;
    let refused = loop {
        let status = join(&mut client, &format!("{wrong:05}{last}"))
            .await
            .unwrap_err();
        if status.code() != Code::NotFound {
            break status;
        }
        wrong += 1;
        assert!(wrong <= 20, "the budget is never spent");
    };
    let (code, reason, wait) = told(&refused);
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    assert_eq!(wait.unwrap().as_secs_f64().round(), 180.0);
    assert_eq!(wrong, 20);
    let right = JoinPairingRequest {
        nameplate: waiting,
        ..Default::default()
    };
    let status = client.join_pairing(right.clone()).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "a right guess does not count either"
    );
    let elsewhere = from("2001:db8::1", right);
    assert!(client.join_pairing(elsewhere).await.is_ok());

    for _ in 0..59 {
        create(&mut client).await;
    }
    let status = client.create_pairing(CreatePairingRequest::default()).await;
    let (_, reason, wait) = told(&status.unwrap_err());
    assert_eq!(reason, "RATE_LIMITED");
    server.pass(wait.unwrap() + Duration::from_millis(1));
    create(&mut client).await;
}

#[tokio::test]
async fn a_full_store_says_so() {
    let server = Server::with_store(Config::default(), Memory::new(1)).await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let attached = server
        .control
        .report_presence(id, CoreRole::Initiator, true);
    attached.await.unwrap();
    let status = client.create_pairing(CreatePairingRequest::default()).await;
    let (code, reason, wait) = told(&status.unwrap_err());
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "PAIRINGS_EXHAUSTED")
    );
    assert!(wait.is_some());
    server.pass(CODE_TTL);
    create(&mut client).await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_ended() {
    // Nobody takes revocations, so that the sixty-fifth has to wait.
    let config = Config {
        deadline: Duration::from_millis(300),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut client = server.client().await;
    let mut last = None;
    for at in 0..65 {
        let request = from(&format!("10.0.0.{at}"), CreatePairingRequest::default());
        let created = client.create_pairing(request).await.unwrap().into_inner();
        last = Some(created.credential.clone());
        let outcome = delete(&mut client, &created.credential).await;
        let code = outcome.map_or_else(|status| status.code(), |()| Code::Ok);
        let expected = if at < 64 {
            Code::Ok
        } else {
            Code::DeadlineExceeded
        };
        assert_eq!(code, expected, "{at}");
    }
    let still = view(&mut client, &last.unwrap()).await;
    assert!(
        still.is_ok(),
        "what the relay could not be told has not happened"
    );
}

#[tokio::test]
async fn the_deployment_describes_itself() {
    let server = Server::with(Config {
        reflection: true,
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    let config = client
        .get_config(GetConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((config.nameplate_digits, config.code_ttl_seconds), (6, 130));
    assert_eq!(config.restore_ttl_seconds, 604_800);
    assert_eq!(
        (config.code_max_seconds, config.unkept_ttl_seconds),
        (86_400, 600)
    );
    assert_eq!(config.transports, [2, 1, 3, 4]);

    let url = format!("http://{}", server.address);
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for serving in [true, false] {
        server.control.set_serving(serving).await;
        for service in ["", "peersox.v1.PairingService"] {
            let service = service.to_owned();
            let request = tonic_health::pb::HealthCheckRequest { service };
            let reply = health.check(request).await.unwrap().into_inner();
            assert_eq!(reply.status, if serving { 1 } else { 2 });
        }
    }

    use tonic_reflection::pb::v1 as reflection;
    let request = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            reflection::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
    let requests = futures_util::stream::once(async { request });
    let mut replies = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let reply = format!("{:?}", replies.message().await.unwrap());
    for service in ["peersox.v1.PairingService", "grpc.health.v1.Health"] {
        assert!(reply.contains(service), "{reply}");
    }
}
