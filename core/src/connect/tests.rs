use super::*;

#[test]
fn a_relay_carries_at_once_and_a_direct_path_after_its_first_answer() {
    let mut paths = Paths::new(Config::default());
    let relay = paths.up(Kind::Relay, at(0));
    assert_eq!(
        drain(&mut paths, at(0)),
        [Action::Begin(relay), Action::Dial]
    );
    let direct = paths.up(Kind::Direct, at(100));
    let probe = encode(PROBE, 1);
    assert_eq!(drain(&mut paths, at(100)), [Action::Send(direct, probe)]);
    assert_eq!(paths.selected(), Some(relay));
    assert!(paths.handle(direct, &encode(ANSWER, 1), at(140)));
    assert_eq!(drain(&mut paths, at(140)), [Action::Switch(direct)]);
    assert_eq!(paths.rtt(direct), Some(Duration::from_millis(40)));
}

#[test]
fn a_silent_direct_path_is_left_and_dialled_again_with_growing_pauses() {
    let mut paths = Paths::new(Config::default());
    let relay = paths.up(Kind::Relay, at(0));
    drain(&mut paths, at(0));
    let mut now = 0;
    for pause in [2_000, 4_000, 8_000] {
        let direct = paths.up(Kind::Direct, at(now));
        let Some(Action::Send(_, probe)) = paths.poll(at(now)) else {
            panic!()
        };
        let answer = [&[ANSWER], &probe[1..]].concat();
        paths.handle(direct, &answer, at(now + 5));
        assert_eq!(paths.poll(at(now + 5)), Some(Action::Switch(direct)));
        let mut seen = Vec::new();
        while !seen.contains(&Action::HangUp(direct)) {
            let timeout = paths.timeout();
            now = u64::try_from(timeout.since_origin().as_millis()).unwrap();
            seen.extend(drain(&mut paths, timeout));
        }
        assert!(seen.contains(&Action::Switch(relay)));
        assert_eq!(paths.timeout(), at(now + pause));
        now += pause;
        assert_eq!(drain(&mut paths, at(now)), [Action::Dial]);
        paths.down(direct, at(now));
        assert_eq!(drain(&mut paths, at(now)), [], "late news change nothing");
    }
}

#[test]
fn an_answer_that_was_queued_behind_traffic_still_counts() {
    let mut paths = Paths::new(Config::default());
    let direct = paths.up(Kind::Direct, at(0));
    drain(&mut paths, at(0));
    paths.handle(direct, &encode(ANSWER, 1), at(1));
    // Every answer takes 2.5 s, longer than the pause between probes.
    for turn in 1..20_u64 {
        let sent = drain(&mut paths, at(turn * 1_000));
        assert!(!sent.contains(&Action::HangUp(direct)), "turn {turn}");
        if turn >= 3 {
            let answered = turn * 1_000 + 500;
            assert!(paths.handle(direct, &encode(ANSWER, turn - 1), at(answered)));
            assert_eq!(paths.rtt(direct), Some(Duration::from_millis(2_500)));
        }
    }
}

#[test]
fn a_path_over_which_records_come_is_given_four_times_the_patience_and_no_more() {
    let mut paths = Paths::new(Config::default());
    let direct = paths.up(Kind::Direct, at(0));
    drain(&mut paths, at(0));
    let mut turns = 0;
    while paths.newest(Kind::Direct).is_some() {
        turns += 1;
        assert!(!paths.handle(direct, b"a record", at(turns * 1_000)));
        drain(&mut paths, at(turns * 1_000));
    }
    assert_eq!(turns, 12);
}

#[test]
fn a_new_leg_takes_over_from_an_old_one_and_the_last_one_out_stops() {
    let mut paths = Paths::new(Config::default());
    let old = paths.up(Kind::Relay, at(0));
    let new = paths.up(Kind::Relay, at(1));
    let actions = drain(&mut paths, at(1));
    assert_eq!(
        actions,
        [Action::Begin(old), Action::Switch(new), Action::Dial]
    );
    paths.down(old, at(2));
    assert_eq!(drain(&mut paths, at(2)), []);
    paths.down(new, at(3));
    assert_eq!(drain(&mut paths, at(3)), [Action::Stop]);
}

#[test]
fn a_leg_replaced_beside_a_direct_path_asks_for_what_it_lost() {
    let mut paths = Paths::new(Config::default());
    let direct = paths.up(Kind::Direct, at(0));
    drain(&mut paths, at(0));
    paths.handle(direct, &encode(ANSWER, 1), at(1));
    assert_eq!(drain(&mut paths, at(1)), [Action::Begin(direct)]);
    paths.up(Kind::Relay, at(2));
    assert!(drain(&mut paths, at(2)).contains(&Action::Resync));
}

#[test]
fn only_probes_are_taken_and_only_awaited_answers_count() {
    let mut paths = Paths::new(Config::default());
    let direct = paths.up(Kind::Direct, at(0));
    drain(&mut paths, at(0));
    for foreign in [
        &b""[..],
        b"\x30",
        b"\x10\0\0\0\0\0\0\0\0",
        b"\x30\0\0\0\0\0\0\0\0\0",
    ] {
        assert!(!paths.handle(direct, foreign, at(1)));
    }
    assert!(paths.handle(direct, &encode(ANSWER, 99), at(1)));
    assert_eq!(paths.selected(), None);
    assert!(paths.handle(direct, &encode(PROBE, 7), at(1)));
    assert_eq!(
        drain(&mut paths, at(1)),
        [Action::Send(direct, encode(ANSWER, 7))]
    );
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

fn drain(paths: &mut Paths, now: Moment) -> Vec<Action> {
    std::iter::from_fn(|| paths.poll(now)).collect()
}
