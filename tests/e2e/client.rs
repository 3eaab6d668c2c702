//! The native client as a library, against the real server.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use peersox_client::{
    Choice, CloseReason, Code, DirectMode, Error, Event, Message, Nameplate, Options, PairingEvent,
    Peer, Priority, Proof, Server as Control, Transport, Trust,
};
use tokio::io::AsyncReadExt as _;

use crate::gate::{Gate, Udp};
use crate::harness::{Peer as Command, Server, noise, soon};

/// A code with these words.
pub fn code(nameplate: &Nameplate, words: &str) -> Code {
    Code {
        nameplate: nameplate.clone(),
        words: words.parse().unwrap(),
    }
}

pub async fn pair(server: &Server, transport: Transport) -> (Control, Peer, Peer, Bytes) {
    pair_at(&server.url(), Choice::Only(transport)).await
}

async fn pair_at(url: &str, transport: Choice) -> (Control, Peer, Peer, Bytes) {
    soon(try_pair(url, transport)).await.unwrap()
}

/// Two peers that are connected, with the control that they met by and the credential of the first.
pub async fn try_pair(url: &str, transport: Choice) -> Result<(Control, Peer, Peer, Bytes), Error> {
    let options = Options {
        transport,
        direct: DirectMode::Off,
        ..Options::default()
    };
    try_pair_with(url, options).await
}

/// The same with these options on both sides.
pub async fn try_pair_with(
    url: &str,
    options: Options,
) -> Result<(Control, Peer, Peer, Bytes), Error> {
    let control = Control::connect(url, Trust::default()).await?;
    let created = control.create_pairing().await?;
    let joined = control.join_pairing(&created.nameplate).await?;
    let credential = created.pairing.credential.clone();
    let attach = async |pairing| {
        let proof = Proof::Code(code(&created.nameplate, "tulip-ember"));
        Peer::attach(control.clone(), pairing, proof, options.clone()).await
    };
    let (a, b) = (attach(created.pairing).await?, attach(joined).await?);
    a.connected().await?;
    b.connected().await?;
    Ok((control, a, b, credential))
}

#[tokio::test]
async fn messages_and_datagrams_cross_as_they_are() {
    let server = Server::start(&[]).await;
    for transport in [Transport::Quic, Transport::WebSocket] {
        let (_, mut a, mut b, _) = pair(&server, transport).await;
        // Whoever asks late still hears of the beginning.
        let first = soon(a.events().recv()).await.unwrap();
        assert_eq!(
            first,
            Event::Attached {
                transport,
                resumed: false
            }
        );
        let mut here = a.open("chat", Priority::Interactive).await.unwrap();
        let mut there = soon(b.accept()).await.unwrap();
        assert_eq!(there.name(), "chat");
        // Longer than a frame and than a window.
        let long = Bytes::from(noise(3_000_000, 1));
        let messages = [
            Message::Text("grüß dich".into()),
            Message::Binary(Bytes::new()),
            Message::Text(String::new()),
            Message::Binary(long),
            Message::Text("PING".into()),
        ];
        let send = async {
            for message in &messages {
                here.send(message.clone()).await.unwrap();
            }
        };
        let receive = async {
            for message in &messages {
                assert_eq!(there.recv().await.unwrap().as_ref(), Some(message));
            }
        };
        soon(async { tokio::join!(send, receive) }).await;

        there
            .send_datagram(Bytes::from_static(b"now or never"))
            .await
            .unwrap();
        assert_eq!(soon(here.recv_datagram()).await.unwrap(), "now or never");
        let long = here.send_datagram(Bytes::from(vec![0; 2_000])).await;
        assert!(
            matches!(long, Err(Error::DatagramTooLarge { len: 2_000, .. })),
            "{long:?}"
        );
        assert!(soon(a.ping()).await.unwrap().as_nanos() > 0);

        there.finish().await.unwrap();
        assert_eq!(soon(here.recv()).await.unwrap(), None);
        let (closed, ended) = soon(async { tokio::join!(a.close(), b.ended()) }).await;
        closed.unwrap();
        ended.unwrap();
        b.ended().await.expect("a good end stays one");
    }
}

