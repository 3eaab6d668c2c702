//! Everything of the core that a peer needs, in one program: its size as wasm is what a page downloads.
//!
//! `scripts/wasm-size` builds and measures it. Run natively, it checks itself:
//! `cargo run -p peersox-core --example whole`.
//!
//! Whatever goes in passes a black box, so that the optimiser can fold nothing away. What only servers
//! need (pairing, sessions, tickets, budgets) is left out: a linker leaves it out of a page, too.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peersox_core::channel::{
    Assembler, ChannelId, Chunk, Config, Event, Message, Mux, Priority, ResetCode,
};
use peersox_core::close::CloseReason;
use peersox_core::code::{Code, Digits, Words};
use peersox_core::connect::{self, Action, Kind, Paths};
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::secure::{Association, HEADROOM, PairingSecret, State, TAG_LEN};
use peersox_core::time::Moment;
use peersox_core::transfer::{
    self, CancelCode, DeclineReason, Entry, Limits, Offer, Receiver, SafePath, Sender, TransferId,
};
use rand_core::{CryptoRng, RngCore};

fn main() {
    let mut rng = Counting(black_box(7));
    let code = codes(&mut rng);
    let mut peers = pairing(&code, &mut rng);
    conversation(&mut peers, &mut rng);
    paths();
    transfers();
    endings();
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

fn pairing(code: &Code, rng: &mut Counting) -> [Peer; 2] {
    let pairing = PairingId::random(rng);
    let mut associations = Role::BOTH.map(|role| {
        let hello = Bytes::from(black_box(vec![1, 2, 3]));
        Association::with_code(role, pairing, code.canonical().as_bytes(), hello, rng)
    });
    greet(&mut associations, rng);
    let [first, second] = &associations;
    let secrets = [first.secret(), second.secret()].map(|secret| secret.expect("it was agreed"));
    shown(&secrets[0].sas());
    let stored: [Vec<u8>; 2] = secrets.map(|secret| black_box(secret.as_bytes().to_vec()));

    let mut restored = Role::BOTH.map(|role| {
        let stored = &stored[role.index()][..];
        let secret = sure(PairingSecret::try_from(stored));
        Association::with_secret(role, pairing, secret, Bytes::new())
    });
    greet(&mut restored, rng);
    let [initiator, joiner] = restored;
    [
        Peer::new(Role::Initiator, initiator),
        Peer::new(Role::Joiner, joiner),
    ]
}

fn greet([initiator, joiner]: &mut [Association; 2], rng: &mut Counting) {
    initiator.on_path_up(rng);
    joiner.on_path_up(rng);
    for _ in 0..8 {
        for turn in [false, true] {
            let (from, to) = if turn {
                (&mut *joiner, &mut *initiator)
            } else {
                (&mut *initiator, &mut *joiner)
            };
            while let Some(frame) = from.poll_transmit() {
                // What comes twice is refused, and changes nothing.
                if let Err(failure) = to.handle(black_box(frame), rng) {
                    shown(&failure);
                }
            }
            while let Some(event) = to.poll_event() {
                black_box(&event);
            }
        }
    }
    assert_eq!([initiator.state(), joiner.state()], [State::Secured; 2]);
    initiator.rekey();
}

/// One side of the conversation.
struct Peer {
    association: Association,
    mux: Mux,
    assembler: Assembler,
    channel: Option<ChannelId>,
    said: usize,
}

fn conversation([initiator, joiner]: &mut [Peer; 2], rng: &mut Counting) {
    let mut now = Moment::default();
    initiator.mux.path_up(now);
    joiner.mux.path_up(now);
    let opened = initiator.mux.open(black_box("chat"), Priority::Interactive);
    let channel = sure(opened);
    initiator.channel = Some(channel);
    let aside = initiator.mux.open(black_box("aside"), Priority::Bulk);
    let text = Chunk::text(black_box("hello").to_owned());
    let long = Chunk::binary(black_box(vec![7; 100_000]));
    for chunk in [text, long] {
        if let Err(error) = initiator.mux.try_send(channel, chunk) {
            shown(&error);
        }
    }
    initiator.mux.ping();
    for turn in 0..10 {
        now = now + Duration::from_millis(black_box(25));
        initiator.exchange(joiner, now, rng);
        joiner.exchange(initiator, now, rng);
        match turn {
            2 => {
                let datagram = Bytes::from(black_box(vec![3; 10]));
                shown(&initiator.mux.try_send_datagram(channel, &datagram).is_ok());
                initiator.mux.switch_path(now);
                joiner.mux.resync(now);
            }
            4 => {
                initiator.mux.path_down(now);
                initiator.mux.path_up(now);
                if let Ok(aside) = aside {
                    initiator.mux.reset(aside, ResetCode::CANCELLED);
                }
            }
            6 => {
                shown(&initiator.mux.finish(channel).is_ok());
                initiator.mux.close();
                joiner.mux.close();
            }
            _ => {}
        }
        black_box((
            joiner.mux.poll_timeout(),
            joiner.mux.rtt(),
            joiner.mux.stats(),
        ));
    }
    assert!(initiator.mux.is_closed() && joiner.mux.is_closed());
    assert_eq!(joiner.said, 2);
}

impl Peer {
    fn new(role: Role, association: Association) -> Self {
        let config = Config {
            front: HEADROOM,
            back: TAG_LEN,
            ..Config::default()
        };
        Self {
            association,
            mux: Mux::new(config, role, black_box([role as u8 + 1; 16])),
            assembler: Assembler::new(black_box(1 << 20)),
            channel: None,
            said: 0,
        }
    }

    fn exchange(&mut self, other: &mut Self, now: Moment, rng: &mut Counting) {
        self.mux.handle_timeout(now);
        while let Some(packed) = self.mux.poll_record(now) {
            let (buffer, _) = packed.into_parts();
            self.pass(Lane::Reliable, buffer, other, now, rng);
        }
        while let Some(packed) = self.mux.poll_datagram() {
            let (buffer, _) = packed.into_parts();
            self.pass(Lane::Datagram, buffer, other, now, rng);
        }
        other.hear();
    }

    fn pass(
        &mut self,
        lane: Lane,
        buffer: BytesMut,
        other: &mut Self,
        now: Moment,
        rng: &mut Counting,
    ) {
        let sealed = self.association.seal(lane, buffer);
        let frame = match sealed {
            Ok(frame) => Frame::parse(black_box(frame.into_bytes())),
            Err(error) => return shown(&error),
        };
        let opened = frame.map(|frame| other.association.handle(frame, rng));
        match opened {
            Ok(Ok(Some((Lane::Datagram, record)))) => other.mux.handle_datagram(record),
            Ok(Ok(Some((_, record)))) => {
                if let Err(violation) = other.mux.handle_record(record, now) {
                    shown(&violation);
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(failure)) => shown(&failure),
            Err(malformed) => shown(&malformed),
        }
    }

    fn hear(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened { channel, .. } => self.channel = self.channel.or(Some(channel)),
                Event::Readable(channel) => self.read(channel),
                Event::DatagramReadable(channel) => {
                    black_box(self.mux.read_datagram(channel));
                }
                other => {
                    black_box(&other);
                }
            }
        }
    }

    fn read(&mut self, channel: ChannelId) {
        while let Some(chunk) = self.mux.read(channel) {
            match self.assembler.push(chunk) {
                Ok(Some(Message::Text(text))) => self.said += usize::from(!text.is_empty()),
                Ok(Some(Message::Binary(bytes))) => self.said += usize::from(!bytes.is_empty()),
                Ok(None) => {}
                Err(unfit) => shown(&unfit),
            }
        }
    }
}

