//! One endpoint of a pairing, as `js/src/net/shell.ts` drives it: `core::endpoint` in the numbers and bytes
//! of calls.
//!
//! `tell` has what it asks of the shell, and tells.

use std::time::Duration;

use bytes::Bytes;
use peersox_core::attach::{self, Ended, LegId, Session, Transports};
use peersox_core::channel::{ChannelId, Chunk, Kind, Priority, ResetCode, SendError};
use peersox_core::direct::{self, Channel, Connection, IceCandidate, Mode, SessionDescription};
use peersox_core::endpoint::{Config, Endpoint, Identity, Input, Way};
use peersox_core::id::PairingId;
use peersox_core::peer::Proof;
use peersox_core::role::Role;
use peersox_core::secure::PairingSecret;
use peersox_core::time::Moment;

use crate::call::{Call, NONE, Reply, millis, small, span, whole};
use crate::code::{self, text};
use crate::failure::{Failure, Fault};
use crate::op;
use crate::platform::Random;

mod tell;

/// See the module.
pub(crate) struct Machine(Endpoint);

impl Machine {
    /// Makes an endpoint that begins to attach, as [`op::WITH_CODE`] and [`op::WITH_SECRET`] say.
    pub(crate) fn new(call: &Call) -> Result<Self, Failure> {
        let role = match call.a == 1.0 {
            true => Role::Initiator,
            false => Role::Joiner,
        };
        let [id, proof, name, agent, rules] = call.parts()?;
        let id = id.try_into().map_err(|_| Failure::senseless())?;
        let typed;
        let proof = if call.op == op::WITH_SECRET {
            Proof::Secret(PairingSecret::try_from(proof).map_err(|_| {
                let what = "this is no pairing: its secret is not 32 bytes";
                Failure::new(Fault::PairingInvalid, what)
            })?)
        } else {
            typed = code::parse(proof)?.canonical();
            Proof::Code(typed.as_bytes())
        };
        let mut config = Config {
            attach: attach::Config {
                transports: Transports::BROWSER,
                ..attach::Config::default()
            },
            direct: match number_of(call.b) {
                op::mode::OFF => Mode::Off,
                op::mode::MANUAL => Mode::Manual,
                op::mode::AUTO => Mode::Auto,
                _ => return Err(Failure::senseless()),
            },
            ..Config::default()
        };
        if let Some(patience) = span(call.c) {
            config.attach.patience = patience;
        }
        apply(rules, &mut config);
        let identity = Identity {
            role,
            pairing: PairingId::from_bytes(id),
            proof,
            hello: Bytes::copy_from_slice(name),
            agent: text(agent)?.to_owned(),
            #[cfg(not(target_arch = "wasm32"))]
            trace: None,
        };
        let endpoint = Endpoint::new(config, identity, call.now, &mut Random);
        Ok(Self(endpoint))
    }