#[tokio::test]
async fn a_pairing_is_watched_restored_and_revoked() {
    let server = Server::start(&[]).await;
    let control = Control::connect(&server.url(), Trust::default())
        .await
        .unwrap();
    let created = control.create_pairing().await.unwrap();
    let mut events = Box::pin(control.watch(&created.pairing).await.unwrap());
    let mut next = async || soon(events.next()).await.unwrap().unwrap();
    assert_eq!(next().await, PairingEvent::Waiting);

    let joined = control.join_pairing(&created.nameplate).await.unwrap();
    assert_eq!(next().await, PairingEvent::Joined);
    let proof = Proof::Code(code(&created.nameplate, "tulip-ember"));
    let peer = Peer::attach(control.clone(), joined.clone(), proof, Options::default())
        .await
        .unwrap();
    assert_eq!(next().await, PairingEvent::PeerOnline);

    // What a device stored is enough to come back.
    let (restored, state) = control
        .restore(created.pairing.credential.clone())
        .await
        .unwrap();
    assert_eq!(
        (restored.id, restored.role),
        (created.pairing.id, created.pairing.role)
    );
    assert!(state.joined && state.peer_online, "{state:?}");

    control.delete_pairing(&restored).await.unwrap();
    let end = soon(peer.ended()).await;
    assert!(
        matches!(end, Err(Error::Closed(CloseReason::Revoked))),
        "{end:?}"
    );
    // The leg's end may be heard of before.
    let mut last = next().await;
    if last == PairingEvent::PeerOffline {
        last = next().await;
    }
    assert_eq!(last, PairingEvent::Revoked);
    let gone = control.restore(joined.credential).await;
    assert!(matches!(gone, Err(Error::CredentialInvalid)), "{gone:?}");
}

#[tokio::test]
async fn a_newer_leg_of_a_role_replaces_the_older() {
    let server = Server::start(&[]).await;
    // The second one is about to try QUIC again, which must not win its place back.
    for choice in [Choice::Only(Transport::Quic), Choice::Auto] {
        let gate = Gate::to(server.port).await;
        let url = match choice {
            Choice::Auto => gate.url(),
            Choice::Only(_) => server.url(),
        };
        let (control, a, mut b, credential) = pair_at(&url, choice).await;
        let (pairing, _) = control.restore(credential).await.unwrap();
        let proof = Proof::Secret(a.secured().unwrap().secret);
        let newer = Peer::attach(control, pairing, proof, Options::default())
            .await
            .unwrap();
        let end = soon(a.ended()).await;
        assert!(
            matches!(end, Err(Error::Closed(CloseReason::Replaced))),
            "{end:?}"
        );
        soon(newer.connected()).await.unwrap();
        let mut here = newer.open("again", Priority::Normal).await.unwrap();
        let there = soon(b.accept()).await.unwrap();
        let text = Message::Text("still here".into());
        there.send(text.clone()).await.unwrap();
        assert_eq!(soon(here.recv()).await.unwrap(), Some(text));
    }
}

#[tokio::test]
async fn a_wrong_word_is_told_to_both_in_plain_words_and_spends_the_code() {
    let server = Server::start(&[]).await;
    let control = Control::connect(&server.url(), Trust::default())
        .await
        .unwrap();
    let created = control.create_pairing().await.unwrap();
    let joined = control.join_pairing(&created.nameplate).await.unwrap();
    let attach = async |pairing, words| {
        let proof = Proof::Code(code(&created.nameplate, words));
        Peer::attach(control.clone(), pairing, proof, Options::default())
            .await
            .unwrap()
    };
    let a = attach(created.pairing.clone(), "tulip-ember").await;
    let b = attach(joined, "tulip-velvet").await;
    let ends = soon(async { tokio::join!(a.connected(), b.connected()) }).await;
    for end in [ends.0, ends.1] {
        let error = end.unwrap_err();
        assert!(matches!(error, Error::Burnt(_)), "{error:?}");
        assert!(error.to_string().contains("mistyped"), "{error}");
    }
    assert!(a.secured().is_none() && b.secured().is_none());
}

