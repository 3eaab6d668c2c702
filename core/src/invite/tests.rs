//! A server that lies in every way plays against [`Invite`] and a real [`Endpoint`] for each code.

mod guarded;

use bytes::Bytes;
use peersox_proto::v1;

use super::*;
use crate::attach::{self, LegId, Session, Transports};
use crate::endpoint::{self, Endpoint, Identity, Way};
use crate::frame::{Frame, Lane};
use crate::id::PairingId;
use crate::notice::{self, Kind};
use crate::peer::Proof;
use crate::role::Role;
use crate::secure::{Association, Burnt};
use crate::testing::Dice;

const SECOND: Duration = Duration::from_secs(1);

/// A program that shows codes, and the server that it talks to.
struct Run {
    seed: u64,
    guarded: bool,
    dice: Dice,
    now: Moment,
    invite: Invite,
    code: Option<Code>,
    watching: bool,
    asked: bool,
    over: bool,
    codes: u32,
    /// Codes to whose exchange the server said anything.
    guesses: u32,
    connected: bool,
}

/// A code that is shown: the peer of this side, and the server in the place of the other one.
struct Code {
    endpoint: Endpoint,
    guesser: Association,
    leg: Option<LegId>,
    guessed: bool,
    /// The driver of the peer has read a frame that it has not told of yet.
    told_used: bool,
    told_online: bool,
    /// How the endpoint ended; its driver may still hang up.
    ended: Option<endpoint::End>,
    withdrawn: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice::new(seed),
            now: Moment::default() + SECOND,
            invite: Invite::default(),
            guarded: false,
            code: None,
            watching: false,
            asked: false,
            over: false,
            codes: 0,
            guesses: 0,
            connected: false,
        }
    }

    /// Plays until no code is shown any more, or for so many moves.
    fn play(mut self, moves: u32) -> Self {
        for _ in 0..moves {
            self.obey();
            if self.over || self.connected {
                break;
            }
            self.lie();
            self.drive();
            assert!(
                !self.guarded || !self.invite.is_let_in(),
                "seed {}: nobody said yes",
                self.seed
            );
        }
        self
    }

    /// What the shell does, at once.
    fn obey(&mut self) {
        while let Some(action) = self.invite.poll() {
            match action {
                Action::Create => self.asked = true,
                Action::Watch => self.watching = true,
                Action::Unwatch => self.watching = false,
                Action::Withdraw => {
                    if let Some(code) = &mut self.code {
                        code.withdrawn = true;
                    }
                }
                Action::Replace(_) => {}
                // Nobody answers, and no call is answered.
                Action::Ask | Action::LetIn => {}
                Action::Refuse => unreachable!("nobody says no"),
                Action::End => self.over = true,
            }
        }
    }

    /// One move of the server.
    fn lie(&mut self) {
        match self.dice.below(12) {
            0 => self.now = self.now + Duration::from_millis(self.dice.below(90_000)),
            1 if self.asked => self.create(),
            2 | 3 if self.watching => {
                let event = PairingEvent::try_from(i32::try_from(self.dice.below(8)).unwrap());
                self.invite.handle(Input::Told(event.unwrap()), self.now);
                if self.guarded && self.dice.once_in(4) {
                    self.invite.handle(Input::Asked, self.now);
                }
            }
            4 if self.watching => {
                self.watching = false;
                let (is_gone, retry_after) = (self.dice.once_in(2), None);
                let ended = Input::WatchEnded {
                    is_gone,
                    retry_after,
                };
                self.invite.handle(ended, self.now);
            }
            5 => self.notice(),
            6 if self.dice.once_in(4) => self.hang_up(),
            7 if self.dice.once_in(4) => {
                let any = [Burnt::Mismatch, Burnt::Restarted, Burnt::Spent];
                let burnt = any[usize::try_from(self.dice.below(3)).unwrap()] as u8;
                self.say(Frame::new(Lane::Reliable, &[1, 6, burnt]));
            }
            _ => self.guess(),
        }
        self.invite.handle(Input::Timeout, self.now);
    }

    fn create(&mut self) {
        self.asked = false;
        self.codes += 1;
        let pairing = PairingId::from_bytes(self.dice.bytes());
        let words = format!("481920-{}", self.dice.below(1 << 20));
        let guess = format!("481920-{}", self.dice.below(1 << 20));
        let identity = Identity {
            role: Role::Initiator,
            pairing,
            proof: Proof::Code(words.as_bytes()),
            hello: Bytes::new(),
            agent: "test".into(),
            trace: None,
        };
        let config = endpoint::Config::default();
        let (hello, guess) = (Bytes::new(), guess.as_bytes());
        self.code = Some(Code {
            endpoint: Endpoint::new(config, identity, self.now, &mut self.dice),
            guesser: Association::with_code(Role::Joiner, pairing, guess, hello, &mut self.dice),
            leg: None,
            guessed: false,
            told_used: false,
            told_online: false,
            ended: None,
            withdrawn: false,
        });
        self.invite.handle(Input::Created, self.now);
    }

    fn say(&mut self, frame: Frame) {
        let Some(code) = &mut self.code else { return };
        let (Some(leg), false) = (code.leg, code.endpoint.is_over()) else {
            return;
        };
        let bytes = frame.into_bytes();
        let is_pake = bytes.starts_with(&[Lane::Reliable as u8, 1]);
        let before = code.endpoint.is_code_used();
        code.endpoint
            .handle_frame(Way::Leg(leg), bytes, self.now, &mut self.dice);
        if is_pake && !before && code.endpoint.is_code_used() {
            code.guessed = true;
            self.guesses += 1;
        }
    }

    fn notice(&mut self) {
        let kind = match self.dice.below(4) {
            0 => Kind::PeerAway(v1::PeerAway {
                grace_millis: 30_000,
            }),
            1 => Kind::Draining(v1::Draining {
                grace_millis: 5_000,
                spread_millis: 0,
            }),
            _ => Kind::PeerOnline(v1::PeerOnline {}),
        };
        self.say(notice::encode(kind));
    }

    fn hang_up(&mut self) {
        let number = u16::try_from(3_999 + self.dice.below(21)).unwrap();
        let Some(code) = &mut self.code else { return };
        if let Some(leg) = code.leg.take() {
            let input = endpoint::Input::LegEnded(leg, attach::Ended::Closed(number));
            code.endpoint.handle(input, self.now, &mut self.dice);
        }
    }

    /// The server, in the place of the joiner, takes what the initiator says and answers with its guess.
    fn guess(&mut self) {
        let Some(code) = &mut self.code else { return };
        let Some(leg) = code.leg else { return };
        let mut said = Vec::new();
        while let Some(frame) = code.endpoint.poll_transmit(Way::Leg(leg), self.now) {
            if frame.lane() == Lane::Reliable {
                let _ = code.guesser.handle(frame, &mut self.dice);
            }
        }
        while let Some(frame) = code.guesser.poll_transmit() {
            said.push(frame);
        }
        for frame in said {
            self.say(frame);
        }
    }

    /// The driver of the peer: it obeys at once, and tells the rest of the program later.
    fn drive(&mut self) {
        let Some(code) = &mut self.code else { return };
        if code.endpoint.poll_timeout() <= self.now {
            let (input, dice) = (endpoint::Input::Timeout, &mut self.dice);
            code.endpoint.handle(input, self.now, dice);
        }
        let mut online = false;
        while let Some(action) = code.endpoint.poll_action(self.now, &mut self.dice) {
            let input = match action {
                endpoint::Action::OpenSession { call, .. } => endpoint::Input::SessionOpened {
                    call,
                    session: Session {
                        offered: Transports::ALL,
                        ticket: "T".into(),
                    },
                    outlives: None,
                },
                endpoint::Action::Connect(leg, _) => endpoint::Input::LegConnected(leg),
                endpoint::Action::End(end) => {
                    code.ended = Some(end);
                    continue;
                }
                endpoint::Action::Tell(endpoint::Event::PeerOnline) => {
                    online = true;
                    continue;
                }
                endpoint::Action::Tell(endpoint::Event::Secured { .. }) => {
                    self.connected = true;
                    continue;
                }
                _ => continue,
            };
            let connected = match input {
                endpoint::Input::LegConnected(leg) => Some(leg),
                _ => None,
            };
            code.endpoint.handle(input, self.now, &mut self.dice);
            if let Some(leg) = connected {
                while code
                    .endpoint
                    .poll_transmit(Way::Leg(leg), self.now)
                    .is_some()
                {}
                let welcome = notice::encode(Kind::Welcome(v1::Welcome {
                    peer_online: self.dice.once_in(2),
                    ..v1::Welcome::default()
                }));
                let bytes = welcome.into_bytes();
                code.endpoint
                    .handle_frame(Way::Leg(leg), bytes, self.now, &mut self.dice);
                code.leg = Some(leg);
            }
        }
        code.told_online |= online;
        // The task that shows codes runs later than the one that drives the peer.
        if self.dice.once_in(3) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Some(code) = &mut self.code else { return };
        if std::mem::take(&mut code.told_online) {
            self.invite.handle(Input::PeerOnline, self.now);
        }
        if code.endpoint.is_code_used() && !std::mem::replace(&mut code.told_used, true) {
            self.invite.handle(Input::Used, self.now);
        }
        if code.ended.is_some() || code.withdrawn {
            let ended = match code.ended {
                Some(endpoint::End::HungUp(reason)) => Ended::HungUp(reason),
                Some(_) | None => Ended::Else,
            };
            self.code = None;
            self.invite.handle(Input::Ended(ended), self.now);
        }
    }
}