    /// Does what is asked for, and gives what it gives.
    pub(crate) fn obey(&mut self, call: Call) -> Result<Reply, Failure> {
        let Self(endpoint) = self;
        let channel = ChannelId::from_bits(whole(call.a));
        Ok(match call.op {
            op::POLL => {
                let action = endpoint.poll_action(call.now, &mut Random);
                action.map_or_else(Reply::none, |it| self.tell(it))
            }
            op::TRANSMIT_LEG => transmit(endpoint, leg_way(&call), &call),
            op::TRANSMIT_DIRECT => transmit(endpoint, direct_way(&call), &call),
            op::TIMEOUT => Reply::number(deadline(endpoint.poll_timeout())),
            op::UPGRADE => Reply::number(endpoint.upgrade(call.now, &mut Random)),
            op::SECRET => {
                let secret = endpoint.secret();
                secret.map_or_else(Reply::none, |it| {
                    Reply::lend(0, Bytes::copy_from_slice(it.as_bytes()))
                })
            }
            op::RTT => Reply::number(endpoint.direct_rtt().map_or(NONE, millis)),
            op::WHY_RELAYED => Reply::lend(0, endpoint.why_relayed().text().as_bytes()),
            op::OPEN => {
                let priority = match call.a {
                    0.0 => Priority::Interactive,
                    1.0 => Priority::Normal,
                    _ => Priority::Bulk,
                };
                let opened = endpoint.channels().open(text(&call.bytes)?, priority);
                let channel = opened.map_err(|error| Failure::new(Fault::Busy, error.text()))?;
                Reply::number(number(channel))
            }
            op::SEND => {
                let chunk = Chunk {
                    kind: match call.b == 1.0 {
                        true => Kind::Text,
                        false => Kind::Binary,
                    },
                    bytes: call.bytes.into(),
                    last: true,
                };
                sent(endpoint.channels().try_send(channel, chunk))?
            }
            op::SEND_DATAGRAM => {
                let mux = endpoint.channels();
                sent(mux.try_send_datagram(channel, &call.bytes.into()))?
            }
            op::READ => {
                let piece = endpoint.channels().read(channel);
                piece.map_or_else(Reply::none, |it| {
                    let is_text = u8::from(it.kind == Kind::Text);
                    Reply::lend(is_text | u8::from(it.last) << 1, it.bytes)
                })
            }
            op::READ_DATAGRAM => {
                let datagram = endpoint.channels().read_datagram(channel);
                datagram.map_or_else(Reply::none, |it| Reply::lend(0, it))
            }
            op::PENDING => {
                let pending = endpoint.channels().pending(channel);
                Reply::number(pending.unwrap_or(0) as f64)
            }
            op::MAX_DATAGRAM => Reply::number(endpoint.channels().max_datagram() as f64),
            op::COUNTS => {
                let stats = endpoint.channels().stats();
                Reply {
                    a: stats.duplicates as f64,
                    b: stats.dropped_datagrams as f64,
                    ..Reply::number(stats.replayed as f64)
                }
            }
            _ => {
                self.follow(call)?;
                Reply::default()
            }
        })
    }

    /// Does what gives nothing.
    fn follow(&mut self, mut call: Call) -> Result<(), Failure> {
        let Self(endpoint) = self;
        let channel = ChannelId::from_bits(whole(call.a));
        match call.op {
            op::TAKE_LEG | op::TAKE_DIRECT => {
                let way = match call.op {
                    op::TAKE_LEG => leg_way(&call),
                    _ => direct_way(&call),
                };
                let frame = std::mem::take(&mut call.bytes).into();
                endpoint.handle_frame(way, frame, call.now, &mut Random);
            }
            op::RING if endpoint.poll_timeout() > call.now => {}
            op::FINISH => {
                // A channel that is gone is finished.
                let _ = endpoint.channels().finish(channel);
            }
            op::RESET => endpoint.channels().reset(channel, ResetCode(small(call.b))),
            op::PING => endpoint.channels().ping(),
            _ => endpoint.handle(input(&call)?, call.now, &mut Random),
        }
        Ok(())
    }
}

/// Rules other than the usual ones, as [`op::WITH_CODE`] says; of fewer numbers none counts.
fn apply(rules: &[u8], config: &mut Config) {
    let (numbers, _) = rules.as_chunks().0.as_chunks();
    let Some([transports, window, total, channels, upgrade]) = numbers.first() else {
        return;
    };
    let limits = &mut config.peer.channels.limits;
    config.attach.transports = Transports::from_bits(transports[0]);
    limits.window = u32::from_le_bytes(*window);
    limits.total = u32::from_le_bytes(*total);
    limits.max_channels = u32::from_le_bytes(*channels);
    config.attach.upgrade_after = Duration::from_secs(u32::from_le_bytes(*upgrade).into());
}

/// A moment as JavaScript counts, rounded up to microseconds.
#[allow(clippy::cast_precision_loss)]
fn deadline(at: Moment) -> f64 {
    let micros = at.since_origin().as_nanos().div_ceil(1_000);
    micros as f64 / 1e3
}

