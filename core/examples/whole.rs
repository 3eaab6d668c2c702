//! Everything of the core that a peer needs without transfers, in one program: its size as wasm is what a
//! page downloads first. `transfers.rs` is the rest.
//!
//! `scripts/wasm-size` builds and measures it. Run natively, it checks itself:
//! `cargo run -p peersox-core --example whole`.
//!
//! Whatever goes in passes a black box, so that the optimiser can fold nothing away. What only servers
//! need (pairing, sessions, tickets, budgets) is left out: a linker leaves it out of a page, too.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel::{self, Assembler, ChannelId, Chunk, Message, Priority, ResetCode};
use peersox_core::code::{Code, Digits, Words};
use peersox_core::connect::{Kind, PathId};
use peersox_core::frame::Frame;
use peersox_core::id::PairingId;
use peersox_core::peer::{Config, Event, Peer, Proof};
use peersox_core::role::Role;
use peersox_core::secure::{PairingSecret, State};
use peersox_core::time::Moment;
use rand_core::{CryptoRng, RngCore};

fn main() {
    let mut rng = Counting(black_box(7));
    let code = codes(&mut rng);
    let pairing = PairingId::random(&mut rng);
    let canonical = code.canonical();
    let mut peers = Role::BOTH.map(|role| {
        let proof = Proof::Code(canonical.as_bytes());
        Side::new(role, pairing, proof, &mut rng)
    });
    let secrets = pairs(&mut peers, &mut rng);
    let stored = secrets.map(|secret| black_box(secret.as_bytes().to_vec()));
    let mut peers = Role::BOTH.map(|role| {
        let secret = sure(PairingSecret::try_from(&stored[role.index()][..]));
        Side::new(role, pairing, Proof::Secret(secret), &mut rng)
    });
    let secrets = pairs(&mut peers, &mut rng);
    assert_eq!(secrets[0], secrets[1]);
    conversation(&mut peers, &mut rng);
}

fn codes(rng: &mut Counting) -> Code {
    let drawn = Code::generate(Digits::default(), black_box(2), rng);
    let typed = black_box(drawn.to_string().to_ascii_uppercase());
    let read: Code = sure(typed.parse());
    assert_eq!(read, drawn);
    let slip = black_box("481920-tulpi").parse::<Code>();
    if let Err(malformed) = slip {
        shown(&malformed);
    }
    shown(&Words::list().len());
    shown(&read.entropy_bits());
    read
}

/// Both come up over a relay and agree.
fn pairs(peers: &mut [Side; 2], rng: &mut Counting) -> [PairingSecret; 2] {
    for peer in &mut *peers {
        peer.path = Some(peer.machine.path_up(black_box(Kind::Relay), peer.now, rng));
    }
    for _ in 0..8 {
        exchange(peers, rng);
    }
    peers.each_ref().map(|peer| {
        assert_eq!(peer.machine.state(), State::Secured);
        let secret = peer.machine.secret();
        secret.expect("it was agreed").clone()
    })
}

fn conversation(peers: &mut [Side; 2], rng: &mut Counting) {
    let channels = peers[0].machine.channels();
    let chat = sure(channels.open(black_box("chat"), Priority::Interactive));
    let aside = sure(channels.open(black_box("aside"), Priority::Bulk));
    let text = Chunk::text(black_box("hello").to_owned());
    let long = Chunk::binary(black_box(vec![7; 100_000]));
    for chunk in [text, long] {
        if let Err(error) = channels.try_send(chat, chunk) {
            shown(&error);
        }
    }
    channels.ping();
    for turn in 0..10 {
        match turn {
            2 => {
                for peer in &mut *peers {
                    let kind = black_box(Kind::Direct);
                    peer.direct = Some(peer.machine.path_up(kind, peer.now, rng));
                }
            }
            3 => {
                let datagram = Bytes::from(black_box(vec![3; 10]));
                let sent = peers[0]
                    .machine
                    .channels()
                    .try_send_datagram(chat, &datagram);
                if let Err(error) = sent {
                    shown(&error);
                }
                if let Err(error) = peers[1].machine.send_signal(black_box(b"offer")) {
                    shown(&error);
                }
            }
            5 => {
                peers[0]
                    .machine
                    .channels()
                    .reset(aside, ResetCode::CANCELLED);
                for peer in &mut *peers {
                    if let Some(direct) = peer.direct.take() {
                        peer.machine.path_down(direct, peer.now);
                        peer.machine.dial_failed(peer.now);
                    }
                }
            }
            7 => {
                shown(&peers[0].machine.channels().finish(chat).is_ok());
                for peer in &mut *peers {
                    peer.machine.channels().close();
                }
            }
            _ => {}
        }
        exchange(peers, rng);
    }
    assert!(
        peers
            .iter_mut()
            .all(|peer| peer.machine.channels().is_closed())
    );
    assert_eq!(peers[1].said, 2);
}