#[test]
fn a_server_that_lies_at_every_moment_gets_three_guesses() {
    const RUNS: u64 = 10_000;
    let play = |seeds: std::ops::Range<u64>| {
        let (mut all_three, mut codes, mut most) = (0, 0, 0);
        for seed in seeds {
            let run = Run::new(seed).play(150);
            assert!(run.guesses <= GUESSES, "seed {seed}: {}", run.guesses);
            codes += u64::from(run.codes);
            most = most.max(run.codes);
            all_three += u64::from(run.guesses == GUESSES);
        }
        (all_three, codes, most)
    };
    let halves = std::thread::scope(|scope| {
        [0..RUNS / 2, RUNS / 2..RUNS]
            .map(|seeds| scope.spawn(|| play(seeds)))
            .map(|half| half.join().unwrap())
    });
    let [(one, codes, most), (other, more, _)] = halves;
    let (all_three, codes) = (one + other, codes + more);
    println!("{RUNS} runs, {codes} codes, {most} in one; {all_three} with three guesses");
    assert!(all_three > RUNS / 4, "the server hardly tries: {all_three}");
    assert!(most > 3, "no code was ever replaced without a guess");
}

/// An invite whose code is shown.
fn shown() -> (Invite, Moment) {
    shown_by(Invite::default())
}

