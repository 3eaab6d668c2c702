//! A whole peer whose relay sends anything.
//!
//! ```text
//! step & 3   0  a frame of the input arrives on the leg
//!            1  the same on a direct connection
//!            2  time passes
//!            3  the leg ends
//! ```
//!
//! Laws: without the pairing secret nobody becomes the other peer, so no message and no signal is taken for
//! genuine; the peer comes to rest after each frame, and tells nothing once it is over.

use std::time::Duration;

use bytes::Bytes;
use peersox_core::attach::{Ended, LegId, Session, Transports};
use peersox_core::endpoint::{Action, Config, Endpoint, Event, Identity, Input as News, Way};
use peersox_core::id::PairingId;
use peersox_core::peer::Proof;
use peersox_core::role::Role;
use peersox_core::secure::PairingSecret;
use peersox_core::testing::Dice;
use peersox_core::time::Moment;

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let mut shell = Shell::new(kind);
    shell.rest();
    while let Some(message) = input.message() {
        let step = input.byte();
        let frame = Bytes::copy_from_slice(message);
        let (now, rng) = (shell.now, &mut shell.rng);
        match step & 3 {
            0 => {
                let way = Way::Leg(shell.leg.unwrap_or(LegId::from_number(1)));
                shell.endpoint.handle_frame(way, frame, now, rng);
            }
            1 => shell.endpoint.handle_frame(Way::Direct(1), frame, now, rng),
            2 => shell.pass(Duration::from_millis(100 * u64::from(step))),
            _ => {
                if let Some(leg) = shell.leg.take() {
                    let number = u16::from_be_bytes([0x0f, step]);
                    let ended = [Ended::Closed(number), Ended::Broken][usize::from(step >> 7)];
                    shell.endpoint.handle(News::LegEnded(leg, ended), now, rng);
                }
            }
        }
        shell.rest();
    }
}

/// A peer, and a platform on which everything succeeds.
struct Shell {
    endpoint: Endpoint,
    rng: Dice,
    now: Moment,
    leg: Option<LegId>,
    over: bool,
}

impl Shell {
    fn new(kind: u8) -> Self {
        let mut rng = Dice::new(u64::from(kind));
        let now = Moment::default();
        let proof = match kind & 1 {
            0 => Proof::Secret(PairingSecret::from_bytes([2; 32])),
            _ => Proof::Code(b"481920-tulip-ember"),
        };
        let identity = Identity {
            role: Role::BOTH[usize::from(kind >> 7)],
            pairing: PairingId::from_bytes([1; 16]),
            proof,
            hello: Bytes::new(),
            agent: "fuzz".to_owned(),
            trace: None,
        };
        let endpoint = Endpoint::new(Config::default(), identity, now, &mut rng);
        Self {
            endpoint,
            rng,
            now,
            leg: None,
            over: false,
        }
    }

    /// Lets time pass, and its timers ring.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..100 {
            let due = self.endpoint.poll_timeout();
            if due > until {
                break;
            }
            self.now = self.now.max(due);
            self.endpoint.handle(News::Timeout, self.now, &mut self.rng);
            self.rest();
        }
        self.now = until;
    }

    /// Obeys until there is nothing to do.
    fn rest(&mut self) {
        let mut steps = 0;
        while let Some(action) = self.endpoint.poll_action(self.now, &mut self.rng) {
            steps += 1;
            assert!(steps <= 1_000, "it has no end");
            assert!(!self.over, "{action:?} after the end");
            self.obey(&action);
        }
        for way in self.leg.map(Way::Leg).into_iter().chain([Way::Direct(1)]) {
            while self.endpoint.poll_transmit(way, self.now).is_some() {
                steps += 1;
                assert!(steps <= 1_000, "it sends without end");
            }
        }
    }

    fn obey(&mut self, action: &Action) {
        let news = match *action {
            Action::OpenSession { call, .. } => News::SessionOpened {
                call,
                session: Session {
                    offered: Transports::ALL,
                    ticket: "a ticket".to_owned(),
                },
                outlives: None,
            },
            Action::Connect(leg, _) => {
                self.leg = Some(leg);
                News::LegConnected(leg)
            }
            Action::HangUp(leg, _) => {
                self.leg = self.leg.filter(|it| *it != leg);
                return;
            }
            Action::Tell(Event::Secured { .. } | Event::Channel(_)) => {
                panic!("somebody was taken for the other peer");
            }
            Action::Make(..)
            | Action::Offer(..)
            | Action::Accept(..)
            | Action::Answer(_)
            | Action::Add(..) => panic!("a signal was taken for genuine"),
            Action::End(_) => {
                self.over = true;
                return;
            }
            Action::Drop(_) | Action::Tell(_) => return,
        };
        self.endpoint.handle(news, self.now, &mut self.rng);
    }
}
