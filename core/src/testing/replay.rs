//! Replays `tests/vectors/endpoint.json`: what one shell did at its endpoint has to give the same again.
//!
//! The file is `{"about": …, "vectors": [{"seed", "endpoint", "steps": [[microseconds, call, result], …]},
//! …]}`. The words of calls and results are those of [`World::record`](super::World::record); `cargo run -p
//! peersox-core --features testing --example endpoint-vectors` writes it.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{Dice, record, words};
use crate::attach::{self, Ended, LegId, Session, Transport, Transports};
use crate::channel::{self, ChannelId, Chunk, Kind, Limits, Priority, ResetCode};
use crate::direct::{self, Carrier, Channel, Connection, IceCandidate, Mode, SessionDescription};
use crate::endpoint::{Config, Endpoint, Identity, Input, Way};
use crate::id::PairingId;
use crate::peer::{self, Proof};
use crate::role::Role;
use crate::secure::PairingSecret;
use crate::time::Moment;

/// Replays one vector.
///
/// # Errors
/// The first step whose result differs, and both results; or what is not a vector.
pub fn replay(vector: &Value) -> Result<(), String> {
    let steps = vector["steps"].as_array().ok_or("without steps")?;
    let mut replay = Replay::new(&vector["endpoint"]).ok_or("without an endpoint")?;
    for (at, step) in steps.iter().enumerate() {
        let now = Moment::from_origin(Duration::from_micros(number(&step[0])));
        let got = replay.step(&step[1], &step[2], now);
        if got != step[2] {
            return Err(format!(
                "step {at}, {}: {got} instead of {}",
                step[1], step[2]
            ));
        }
    }
    Ok(())
}

struct Replay {
    endpoint: Endpoint,
    rng: Dice,
}

impl Replay {
    fn new(about: &Value) -> Option<Self> {
        let limits = Limits {
            window: u32::try_from(number(&about["window"])).ok()?,
            total: u32::try_from(number(&about["total"])).ok()?,
            max_channels: u32::try_from(number(&about["max-channels"])).ok()?,
            ..Limits::default()
        };
        let config = Config {
            peer: peer::Config {
                channels: channel::Config {
                    limits,
                    ..channel::Config::default()
                },
                ..peer::Config::default()
            },
            attach: attach::Config {
                transports: transports(&about["transports"]),
                upgrade_after: duration(&about["upgrade-after"]),
                ..attach::Config::default()
            },
            direct: match text(&about["direct"]) {
                "off" => Mode::Off,
                "manual" => Mode::Manual,
                _ => Mode::Auto,
            },
            carrier: Carrier::WebRtc,
            once: false,
        };
        let secret = hex(&about["secret"]);
        let identity = Identity {
            role: match text(&about["role"]) {
                "joiner" => Role::Joiner,
                _ => Role::Initiator,
            },
            pairing: PairingId::from_bytes(hex(&about["pairing"]).as_ref().try_into().ok()?),
            proof: match about["code"].as_str() {
                Some(code) => Proof::Code(code.as_bytes()),
                None => Proof::Secret(PairingSecret::try_from(secret.as_ref()).ok()?),
            },
            hello: hex(&about["hello"]),
            agent: text(&about["agent"]).to_owned(),
            trace: None,
        };
        let mut rng = Dice::new(text(&about["rng"]).parse().ok()?);
        let endpoint = Endpoint::new(config, identity, Moment::default(), &mut rng);
        Some(Self { endpoint, rng })
    }

    fn step(&mut self, call: &Value, expected: &Value, now: Moment) -> Value {
        match call.as_str() {
            Some("poll") => {
                let polls = expected.as_array().into_iter().flatten();
                polls
                    .map(|poll| json!([poll[0], self.poll(&poll[0], now)]))
                    .collect()
            }
            Some("poll-timeout") => words::moment(self.endpoint.poll_timeout()),
            _ => self.call(call, now),
        }
    }