fn shown_by(mut invite: Invite) -> (Invite, Moment) {
    let now = Moment::default() + SECOND;
    assert_eq!(all(&mut invite), [Action::Create]);
    invite.handle(Input::Created, now);
    assert_eq!(all(&mut invite), [Action::Watch]);
    (invite, now)
}

fn all(invite: &mut Invite) -> Vec<Action> {
    std::iter::from_fn(|| invite.poll()).collect()
}

#[test]
fn one_code_stays_for_as_long_as_control_knows_it() {
    let (mut invite, mut now) = shown();
    for retry_after in [None, Some(7 * SECOND), None, None] {
        let is_gone = false;
        invite.handle(
            Input::WatchEnded {
                is_gone,
                retry_after,
            },
            now,
        );
        assert_eq!(all(&mut invite), []);
        assert!(invite.poll_timeout() >= now + retry_after.unwrap_or(SECOND));
        now = invite.poll_timeout();
        invite.handle(Input::Timeout, now);
        assert_eq!(all(&mut invite), [Action::Watch]);
    }
}

#[test]
fn a_code_that_is_gone_is_replaced_after_its_peer_has_ended() {
    let (mut invite, now) = shown();
    invite.handle(Input::Told(PairingEvent::Expired), now);
    assert_eq!(all(&mut invite), [Action::Unwatch, Action::Withdraw]);
    assert_eq!(invite.poll_timeout(), Moment::NEVER);
    invite.handle(Input::Ended(Ended::Else), now);
    assert_eq!(
        all(&mut invite),
        [Action::Unwatch, Action::Replace(Why::Gone)]
    );
    invite.handle(Input::Timeout, invite.poll_timeout());
    assert_eq!(all(&mut invite), [Action::Create]);
}

#[test]
fn expired_is_not_believed_once_the_other_device_is_there() {
    for there in [Input::PeerOnline, Input::Used] {
        let (mut invite, now) = shown();
        invite.handle(there, now);
        assert_eq!(all(&mut invite), [Action::Unwatch]);
        for lie in [PairingEvent::Expired, PairingEvent::Revoked] {
            invite.handle(Input::Told(lie), now);
            assert_eq!(all(&mut invite), [Action::Unwatch]);
        }
    }
}

#[test]
fn whatever_ends_a_used_code_counts() {
    let (mut invite, mut now) = shown();
    for left in (0..GUESSES).rev() {
        invite.handle(Input::Used, now);
        invite.handle(Input::Used, now);
        let ended = match left {
            1 => Ended::HungUp(CloseReason::PeerLeft),
            _ => Ended::Else,
        };
        invite.handle(Input::Ended(ended), now);
        let last = all(&mut invite).pop();
        match left {
            0 => assert_eq!(last, Some(Action::End)),
            _ => assert_eq!(last, Some(Action::Replace(Why::Used))),
        }
        now = invite.poll_timeout();
        invite.handle(Input::Timeout, now);
        invite.handle(Input::Created, now);
        all(&mut invite);
    }
    assert_eq!(invite.poll_timeout(), Moment::NEVER);
}
