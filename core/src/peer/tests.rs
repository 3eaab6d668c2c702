use super::*;
use crate::channel::{Chunk, Priority};
use crate::secure::Burnt;
use crate::testing::Dice;

const PAIRING: PairingId = PairingId::from_bytes([9; 16]);
const CODE: &[u8] = b"481920-tulip-ember";

#[test]
fn a_code_brings_two_peers_together_and_a_message_across() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.legs_up();
    pair.settle().unwrap();
    assert_eq!(pair.a.state(), State::Secured);
    assert_eq!(pair.a.secret(), pair.b.secret());
    pair.say("hello");
    assert_eq!(pair.heard(), ["hello"]);
}

#[test]
fn a_wrong_code_ends_both_in_the_same_words() {
    let mut pair = Pair::with_codes(CODE, b"481920-tulip-amber");
    pair.legs_up();
    let end = pair.settle().unwrap_err();
    assert_eq!(end, End::Burnt(Burnt::Mismatch));
    // The one who noticed still has it to say.
    let other = pair.settle().unwrap_err();
    assert_eq!(other.to_string(), end.to_string());
    assert!(pair.a.secret().is_none() && pair.b.secret().is_none());
}

#[test]
fn a_restarted_peer_is_greeted_without_waiting_for_a_timer() {
    for role in Role::BOTH {
        let mut pair = Pair::with_codes(CODE, CODE);
        pair.legs_up();
        pair.settle().unwrap();
        let secret = pair.a.secret().unwrap().clone();
        pair.restart(role, Proof::Secret(secret));
        pair.legs_up();
        // Time stands still.
        pair.settle().unwrap();
        assert!(pair.a.channels().is_connected(), "{role}");
        assert!(pair.b.channels().is_connected(), "{role}");
    }
}

#[test]
fn a_forged_record_costs_its_path_and_no_message() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.legs_up();
    pair.settle().unwrap();
    pair.say("one");
    pair.say("two");
    pair.alter_next = true;
    pair.settle().unwrap();
    let gone = pair.b.selected();
    assert_eq!(gone, None, "the path that altered a record is given up");
    pair.legs_up();
    pair.settle().unwrap();
    assert_eq!(pair.heard(), ["one", "two"]);
}

#[test]
fn paths_that_bring_only_forgeries_end_in_a_clean_error() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.legs_up();
    pair.settle().unwrap();
    let mut end = None;
    for _ in 0..MAX_TAMPERED {
        pair.legs_up();
        pair.alter_all = true;
        if let Err(why) = pair.settle() {
            end = Some(why);
            break;
        }
    }
    assert_eq!(end, Some(End::Tampered));
}

#[test]
fn peers_with_different_secrets_part_with_a_clean_error() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.restart(
        Role::Initiator,
        Proof::Secret(PairingSecret::from_bytes([1; 32])),
    );
    pair.restart(
        Role::Joiner,
        Proof::Secret(PairingSecret::from_bytes([2; 32])),
    );
    let mut end = Ok(());
    for _ in 0..MAX_TAMPERED {
        pair.legs_up();
        end = end.and(pair.settle());
    }
    assert_eq!(end, Err(End::Tampered));
}

#[test]
fn a_last_word_that_was_lost_is_said_again() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.legs_up();
    // The relay loses everything that was just said.
    pair.drain();
    assert_ne!(pair.a.state(), State::Secured);
    pair.now = pair.now + REMIND_AFTER;
    pair.timeouts();
    pair.settle().unwrap();
    pair.say("hello");
    assert_eq!(pair.heard(), ["hello"]);
}

/// One uses keys that the other has forgotten for those of a later attempt, and knows it not: what it gets is
/// sealed with keys that both have. So the other one has to ask, also when it noticed while its path ended.
#[test]
fn who_does_not_know_the_keys_in_use_asks_on_the_next_path() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.legs_up();
    pair.settle().unwrap();
    pair.legs_up();
    pair.carry(0);
    pair.carry(1);
    // The initiator has new keys by now. The first record of them is lost.
    pair.drain();
    pair.legs_up();
    pair.carry(0);
    assert!(pair.b.estranged);
    pair.drain();
    pair.legs_down();
    pair.now = pair.now + REMIND_AFTER * 4;
    pair.timeouts();
    pair.legs_up();
    pair.drain();
    pair.say("hello");
    for _ in 0..10 {
        pair.now = pair.now + Duration::from_secs(1);
        pair.timeouts();
        pair.settle().unwrap();
    }
    assert_eq!(pair.heard(), ["hello"]);
}