    fn poll(&mut self, what: &Value, now: Moment) -> Value {
        if what.is_string() {
            let action = self.endpoint.poll_action(now, &mut self.rng);
            return json!(action.as_ref().map(words::action));
        }
        let frame = self.endpoint.poll_transmit(way(what), now);
        json!(frame.map(|frame| HEXLOWER.encode(&frame.into_bytes())))
    }

    fn call(&mut self, call: &Value, now: Moment) -> Value {
        let id = ChannelId::from_bits(number(&call["channel"]));
        match text(&call["do"]) {
            "frame" => {
                let (way, bytes) = (way(&call["way"]), hex(&call["bytes"]));
                self.endpoint.handle_frame(way, bytes, now, &mut self.rng);
                Value::Null
            }
            "upgrade" => json!(self.endpoint.upgrade(now, &mut self.rng)),
            "open" => {
                let all = [Priority::Interactive, Priority::Normal, Priority::Bulk];
                let priority = all.into_iter().find(|it| call["priority"] == *it as u8);
                let priority = priority.unwrap_or(Priority::Normal);
                let opened = self.endpoint.channels().open(text(&call["name"]), priority);
                json!(opened.ok().map(ChannelId::to_bits))
            }
            "send" => {
                let chunk = Chunk {
                    kind: match call["text"] == true {
                        true => Kind::Text,
                        false => Kind::Binary,
                    },
                    bytes: hex(&call["bytes"]),
                    last: call["last"] == true,
                };
                record::done(self.endpoint.channels().try_send(id, chunk))
            }
            "send-datagram" => {
                let bytes = hex(&call["bytes"]);
                record::done(self.endpoint.channels().try_send_datagram(id, &bytes))
            }
            "finish" => record::done(self.endpoint.channels().finish(id)),
            "reset" => {
                let code = u32::try_from(number(&call["code"])).unwrap_or(0);
                self.endpoint.channels().reset(id, ResetCode(code));
                Value::Null
            }
            "ping" => {
                self.endpoint.channels().ping();
                Value::Null
            }
            "read" => record::read(self.endpoint.channels().read(id).as_ref()),
            "read-datagram" => {
                let datagram = self.endpoint.channels().read_datagram(id);
                json!(datagram.map(|it| HEXLOWER.encode(&it)))
            }
            name => match input(name, call) {
                Some(input) => {
                    self.endpoint.handle(input, now, &mut self.rng);
                    Value::Null
                }
                None => json!(format!("{name} is no call")),
            },
        }
    }
}

fn input(name: &str, call: &Value) -> Option<Input> {
    let of_call = u32::try_from(number(&call["call"])).unwrap_or(0);
    Some(match name {
        "session-opened" => Input::SessionOpened {
            call: of_call,
            session: Session {
                offered: transports(&call["offered"]),
                ticket: text(&call["ticket"]).to_owned(),
            },
            outlives: optional(&call["outlives"]),
        },
        "session-failed" => Input::SessionFailed {
            call: of_call,
            is_final: call["is-final"] == true,
            retry_after: optional(&call["retry-after"]),
        },
        "leg-connected" => Input::LegConnected(leg(call)),
        "leg-ended" => {
            let closed = call["number"]
                .as_u64()
                .and_then(|it| u16::try_from(it).ok());
            Input::LegEnded(leg(call), closed.map_or(Ended::Broken, Ended::Closed))
        }
        "waiting" => Input::Waiting(leg(call), call["waits"] == true),
        "wake" => Input::Wake(duration(&call["slept"])),
        "close" => Input::Close(duration(&call["patience"])),
        "timeout" => Input::Timeout,
        _ => Input::Direct(number(&call["attempt"]), report(name, call)?),
    })
}

