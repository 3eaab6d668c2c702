//! How a browser attaches: by WebSocket, and by WebTransport once it can.

use super::*;

fn browser() -> Leg {
    Leg::new(Config {
        transports: Transports::BROWSER,
        upgrade_after: Duration::from_secs(5),
        ..Config::default()
    })
}

/// Is admitted by WebTransport, which is all that is tried now; tells what happens then.
fn goes_on(leg: &mut Leg) -> (LegId, Vec<Action>) {
    leg.pause();
    let opened = leg.opened();
    assert_eq!(connected_by(&opened), [Transport::WebTransport]);
    let new = connecting(&opened);
    leg.connected(new);
    leg.said(new);
    let told = leg.welcome(new, 20_000);
    (new, told)
}

fn online() -> Kind {
    Kind::PeerOnline(v1::PeerOnline {})
}

/// What is connected, and by what.
fn connected_by(actions: &[Action]) -> Vec<Transport> {
    let transport = |action: &Action| match action {
        Action::Connect(_, transport) => Some(*transport),
        _ => None,
    };
    actions.iter().filter_map(transport).collect()
}

#[test]
fn a_leg_is_up_by_websocket_before_webtransport_is_tried_and_is_replaced_then() {
    let mut leg = browser();
    let opened = leg.opened();
    assert_eq!(connected_by(&opened), [Transport::WebSocket]);
    let old = connecting(&opened);
    leg.connected(old);
    leg.said(old);
    leg.welcome(old, 20_000);
    leg.hear(old, online());

    let (new, told) = goes_on(&mut leg);
    assert!(told.contains(&Action::HangUp(old, None)), "{told:?}");
    assert_eq!(leg.attach.leg(), Some(new));
}

#[test]
fn webtransport_is_tried_where_a_websocket_does_not_connect() {
    let mut leg = browser();
    assert_eq!(connected_by(&leg.opened()), [Transport::WebSocket]);
    let later = leg.after(HEAD_START);
    assert_eq!(connected_by(&later), [Transport::WebTransport]);
}

#[test]
fn a_leg_by_webtransport_that_breaks_is_followed_by_a_websocket() {
    let mut leg = Leg::new(Config {
        transports: Transport::WebTransport.into(),
        ..Config::default()
    });
    let id = leg.attach();
    leg.attach.config.transports = Transports::BROWSER;
    leg.ended(id, BROKEN);
    leg.pause();
    assert_eq!(connected_by(&leg.opened()), [Transport::WebSocket]);
}

#[test]
fn no_better_transport_is_tried_while_a_direct_path_carries() {
    let mut leg = browser();
    let id = leg.attach();
    leg.hear(id, online());
    leg.attach.set_direct(true);
    assert!(!asks(&leg.after(Duration::from_secs(12))));
    leg.attach.set_direct(false);
    assert!(asks(&leg.after(Duration::from_secs(5))));
}

#[test]
fn no_better_transport_is_tried_while_nobody_is_there() {
    let mut leg = browser();
    let id = leg.attach();
    assert!(!asks(&leg.after(Duration::from_secs(12))));
    leg.hear(id, online());
    assert!(asks(&leg.after(Duration::from_secs(5))));
}

#[test]
fn webtransport_that_falls_silent_twice_is_not_taken_up_again() {
    let mut leg = browser();
    for _ in 0..STUCK {
        let id = leg.attach();
        leg.hear(id, online());
        goes_on(&mut leg);
        // The relay answers nothing any more, and another leg is sought.
        assert!(asks(&leg.after(Duration::from_secs(31))));
        leg.taken.clear();
    }
    let id = leg.attach();
    leg.hear(id, online());
    assert!(!asks(&leg.after(Duration::from_secs(12))));
}