/// What happened, out of the call that says so.
fn input(call: &Call) -> Result<Input, Failure> {
    let leg = LegId::from_number(small(call.a));
    let attempt = whole(call.a);
    Ok(match call.op {
        op::SESSION_OPENED => Input::SessionOpened {
            call: small(call.a),
            session: Session {
                offered: Transports::from_bits(number_of(call.b)),
                ticket: text(&call.bytes)?.to_owned(),
            },
            outlives: span(call.c),
        },
        op::SESSION_FAILED => Input::SessionFailed {
            call: small(call.a),
            is_final: call.b == 1.0,
            retry_after: span(call.c),
        },
        op::LEG_CONNECTED => Input::LegConnected(leg),
        op::LEG_ENDED => {
            let code = u16::try_from(small(call.b)).ok().filter(|_| call.b >= 0.0);
            Input::LegEnded(leg, code.map_or(Ended::Broken, Ended::Closed))
        }
        op::WAITING => Input::Waiting(leg, call.b == 1.0),
        op::DESCRIBED => {
            let [kind, sdp] = call.parts()?;
            let description = SessionDescription {
                r#type: text(kind)?.to_owned(),
                sdp: text(sdp)?.to_owned(),
            };
            Input::Direct(attempt, direct::Input::Described(description))
        }
        op::ACCEPTED => Input::Direct(attempt, direct::Input::Accepted),
        op::CANDIDATE => {
            let [candidate, mid, fragment] = call.parts()?;
            let candidate = IceCandidate {
                candidate: text(candidate)?.to_owned(),
                sdp_mid: text(mid)?.to_owned(),
                sdp_mline_index: small(call.b),
                username_fragment: text(fragment)?.to_owned(),
            };
            Input::Direct(attempt, direct::Input::Candidate(candidate))
        }
        op::CHANGED => {
            let connection = match number_of(call.b) {
                op::connection::PENDING => Connection::Pending,
                op::connection::CONNECTED => Connection::Connected,
                op::connection::FAILED => Connection::Failed,
                op::connection::CLOSED => Connection::Closed,
                _ => return Err(Failure::senseless()),
            };
            let channel = match number_of(call.c) {
                op::channel::PENDING => Channel::Pending,
                op::channel::OPEN => Channel::Open,
                op::channel::CLOSED => Channel::Closed,
                _ => return Err(Failure::senseless()),
            };
            Input::Direct(attempt, direct::Input::Changed(connection, channel))
        }
        op::ATTEMPT_FAILED => Input::Direct(attempt, direct::Input::Failed),
        op::WAKE => Input::Wake(span(call.a).unwrap_or_default()),
        op::CLOSE => Input::Close(span(call.a).unwrap_or_default()),
        op::RING => Input::Timeout,
        _ => return Err(Failure::senseless()),
    })
}

fn leg_way(call: &Call) -> Way {
    Way::Leg(LegId::from_number(small(call.a)))
}

fn direct_way(call: &Call) -> Way {
    Way::Direct(whole(call.a))
}

fn transmit(endpoint: &mut Endpoint, way: Way, call: &Call) -> Reply {
    let frame = endpoint.poll_transmit(way, call.now);
    frame.map_or_else(Reply::none, |it| Reply::lend(0, it.into_bytes()))
}

/// A number of a table; what is above all of them is in none.
fn number_of(number: f64) -> u8 {
    u8::try_from(small(number)).unwrap_or(u8::MAX)
}

/// JavaScript counts to 2^53: that is 2^21 restarts of the other peer.
fn number(id: ChannelId) -> f64 {
    id.to_bits() as f64
}

/// Whether it was sent: without room or a path it was not.
fn sent(result: Result<(), SendError>) -> Result<Reply, Failure> {
    let Err(error) = result else {
        return Ok(Reply::number(true));
    };
    let fault = match error {
        SendError::Full | SendError::NoPath => return Ok(Reply::number(false)),
        SendError::Gone => Fault::ChannelReset,
        SendError::Finished | SendError::KindChanged => Fault::Closed,
        SendError::TooLarge => Fault::TooLarge,
    };
    Err(Failure::new(fault, error.text()))
}
