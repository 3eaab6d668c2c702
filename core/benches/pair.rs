//! Two peers in one process, joined by function calls: what the benches and the allocation test drive.

// Each of them uses a part of this.
#![allow(dead_code)]

use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel::{ChannelId, Chunk, Config, Event, Mux, Packed, Priority};
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::secure::{Association, HEADROOM, PairingSecret, State, TAG_LEN};
use peersox_core::time::Moment;
use rand_core::{CryptoRng, RngCore};

/// The initiator sends on one channel, the joiner reads and acknowledges.
pub struct Pair {
    pub initiator: Peer,
    pub joiner: Peer,
    pub channel: ChannelId,
    pub now: Moment,
}

/// A mux, and the seal around it if there is one.
pub struct Peer {
    pub mux: Mux,
    pub association: Option<Association>,
}

/// The largest payload of one fragment under the default limits: a frame of 64 KiB less what is
/// around it.
pub const FRAGMENT: usize = 65_536 - 1 - 64 - (1 + 4 + 8 + 8);

/// A chat message.
pub const SMALL: usize = 64;

impl Pair {
    /// Records travel as they are.
    pub fn plain() -> Self {
        Self::connect(Role::BOTH.map(|role| Peer::new(role, None)))
    }

    /// Records are sealed.
    pub fn sealed() -> Self {
        let [initiator, joiner] = secured();
        Self::connect([
            Peer::new(Role::Initiator, Some(initiator)),
            Peer::new(Role::Joiner, Some(joiner)),
        ])
    }

    fn connect([mut initiator, mut joiner]: [Peer; 2]) -> Self {
        let now = Moment::default();
        initiator.mux.path_up(now);
        joiner.mux.path_up(now);
        let opened = initiator.mux.open("bench", Priority::Normal);
        let mut pair = Self {
            initiator,
            joiner,
            channel: opened.expect("the first channel can be opened"),
            now,
        };
        for _ in 0..4 {
            pair.turn();
        }
        assert!(pair.initiator.mux.is_connected() && pair.joiner.mux.is_connected());
        pair
    }

    /// Sends one message and whatever follows from it: its record, its reading, acknowledgements.
    pub fn carry(&mut self, payload: &Bytes) {
        let chunk = Chunk::binary(payload.clone());
        let sent = self.initiator.mux.try_send(self.channel, chunk);
        sent.expect("what was sent before is acknowledged");
        self.turn();
    }

    /// Moves on by a microsecond: everything due in both directions goes over, and is read.
    pub fn turn(&mut self) {
        self.now = self.now + Duration::from_micros(1);
        exchange(&mut self.initiator, &mut self.joiner, self.now);
        self.joiner.read_all();
        exchange(&mut self.joiner, &mut self.initiator, self.now);
        self.initiator.read_all();
    }
}

impl Peer {
    fn new(role: Role, association: Option<Association>) -> Self {
        let config = Config {
            front: HEADROOM,
            back: TAG_LEN,
            ..Config::default()
        };
        Self {
            mux: Mux::new(config, role, [1 + u8::from(role == Role::Joiner); 16]),
            association,
        }
    }

    /// The next frame to send, if there is one.
    pub fn send(&mut self, now: Moment) -> Option<Frame> {
        let packed = self.mux.poll_record(now)?;
        Some(match &mut self.association {
            None => packed.into_frame(Lane::Reliable),
            Some(association) => seal(association, packed),
        })
    }

    /// Takes a frame of the other peer.
    pub fn take(&mut self, frame: Frame, now: Moment) {
        let record = match &mut self.association {
            None => frame.payload(),
            Some(association) => {
                let opened = association.handle(frame, &mut Counting(0));
                let (_, record) = opened.expect("it is genuine").expect("it is not empty");
                record
            }
        };
        let taken = self.mux.handle_record(record, now);
        taken.expect("the other peer keeps the rules");
    }

    /// Reads what there is; gives its length.
    pub fn read_all(&mut self) -> usize {
        let mut len = 0;
        while let Some(event) = self.mux.poll_event() {
            if let Event::Readable(channel) = event {
                while let Some(chunk) = self.mux.read(channel) {
                    len += chunk.bytes.len();
                }
            }
        }
        len
    }
}

fn exchange(from: &mut Peer, to: &mut Peer, now: Moment) {
    while let Some(frame) = from.send(now) {
        to.take(frame, now);
    }
}

fn seal(association: &mut Association, packed: Packed) -> Frame {
    let (buffer, front) = packed.into_parts();
    assert_eq!(front, HEADROOM);
    let sealed = association.seal(Lane::Reliable, buffer);
    sealed.expect("the handshake is over and a record fits")
}

/// Both sides of a handshake that is over.
pub fn secured() -> [Association; 2] {
    let pairing = PairingId::from_bytes([1; 16]);
    let mut rng = Counting(1);
    let mut peers = Role::BOTH.map(|role| {
        let secret = PairingSecret::from_bytes([2; 32]);
        Association::with_secret(role, pairing, secret, Bytes::new())
    });
    let [initiator, joiner] = &mut peers;
    initiator.on_path_up(&mut rng);
    for _ in 0..2 {
        hand_over(initiator, joiner, &mut rng);
        hand_over(joiner, initiator, &mut rng);
    }
    assert!(peers.iter().all(|peer| peer.state() == State::Secured));
    peers
}

fn hand_over(from: &mut Association, to: &mut Association, rng: &mut Counting) {
    while let Some(frame) = from.poll_transmit() {
        let silent = to.handle(frame, rng);
        silent.expect("both know the secret");
    }
}

/// Anything but random.
pub struct Counting(pub u64);

impl RngCore for Counting {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Counting {}