#[test]
fn signals_cross_sealed_and_only_over_a_relay() {
    let mut pair = Pair::with_codes(CODE, CODE);
    assert_eq!(pair.a.send_signal(b"sdp"), Err(SealError::NotReady));
    pair.legs_up();
    pair.settle().unwrap();
    pair.a.send_signal(b"sdp").unwrap();
    let path = pair.paths[0].unwrap();
    let frame = pair.a.poll_transmit(path, pair.now).unwrap();
    assert_eq!(frame.lane(), Lane::Signal);
    assert!(!frame.payload().windows(3).any(|window| window == b"sdp"));
    let (to, rng) = (pair.paths[1].unwrap(), &mut pair.rng);
    pair.b.handle_frame(to, frame, pair.now, rng).unwrap();
    let events = std::iter::from_fn(|| pair.b.poll_event());
    let signals: Vec<_> = events.filter(|it| matches!(it, Event::Signal(_))).collect();
    assert_eq!(signals, [Event::Signal(Bytes::from_static(b"sdp"))]);
}

/// Two peers over one relay that loses nothing unless told to.
struct Pair {
    a: Peer,
    b: Peer,
    paths: [Option<PathId>; 2],
    now: Moment,
    rng: Dice,
    /// Alter the next record, or every one.
    alter_next: bool,
    alter_all: bool,
}

impl Pair {
    fn with_codes(a: &[u8], b: &[u8]) -> Self {
        let (mut rng, now) = (Dice::new(1), Moment::default());
        let mut peer = |role, code| {
            let proof = Proof::Code(code);
            Peer::new(
                Config::default(),
                role,
                PAIRING,
                proof,
                Bytes::new(),
                now,
                &mut rng,
            )
        };
        Self {
            a: peer(Role::Initiator, a),
            b: peer(Role::Joiner, b),
            paths: [None; 2],
            now,
            rng,
            alter_next: false,
            alter_all: false,
        }
    }

    fn restart(&mut self, role: Role, proof: Proof<'_>) {
        let (config, hello) = (Config::default(), Bytes::new());
        let peer = Peer::new(config, role, PAIRING, proof, hello, self.now, &mut self.rng);
        match role {
            Role::Initiator => self.a = peer,
            Role::Joiner => self.b = peer,
        }
        self.paths[role.index()] = None;
    }

    /// Both peers lose their leg, if they have one, and get another.
    fn legs_up(&mut self) {
        self.legs_down();
        for (peer, path) in [&mut self.a, &mut self.b].into_iter().zip(&mut self.paths) {
            *path = Some(peer.path_up(Kind::Relay, self.now, &mut self.rng));
        }
    }

    fn legs_down(&mut self) {
        for (peer, path) in [&mut self.a, &mut self.b].into_iter().zip(&mut self.paths) {
            if let Some(path) = path.take() {
                peer.path_down(path, self.now);
            }
        }
    }

    /// Carries what one peer has to say, and no answer.
    fn carry(&mut self, from: usize) {
        let (out, into) = (self.paths[from].unwrap(), self.paths[1 - from].unwrap());
        let [sender, receiver] = match from {
            0 => [&mut self.a, &mut self.b],
            _ => [&mut self.b, &mut self.a],
        };
        while let Some(frame) = sender.poll_transmit(out, self.now) {
            let taken = receiver.handle_frame(into, frame, self.now, &mut self.rng);
            taken.unwrap();
        }
    }

    /// Carries frames until nobody has any more.
    fn settle(&mut self) -> Result<(), End> {
        loop {
            let mut quiet = true;
            for from in 0..2 {
                let (Some(out), Some(into)) = (self.paths[from], self.paths[1 - from]) else {
                    continue;
                };
                let [sender, receiver] = match from {
                    0 => [&mut self.a, &mut self.b],
                    _ => [&mut self.b, &mut self.a],
                };
                while let Some(mut frame) = sender.poll_transmit(out, self.now) {
                    quiet = false;
                    let record = frame.payload()[0] == 3;
                    if record && (self.alter_all || std::mem::take(&mut self.alter_next)) {
                        let mut bytes = frame.into_bytes().to_vec();
                        *bytes.last_mut().unwrap() ^= 1;
                        frame = Frame::parse(bytes.into()).unwrap();
                    }
                    receiver.handle_frame(into, frame, self.now, &mut self.rng)?;
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }

    /// Throws away what both have to say.
    fn drain(&mut self) {
        for (peer, path) in [&mut self.a, &mut self.b].into_iter().zip(self.paths) {
            let path = path.unwrap();
            while peer.poll_transmit(path, self.now).is_some() {}
        }
    }

    fn timeouts(&mut self) {
        for peer in [&mut self.a, &mut self.b] {
            peer.handle_timeout(self.now, &mut self.rng);
        }
    }

    /// The initiator says something on a channel of its own.
    fn say(&mut self, text: &str) {
        let channel = self.a.channels().open("chat", Priority::Normal).unwrap();
        self.a
            .channels()
            .try_send(channel, Chunk::text(text))
            .unwrap();
    }

    /// What the joiner reads, channel by channel.
    fn heard(&mut self) -> Vec<String> {
        self.settle().unwrap();
        let mut heard = Vec::new();
        while let Some(event) = self.b.poll_event() {
            if let Event::Channel(channel::Event::Readable(id)) = event {
                while let Some(chunk) = self.b.channels().read(id) {
                    heard.push(String::from_utf8(chunk.bytes.to_vec()).unwrap());
                }
            }
        }
        heard
    }
}