fn report(name: &str, call: &Value) -> Option<direct::Input> {
    Some(match name {
        "described" => direct::Input::Described(SessionDescription {
            r#type: text(&call["type"]).to_owned(),
            sdp: text(&call["sdp"]).to_owned(),
        }),
        "accepted" => direct::Input::Accepted,
        "candidate" => direct::Input::Candidate(IceCandidate {
            candidate: text(&call["candidate"]).to_owned(),
            ..IceCandidate::default()
        }),
        "changed" => {
            let connection = match text(&call["connection"]) {
                "pending" => Connection::Pending,
                "connected" => Connection::Connected,
                "failed" => Connection::Failed,
                _ => Connection::Closed,
            };
            let channel = match text(&call["channel"]) {
                "pending" => Channel::Pending,
                "open" => Channel::Open,
                _ => Channel::Closed,
            };
            direct::Input::Changed(connection, channel)
        }
        "failed" => direct::Input::Failed,
        _ => return None,
    })
}

fn way(value: &Value) -> Way {
    match value["attempt"].as_u64() {
        Some(attempt) => Way::Direct(attempt),
        None => Way::Leg(leg(value)),
    }
}

fn leg(value: &Value) -> LegId {
    LegId::from_number(u32::try_from(number(&value["leg"])).unwrap_or(u32::MAX))
}

fn transports(value: &Value) -> Transports {
    let numbers = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64);
    let known = numbers.filter_map(|it| Transport::from_number(u8::try_from(it).ok()?));
    known.collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn hex(value: &Value) -> Bytes {
    HEXLOWER
        .decode(text(value).as_bytes())
        .unwrap_or_default()
        .into()
}

fn duration(value: &Value) -> Duration {
    Duration::from_micros(number(value))
}

fn optional(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_micros)
}

/// The worlds of the file: whose endpoint is recorded in which.
const CHOSEN: [(u64, Role); 10] = [
    (1, Role::Initiator),
    (2, Role::Joiner),
    (5, Role::Joiner),
    (8, Role::Initiator),
    (24, Role::Initiator),
    (31, Role::Joiner),
    (37, Role::Joiner),
    (129, Role::Initiator),
    (172, Role::Joiner),
    (306, Role::Initiator),
];

/// The file, one step a line.
///
/// # Errors
/// What went wrong in one of the worlds.
pub fn file() -> Result<String, String> {
    let mut vectors = Vec::new();
    for (seed, role) in CHOSEN {
        let vector = super::World::record(seed, role)?;
        let steps: Vec<_> = vector["steps"].as_array().into_iter().flatten().collect();
        let steps: Vec<_> = steps.into_iter().map(Value::to_string).collect();
        vectors.push(format!(
            "{{\"seed\":{},\"endpoint\":{},\"steps\":[\n{}\n]}}",
            vector["seed"],
            vector["endpoint"],
            steps.join(",\n")
        ));
    }
    let about = json!(ABOUT);
    let vectors = vectors.join(",\n");
    Ok(format!(
        "{{\"about\":{about:#},\n\"vectors\":[\n{vectors}\n]}}\n"
    ))
}

const ABOUT: [&str; 7] = [
    "What one shell does at its endpoint, and what it gets: steps of [microseconds, call, \
     result]. 'poll' lists [what, result].",
    "Written by: cargo run -p peersox-core --features testing --example endpoint-vectors > \
     tests/vectors/endpoint.json",
    "'rng' is the seed of the endpoint's randomness, SplitMix64, a decimal number of 64 bits. \
     One throw, all modulo 2^64:",
    "s += 0x9e3779b97f4a7c15; z = s; z = (z ^ z>>30) * 0xbf58476d1ce4e5b9; z = (z ^ z>>27) * \
     0x94d049bb133111eb; z ^ z>>31.",
    "Filling n bytes takes ceil(n / 8) throws, each gives 8 bytes, the lowest first; what is \
     left of the last one is dropped.",
    "A random number of 64 bits is 8 such bytes read with the lowest first; one of 32 bits the \
     first 4 of 8.",
    "What is not said is the default. The endpoint is made at 0 microseconds. Polls come in \
     this order, with these results.",
];
