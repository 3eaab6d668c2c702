//! Why it is over: a peer and each of its channels give the same reason, as a value.

use peersox_client::{
    Burnt, Channel, CloseReason, Error, Message, OpenError, Options, Peer, Priority, Proof,
    ResetCode, Server as Control, Side, Transport, Trust,
};

use crate::client::{code, pair};
use crate::harness::{Server, soon};

#[tokio::test]
async fn a_peer_that_closes_is_done_for_the_other_ones_channels_too() {
    let server = Server::start(&[]).await;
    let (_, a, mut b, _) = pair(&server, Transport::Quic).await;
    let (here, mut there) = channel(&a, &mut b).await;
    soon(a.close()).await.unwrap();
    assert_eq!(soon(b.ended()).await, Ok(()));
    assert_eq!(soon(b.ended()).await, Ok(()), "asked again");
    // All that was sent was read, and that direction was finished.
    assert_eq!(soon(there.recv()).await, Ok(None));
    all_else_says(&mut b, &there, &Error::PeerDone).await;
    // The side that closed knows that it did.
    let late = here.send(Message::Text("late".into())).await;
    assert_eq!(late, Err(Error::Gone));
}

#[tokio::test]
async fn channels_hear_of_a_revoked_pairing() {
    let server = Server::start(&[]).await;
    for transport in [Transport::Quic, Transport::WebSocket] {
        let (control, mut a, mut b, credential) = pair(&server, transport).await;
        let (mut here, mut there) = channel(&a, &mut b).await;
        let (pairing, _) = control.restore(credential).await.unwrap();
        let revoked = Err(Error::Closed(CloseReason::Revoked));
        // They wait already when it happens.
        let (heard, deleted) = soon(async {
            let waiting = async { tokio::join!(here.recv(), there.recv()) };
            tokio::join!(waiting, control.delete_pairing(&pairing))
        })
        .await;
        deleted.unwrap();
        assert_eq!(
            heard,
            (revoked.clone().map(|()| None), revoked.map(|()| None))
        );
        both_say(&mut a, &mut here, &Error::Closed(CloseReason::Revoked)).await;
        both_say(&mut b, &mut there, &Error::Closed(CloseReason::Revoked)).await;
    }
}

#[tokio::test]
async fn channels_hear_of_a_newer_leg_of_the_same_role() {
    let server = Server::start(&[]).await;
    let (control, mut a, mut b, credential) = pair(&server, Transport::WebSocket).await;
    let (mut here, _there) = channel(&a, &mut b).await;
    let (pairing, _) = control.restore(credential).await.unwrap();
    let proof = Proof::Secret(a.secured().unwrap().secret);
    let newer = Peer::attach(control, pairing, proof, Options::default()).await;
    both_say(&mut a, &mut here, &Error::Closed(CloseReason::Replaced)).await;
    drop(newer);
}

#[tokio::test]
async fn channels_hear_of_a_wrong_word() {
    let server = Server::start(&[]).await;
    let control = Control::connect(&server.url(), Trust::default()).await;
    let control = control.unwrap();
    let created = control.create_pairing().await.unwrap();
    let joined = control.join_pairing(&created.nameplate).await.unwrap();
    let attach = async |pairing, words| {
        let proof = Proof::Code(code(&created.nameplate, words));
        let attached = Peer::attach(control.clone(), pairing, proof, Options::default());
        attached.await.unwrap()
    };
    let mut a = attach(created.pairing.clone(), "tulip-ember").await;
    // Opened early: it waits for the other peer.
    let mut early = a.open("early", Priority::Normal).await.unwrap();
    let mut b = attach(joined, "tulip-velvet").await;
    let mut other = b.open("early", Priority::Normal).await.unwrap();
    both_say(&mut a, &mut early, &Error::Burnt(Burnt::Mismatch)).await;
    both_say(&mut b, &mut other, &Error::Burnt(Burnt::Mismatch)).await;
}

#[tokio::test]
async fn a_reset_arrives_with_its_code_and_ends_one_channel_only() {
    let server = Server::start(&[]).await;
    let (_, a, mut b, _) = pair(&server, Transport::Quic).await;
    let (here, mut there) = channel(&a, &mut b).await;
    let code = ResetCode(17);
    let (sender, mut receiver) = here.split();
    sender.reset(code).await.unwrap();
    let heard = soon(there.recv()).await;
    let by = Side::Other;
    assert_eq!(heard, Err(Error::Reset { by, code }));
    let by = Side::This;
    assert_eq!(soon(receiver.recv()).await, Err(Error::Reset { by, code }));
    assert_eq!(sender.finish().await, Err(Error::Reset { by, code }));

    let refused = a.open("", Priority::Normal).await.unwrap_err();
    assert_eq!(refused, Error::NotOpened(OpenError::Name(0)));
    let (here, mut there) = channel(&a, &mut b).await;
    let text = Message::Text("another one goes on".into());
    here.send(text.clone()).await.unwrap();
    assert_eq!(soon(there.recv()).await, Ok(Some(text)));
}

#[tokio::test]
async fn a_channel_that_is_finished_and_dropped_says_its_last_word() {
    let server = Server::start(&[]).await;
    let (_, a, mut b, _) = pair(&server, Transport::Quic).await;
    let (here, mut there) = channel(&a, &mut b).await;
    let text = Message::Text("one last word".into());
    here.send(text.clone()).await.unwrap();
    here.finish().await.unwrap();
    drop(here);
    // The first one is perhaps asked before the drop is noticed; what that says arrives before the second.
    for _ in 0..2 {
        soon(a.ping()).await.unwrap();
    }
    let read = async { (there.recv().await, there.recv().await) };
    let (closed, read) = soon(async { tokio::join!(a.close(), read) }).await;
    assert_eq!(read, (Ok(Some(text)), Ok(None)));
    assert_eq!(closed, Ok(()));
}

/// A channel between two peers.
async fn channel(a: &Peer, b: &mut Peer) -> (Channel, Channel) {
    let here = a.open("chat", Priority::Normal).await.unwrap();
    (here, soon(b.accept()).await.unwrap())
}

/// The peer and its channel give this reason, whoever is asked first and however often.
async fn both_say(peer: &mut Peer, channel: &mut Channel, reason: &Error) {
    let reading = soon(channel.recv()).await;
    assert_eq!(reading, Err(reason.clone()));
    for _ in 0..2 {
        assert_eq!(soon(peer.ended()).await, Err(reason.clone()));
    }
    all_else_says(peer, channel, reason).await;
}

/// What else may be asked of a peer that has ended.
async fn all_else_says(peer: &mut Peer, channel: &Channel, reason: &Error) {
    let text = Message::Text("late".into());
    let late = [
        soon(channel.send(text.clone())).await,
        soon(channel.try_send(text)).await,
        soon(channel.send_datagram("late".into())).await,
        soon(channel.finish()).await,
        soon(peer.ping()).await.map(|_| ()),
        soon(peer.open("late", Priority::Normal)).await.map(|_| ()),
    ];
    for (which, said) in late.into_iter().enumerate() {
        assert_eq!(said, Err(reason.clone()), "question {which}");
    }
    assert!(soon(peer.accept()).await.is_none());
}
