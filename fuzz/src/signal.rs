//! Signals about a direct path, opened: what the other peer may say there.
//!
//! Laws: one signal makes a few steps at most, and a peer that wants no direct path makes none.

use std::time::Duration;

use peersox_core::direct::{
    Action, Carrier, Channel, Connection, Direct, Input as News, Mode, SessionDescription,
};
use peersox_core::role::Role;
use peersox_core::testing::Dice;
use peersox_core::time::Moment;

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let mode = [Mode::Auto, Mode::Manual, Mode::Off][usize::from(kind % 3)];
    let role = Role::BOTH[usize::from(kind >> 7)];
    let carrier = match kind & 0x40 {
        0 => Carrier::WebRtc,
        _ => Carrier::Quic,
    };
    let mut direct = Direct::new(mode, carrier, role);
    let mut rng = Dice::new(1);
    let mut now = Moment::default() + Duration::from_secs(1);
    direct.relay_up(now);
    while let Some(signal) = input.message() {
        now = now + Duration::from_millis(50 * u64::from(input.byte()));
        direct.handle_timeout(now, true, &mut rng);
        obey(&mut direct, carrier, now);
        direct.handle_signal(signal, now);
        let steps = obey(&mut direct, carrier, now);
        assert!(steps <= MOST, "{steps} steps for one signal");
        assert!(mode != Mode::Off || steps == 0);
    }
}

/// Does what a platform does that never fails. Answers how many steps that were.
fn obey(direct: &mut Direct, carrier: Carrier, now: Moment) -> usize {
    let mut steps = 0;
    while let Some(action) = direct.poll() {
        steps += 1;
        assert!(steps <= 1_000, "it has no end");
        let described = |kind: &str| {
            News::Described(SessionDescription {
                r#type: kind.into(),
                sdp: "v=0".into(),
            })
        };
        match action {
            Action::Offer { attempt, .. } => {
                direct.handle(attempt, described(carrier.offer()), now, true);
            }
            Action::Answer(attempt) => {
                direct.handle(attempt, described(carrier.answer()), now, true);
            }
            Action::Accept(attempt, _) => {
                direct.handle(attempt, News::Accepted, now, true);
                let up = News::Changed(Connection::Connected, Channel::Open);
                direct.handle(attempt, up, now, true);
            }
            Action::Renew => direct.renewed(),
            Action::Make(..)
            | Action::Add(..)
            | Action::Close(_)
            | Action::Signal(_)
            | Action::Up(_)
            | Action::Down(_)
            | Action::Failed(_) => {}
        }
    }
    steps
}

/// One description can begin an attempt, end one, and let what waited for it through.
const MOST: usize = 80;
