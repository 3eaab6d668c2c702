//! How a conversation ends.

use super::*;

#[test]
fn a_close_flushes_and_both_sides_know() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("x");
    pair.a.try_send(a, Chunk::text("read me first")).unwrap();
    pair.a.close();
    pair.wait(50);
    assert!(!pair.a.is_closed(), "the message was not read yet");
    assert!(pair.b.read(b).is_some());
    pair.wait(50);
    assert!(drain(&mut pair.a).contains(&Event::Closed { flushed: true }));
    assert!(drain(&mut pair.b).contains(&Event::Closed { flushed: true }));
    assert_eq!(pair.a.open("y", Priority::Normal), Err(OpenError::Closed));
}

#[test]
fn a_goodbye_comes_after_the_acknowledgement_of_what_was_read() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("pipe");
    pair.a.try_send(a, Chunk::text("last words")).unwrap();
    pair.a.finish(a).unwrap();
    pair.b.finish(b).unwrap();
    pair.run();
    pair.wait(20);
    drain(&mut pair.a);
    drain(&mut pair.b);
    // It reads and leaves at once, before an acknowledgement is due by its delay.
    assert_eq!(pair.b.read(b), Some(Chunk::text("last words")));
    pair.b.close();
    pair.run();
    let heard = drain(&mut pair.a);
    assert_eq!(heard, [Event::Flushed(a), Event::Closed { flushed: true }]);
}

#[test]
fn a_finished_channel_that_is_let_go_of_says_its_last_word() {
    for closes in [false, true] {
        let mut pair = Pair::connected(Config::default());
        let (a, b) = pair.channel("chat");
        pair.a.try_send(a, Chunk::text("one last word")).unwrap();
        if closes {
            pair.a.close();
        } else {
            pair.a.finish(a).unwrap();
        }
        pair.a.abandon(a);
        let unheard = Chunk::text("nobody hears this");
        pair.b.try_send(b, unheard).unwrap();
        // The reader takes its time.
        pair.wait(50);
        assert_eq!(drain(&mut pair.b), [Event::Readable(b)]);
        assert_eq!(pair.b.read(b), Some(Chunk::text("one last word")));
        pair.wait(50);
        let (channel, code) = (b, ResetCode::CANCELLED);
        let mut told = vec![Event::Finished(b), Event::Reset { channel, code }];
        let closed = Event::Closed { flushed: true };
        told.extend(closes.then(|| closed.clone()));
        assert_eq!(drain(&mut pair.b), told);
        assert_eq!(drain(&mut pair.a).contains(&closed), closes);
    }
}

#[test]
fn a_channel_that_is_let_go_of_keeps_nobody_waiting() {
    let mut pair = Pair::connected(narrow());
    let (a, b) = pair.channel("finished");
    pair.a.try_send(a, Chunk::text("unread")).unwrap();
    pair.a.finish(a).unwrap();
    pair.a.abandon(a);
    // The other side reads nothing before it has said everything.
    let refused = loop {
        if let Err(refused) = pair.b.try_send(b, Chunk::binary(vec![7; 500])) {
            break refused;
        }
        pair.run();
    };
    assert_eq!(refused, SendError::Gone, "it waits for room");

    let (a, b) = pair.channel("unfinished");
    pair.a.abandon(a);
    pair.run();
    let (channel, code) = (b, ResetCode::CANCELLED);
    assert_eq!(drain(&mut pair.b), [Event::Reset { channel, code }]);
}

#[test]
fn what_a_restarted_peer_lost_was_not_taken() {
    let mut pair = Pair::connected(Config::default());
    let (a, _) = pair.channel("x");
    pair.a.try_send(a, Chunk::text("into the void")).unwrap();
    pair.a.close();
    pair.b = Mux::new(Config::default(), Role::Joiner, [9; 16]);
    pair.b.path_up(pair.now);
    pair.run();
    assert!(!pair.a.is_drained());
    assert!(drain(&mut pair.a).contains(&Event::Closed { flushed: false }));
}
