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