/// What one peer sends arrives at the other.
fn exchange([initiator, joiner]: &mut [Side; 2], rng: &mut Counting) {
    for turn in [false, true] {
        let (from, to) = if turn {
            (&mut *joiner, &mut *initiator)
        } else {
            (&mut *initiator, &mut *joiner)
        };
        from.now = from.now + Duration::from_millis(black_box(25));
        from.machine.handle_timeout(from.now, rng);
        let legs = [(from.path, to.path), (from.direct, to.direct)];
        for (leaves, arrives) in legs {
            let (Some(leaves), Some(arrives)) = (leaves, arrives) else {
                continue;
            };
            while let Some(frame) = from.machine.poll_transmit(leaves, from.now) {
                to.take(arrives, frame.into_bytes(), rng);
            }
        }
    }
}

/// One of the two.
struct Side {
    machine: Peer,
    now: Moment,
    path: Option<PathId>,
    direct: Option<PathId>,
    assembler: Assembler,
    said: usize,
}

impl Side {
    fn new(role: Role, pairing: PairingId, proof: Proof<'_>, rng: &mut Counting) -> Self {
        let (hello, now) = (Bytes::from(black_box(vec![1, 2, 3])), Moment::default());
        Self {
            machine: Peer::new(Config::default(), role, pairing, proof, hello, now, rng),
            now,
            path: None,
            direct: None,
            assembler: Assembler::new(black_box(1 << 20)),
            said: 0,
        }
    }

    fn take(&mut self, path: PathId, bytes: Bytes, rng: &mut Counting) {
        match Frame::parse(black_box(bytes)) {
            Ok(frame) => {
                let taken = self.machine.handle_frame(path, frame, self.now, rng);
                if let Err(end) = taken {
                    shown(&end);
                }
            }
            Err(malformed) => shown(&malformed),
        }
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Secured { sas, hello } => {
                    shown(&sas);
                    black_box(&hello);
                }
                Event::Channel(channel::Event::Readable(channel)) => self.read(channel),
                Event::Channel(channel::Event::DatagramReadable(channel)) => {
                    black_box(self.machine.channels().read_datagram(channel));
                }
                other => {
                    black_box(&other);
                }
            }
        }
        let selected = self.machine.selected();
        let rtt = selected.map(|path| (self.machine.kind(path), self.machine.path_rtt(path)));
        black_box((rtt, self.machine.poll_timeout(), self.machine.dropped()));
        let channels = self.machine.channels();
        black_box((channels.rtt(), channels.stats(), channels.buffered()));
    }

    fn read(&mut self, channel: ChannelId) {
        while let Some(chunk) = self.machine.channels().read(channel) {
            match self.assembler.push(chunk) {
                Ok(Some(Message::Text(text))) => self.said += usize::from(!text.is_empty()),
                Ok(Some(Message::Binary(bytes))) => self.said += usize::from(!bytes.is_empty()),
                Ok(None) => {}
                Err(unfit) => shown(&unfit),
            }
        }
    }
}

/// Without `Debug`, which a page has no use for and would download.
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A page shows what went wrong in words.
fn shown(what: &impl std::fmt::Display) {
    black_box(what.to_string());
}

/// Anything but random: a page has `crypto.getRandomValues`.
struct Counting(u64);

impl RngCore for Counting {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
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
