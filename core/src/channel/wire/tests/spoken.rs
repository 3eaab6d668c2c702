//! Whole conversations, record by record, for the known answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{LIMITS, hex};
use crate::channel::{
    Assembler, ChannelId, Chunk, Config, Limits, Message, Mux, Packed, Priority, ResetCode,
};
use crate::role::Role;
use crate::time::Moment;

/// Two peers meet; the initiator says hello in text and binary, the joiner answers, and both part.
pub(super) fn conversation() -> Vec<Value> {
    let mut spoken = Spoken::begin(LIMITS);
    let id = spoken.open("peersox.message", Priority::Normal);
    spoken.send(Role::Initiator, id, Chunk::text("hello"));
    spoken.send(Role::Initiator, id, Chunk::binary(vec![1, 2, 3]));
    spoken.exchange();
    spoken.send(Role::Joiner, id, Chunk::text("hello yourself"));
    spoken.joiner().finish(id).unwrap();
    spoken.exchange();
    spoken.end()
}

/// Messages in fragments, one acknowledgement for two channels, and what is lost on the way: an
/// acknowledgement and an item with their path, then an item on a path that stays.
pub(super) fn interrupted() -> Vec<Value> {
    let mut spoken = Spoken::begin(Limits {
        // Fragments of 192 bytes.
        window: 1_024,
        ..LIMITS
    });
    let bulk = spoken.open("bulk", Priority::Bulk);
    let chat = spoken.open("chat", Priority::Interactive);
    spoken.exchange();

    // A fragment of text ends within a character; chat goes before bulk.
    spoken.send(Role::Initiator, bulk, Chunk::binary(vec![7; 200]));
    let text = format!("a{}", "\u{e4}".repeat(200));
    spoken.send(Role::Initiator, chat, Chunk::text(text));
    spoken.exchange();

    // The joiner takes the first of two items; its acknowledgement is lost, like the second.
    spoken.send(Role::Initiator, chat, Chunk::text("one"));
    spoken.send(Role::Initiator, chat, Chunk::text("two"));
    spoken.deliver(Role::Initiator);
    spoken.read();
    spoken.lose(Role::Joiner);
    spoken.lose(Role::Initiator);
    spoken.path_up();
    spoken.exchange();

    // An item is missing although the path is there: its receiver begins the path anew.
    spoken.send(Role::Initiator, chat, Chunk::text("three"));
    spoken.lose(Role::Initiator);
    spoken.send(Role::Initiator, chat, Chunk::text("four"));
    spoken.exchange();

    // An item arrives a second time, and is acknowledged a second time.
    spoken.send(Role::Initiator, chat, Chunk::text("five"));
    let doubled = spoken.deliver(Role::Initiator);
    spoken.exchange();
    spoken.arrive(Role::Initiator, doubled);
    spoken.exchange();

    spoken.joiner().reset(bulk, ResetCode(16));
    spoken.peers[0].ping();
    spoken.exchange();
    spoken.end()
}

/// Two peers and what they have said so far.
struct Spoken {
    peers: [Mux; 2],
    channels: Vec<ChannelId>,
    pieces: BTreeMap<(usize, ChannelId), Assembler>,
    rows: Vec<Value>,
}

const NOW: Moment = Moment::from_origin(std::time::Duration::ZERO);

impl Spoken {
    fn begin(limits: Limits) -> Self {
        let config = Config {
            limits,
            ack_delay: std::time::Duration::ZERO,
            ..Config::default()
        };
        let mut spoken = Self {
            peers: [
                Mux::new(config, Role::Initiator, [0xaa; 16]),
                Mux::new(config, Role::Joiner, [0x55; 16]),
            ],
            channels: Vec::new(),
            pieces: BTreeMap::new(),
            rows: Vec::new(),
        };
        spoken.path_up();
        spoken
    }

    fn path_up(&mut self) {
        self.rows.push(json!({ "path": "up" }));
        for peer in &mut self.peers {
            peer.path_up(NOW);
        }
    }

    fn joiner(&mut self) -> &mut Mux {
        &mut self.peers[1]
    }

    fn open(&mut self, name: &str, priority: Priority) -> ChannelId {
        // Both sides give a channel the same id as long as neither restarts.
        let id = self.peers[0].open(name, priority).unwrap();
        self.channels.push(id);
        id
    }

    fn send(&mut self, from: Role, id: ChannelId, chunk: Chunk) {
        self.peers[from.index()].try_send(id, chunk).unwrap();
    }

    /// Both speak and read until there is nothing more to say.
    fn exchange(&mut self) {
        for _ in 0..16 {
            for role in Role::BOTH {
                while let Some(packed) = self.peers[role.index()].poll_record(NOW) {
                    self.arrive(role, packed);
                }
            }
            self.read();
        }
    }

    fn deliver(&mut self, from: Role) -> Packed {
        let packed = self.peers[from.index()].poll_record(NOW).unwrap();
        self.arrive(from, packed.clone());
        packed
    }

    fn arrive(&mut self, from: Role, packed: Packed) {
        self.rows
            .push(json!({ "from": from.as_str(), "hex": hex(packed.record()) }));
        let to = &mut self.peers[from.other().index()];
        to.handle_record(packed.into_record(), NOW).unwrap();
    }

    fn lose(&mut self, from: Role) {
        let packed = self.peers[from.index()].poll_record(NOW).unwrap();
        let hex = hex(packed.record());
        self.rows
            .push(json!({ "from": from.as_str(), "hex": hex, "lost": true }));
    }

    fn read(&mut self) {
        for role in Role::BOTH {
            for id in self.channels.clone() {
                while let Some(chunk) = self.peers[role.index()].read(id) {
                    let pieces = self.pieces.entry((role.index(), id));
                    let pieces = pieces.or_insert_with(|| Assembler::new(1 << 20));
                    let Some(message) = pieces.push(chunk).unwrap() else {
                        continue;
                    };
                    let (kind, bytes) = match &message {
                        Message::Text(text) => ("text", text.as_bytes()),
                        Message::Binary(bytes) => ("binary", &bytes[..]),
                    };
                    self.rows.push(json!({
                        "reads": role.as_str(), "channel": id.number(), kind: hex(bytes),
                    }));
                }
            }
        }
    }

    fn end(mut self) -> Vec<Value> {
        self.peers[0].close();
        self.exchange();
        assert!(self.peers.iter().all(Mux::is_closed));
        self.rows
    }
}