fn paths() {
    let mut now = Moment::default();
    let mut paths = Paths::new(black_box(connect::Config::default()));
    let relay = paths.up(Kind::Relay, now);
    let direct = paths.up(Kind::Direct, now);
    for _ in 0..8 {
        while let Some(action) = paths.poll(now) {
            if let Action::Send(path, record) = &action {
                shown(&paths.handle(*path, &black_box(record.clone()), now));
            }
            black_box(&action);
        }
        black_box((
            paths.selected(),
            paths.rtt(direct),
            paths.kind(relay),
            paths.timeout(),
        ));
        now = now + Duration::from_secs(black_box(1));
    }
    paths.down(direct, now);
    paths.failed(now);
}

fn transfers() {
    let path = sure(SafePath::new(&black_box(["folder", "file"])));
    let entry = Entry {
        path,
        kind: transfer::Kind::File,
        size: Some(black_box(300_000)),
        modified: None,
        executable: false,
    };
    let limits = Limits::default();
    let entries = vec![entry];
    let offer = sure(Offer::new(TransferId::of(&entries), entries, &limits));
    let mut sender = Sender::new(offer);
    let mut receiver = Receiver::new(limits);
    let mut stored = false;
    loop {
        match sender.poll() {
            transfer::Action::Send(message) => match receiver.handle(black_box(message)) {
                Ok(transfer::Event::Offered) => {
                    shown(&receiver.offer().map(Offer::total_bytes).is_some());
                    sure(receiver.accept(HashMap::new()));
                }
                Ok(transfer::Event::Store) => stored = receiver.stored().is_ok(),
                Ok(event) => drop(black_box(event)),
                Err(error) => shown(&error),
            },
            transfer::Action::Read { max, .. } => {
                sure(sender.feed(Bytes::from(black_box(vec![9; max]))));
            }
            transfer::Action::Wait | transfer::Action::Finished => {
                let Some(message) = receiver.poll_message() else {
                    break;
                };
                if let Err(error) = sender.handle(black_box(message)) {
                    shown(&error);
                }
            }
        }
        black_box((sender.progress(), receiver.progress()));
    }
    assert!(stored);
    Receiver::new(limits).decline(black_box(DeclineReason::Refused), "");
    Receiver::new(limits).cancel(black_box(CancelCode::Interrupted), "");
}

fn endings() {
    for reason in CloseReason::ALL {
        let number = black_box(reason.number());
        let again = CloseReason::from_number(number).expect("it is a number of ours");
        shown(&again);
        black_box(again.then());
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