#[tokio::test]
async fn a_full_window_is_said_by_those_who_do_not_wait() {
    let server = Server::start(&[]).await;
    let (_, a, mut b, _) = pair(&server, Transport::Quic).await;
    let here = a.open("bulk", Priority::Bulk).await.unwrap();
    let mut there = soon(b.accept()).await.unwrap();
    let piece = Message::Binary(Bytes::from(noise(100_000, 1)));
    let mut accepted = 0;
    let full = loop {
        match here.try_send(piece.clone()).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100, "nobody reads, and still there is room");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    for _ in 0..accepted {
        assert_eq!(soon(there.recv()).await.unwrap().as_ref(), Some(&piece));
    }
    // Waiting works beside it.
    soon(here.send(piece.clone())).await.unwrap();
    assert_eq!(soon(there.recv()).await.unwrap(), Some(piece));
}

#[tokio::test]
async fn a_websocket_gives_way_to_quic_as_soon_as_it_passes_and_nothing_is_lost() {
    let server = Server::start(&[]).await;
    let gate = Gate::with_udp(server.port).await;
    gate.udp(Udp::Swallowed);
    let (url, options) = (
        gate.url(),
        Options {
            upgrade_after: Duration::from_millis(200),
            direct: DirectMode::Off,
            ..Options::default()
        },
    );
    let control = Control::connect(&url, Trust::default()).await.unwrap();
    let created = control.create_pairing().await.unwrap();
    let joined = control.join_pairing(&created.nameplate).await.unwrap();
    let attach = async |pairing| {
        let proof = Proof::Code(code(&created.nameplate, "tulip-ember"));
        Peer::attach(control.clone(), pairing, proof, options.clone())
            .await
            .unwrap()
    };
    let (mut a, mut b) = (attach(created.pairing.clone()).await, attach(joined).await);
    soon(a.connected()).await.unwrap();
    soon(b.connected()).await.unwrap();
    let mut events = a.events();
    let here = a.open("count", Priority::Normal).await.unwrap();
    let mut there = soon(b.accept()).await.unwrap();

    let mut status = a.status();
    let send = async {
        let mut sent = 0u32;
        // Until the leg has changed under way, and some more.
        let mut after = 0;
        while after < 200 {
            let text = Message::Text(sent.to_string());
            here.send(text).await.unwrap();
            sent += 1;
            if sent == 100 {
                gate.udp(Udp::Passes);
            }
            after += u32::from(status.borrow_and_update().leg == Some(Transport::Quic));
        }
        here.finish().await.unwrap();
        sent
    };
    let receive = async {
        let mut received = 0u32;
        while let Some(message) = there.recv().await.unwrap() {
            assert_eq!(message, Message::Text(received.to_string()));
            received += 1;
        }
        received
    };
    let (sent, received) = soon(async { tokio::join!(send, receive) }).await;
    assert_eq!(sent, received);
    let mut legs = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Attached { transport, .. } => legs.push(transport),
            Event::LegLost { why, .. } => panic!("make before break: {why}"),
            _ => {}
        }
    }
    assert_eq!(legs, [Transport::WebSocket, Transport::Quic]);
}

#[tokio::test]
async fn a_pipe_whose_other_side_has_closed_does_not_wait_for_its_input() {
    let server = Server::start(&[]).await;
    let mut piped = Command::start(&server.url(), &["connect"]);
    let code: Code = piped.code().await.parse().unwrap();
    let control = Control::connect(&server.url(), Trust::default())
        .await
        .unwrap();
    let joined = control.join_pairing(&code.nameplate).await.unwrap();
    let (proof, options) = (Proof::Code(code), Options::default());
    let mut peer = Peer::attach(control, joined, proof, options).await.unwrap();
    let pipe = soon(peer.accept()).await.unwrap();
    pipe.send(Message::Text("last words".into())).await.unwrap();
    soon(peer.close()).await.unwrap();

    // Its standard input stays open.
    let mut output = String::new();
    let mut stdout = piped.stdout.take().unwrap();
    soon(stdout.read_to_string(&mut output)).await.unwrap();
    assert_eq!(output, "last words");
    let status = soon(piped.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
