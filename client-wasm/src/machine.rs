//! One endpoint of a pairing, as `js/src/net/shell.ts` drives it: `core::peer` in the numbers and bytes of calls.

use bytes::Bytes;
use peersox_core::channel::{self, ChannelId, Chunk, Kind, Priority, ResetCode, SendError};
use peersox_core::connect::{Kind as PathKind, PathId};
use peersox_core::frame::Frame;
use peersox_core::id::PairingId;
use peersox_core::peer::{Config, End, Event, Peer, Proof};
use peersox_core::role::Role;
use peersox_core::secure::{PairingSecret, State};
use peersox_core::time::Moment;

use crate::call::{Call, NONE, Reply, small, whole};
use crate::code;
use crate::failure::{Failure, Fault};
use crate::op;
use crate::platform::{Random, millis};
use crate::told::Told;

/// See the module.
pub(crate) struct Machine(Peer);

impl Machine {
    /// Makes an endpoint without a path, as [`op::WITH_CODE`] and [`op::WITH_SECRET`] say.
    pub(crate) fn new(call: &Call) -> Result<Self, Failure> {
        let role = match call.a == 1.0 {
            true => Role::Initiator,
            false => Role::Joiner,
        };
        let (id, rest) = call
            .bytes
            .split_first_chunk()
            .ok_or_else(Failure::senseless)?;
        let parts = rest.split_at_checked(small(call.b) as usize);
        let (proof, name) = parts.ok_or_else(Failure::senseless)?;
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
        Ok(Self(Peer::new(
            Config::default(),
            role,
            PairingId::from_bytes(*id),
            proof,
            Bytes::copy_from_slice(name),
            call.now,
            &mut Random,
        )))
    }

    /// Does what is asked for, and gives what it gives.
    pub(crate) fn obey(&mut self, call: Call) -> Result<Reply, Failure> {
        let Self(peer) = self;
        let path = PathId::from_number(small(call.a));
        let channel = ChannelId::from_bits(whole(call.a));
        Ok(match call.op {
            op::SECRET => {
                let secret = peer.secret();
                secret.map_or_else(Reply::none, |it| {
                    Reply::lend(0, Bytes::copy_from_slice(it.as_bytes()))
                })
            }
            op::SECURED => Reply::number(peer.state() == State::Secured),
            op::PATH_UP => {
                let kind = match call.a == 1.0 {
                    true => PathKind::Direct,
                    false => PathKind::Relay,
                };
                Reply::number(peer.path_up(kind, call.now, &mut Random).number())
            }
            op::RTT => Reply::number(peer.path_rtt(path).map_or(NONE, millis)),
            op::TRANSMIT => {
                let frame = peer.poll_transmit(path, call.now);
                frame.map_or_else(Reply::none, |it| Reply::lend(0, it.into_bytes()))
            }
            op::POLL => peer
                .poll_event()
                .map_or_else(Reply::none, |it| self.tell(it)),
            op::TIMEOUT => Reply::number(millis(peer.poll_timeout().since_origin())),
            op::OPEN => {
                let priority = match call.a {
                    0.0 => Priority::Interactive,
                    1.0 => Priority::Normal,
                    _ => Priority::Bulk,
                };
                let opened = peer.channels().open(code::text(&call.bytes)?, priority);
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
                sent(peer.channels().try_send(channel, chunk))?
            }
            op::SEND_DATAGRAM => {
                let mux = peer.channels();
                sent(mux.try_send_datagram(channel, &call.bytes.into()))?
            }
            op::READ => {
                let piece = peer.channels().read(channel);
                piece.map_or_else(Reply::none, |it| {
                    let is_text = u8::from(it.kind == Kind::Text);
                    Reply::lend(is_text | u8::from(it.last) << 1, it.bytes)
                })
            }
            op::READ_DATAGRAM => {
                let datagram = peer.channels().read_datagram(channel);
                datagram.map_or_else(Reply::none, |it| Reply::lend(0, it))
            }
            op::PENDING => {
                let pending = peer.channels().pending(channel);
                Reply::number(pending.unwrap_or(0) as f64)
            }
            op::MAX_DATAGRAM => Reply::number(peer.channels().max_datagram() as f64),
            op::COUNTS => {
                let stats = peer.channels().stats();
                Reply {
                    number: stats.replayed as f64,
                    a: stats.duplicates as f64,
                    b: stats.dropped_datagrams as f64,
                    bytes: Bytes::new(),
                }
            }
            _ => {
                self.follow(call)?;
                Reply::default()
            }
        })
    }

    /// Does what gives nothing.
    fn follow(&mut self, call: Call) -> Result<(), Failure> {
        let Self(peer) = self;
        let path = PathId::from_number(small(call.a));
        let channel = ChannelId::from_bits(whole(call.a));
        match call.op {
            op::PATH_DOWN => peer.path_down(path, call.now),
            op::DIAL_FAILED => peer.dial_failed(call.now),
            op::TAKE => take(peer, path, call.bytes.into(), call.now)?,
            op::RING => {
                if peer.poll_timeout() <= call.now {
                    peer.handle_timeout(call.now, &mut Random);
                }
            }
            op::SIGNAL => {
                // If it is lost, the attempt that it belongs to runs out.
                let _ = peer.send_signal(&call.bytes);
            }
            op::FINISH => {
                // A channel that is gone is finished.
                let _ = peer.channels().finish(channel);
            }
            op::RESET => peer.channels().reset(channel, ResetCode(small(call.b))),
            op::PING => peer.channels().ping(),
            op::CLOSE => peer.channels().close(),
            _ => return Err(Failure::senseless()),
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Reply {
        match event {
            Event::Channel(event) => self.tell_channel(event),
            Event::Secured { sas, hello } => {
                let phrase = sas.words().join(" ");
                let bytes = [phrase.as_bytes(), b"\n", &hello].concat();
                Reply::lend(Told::Secured as u8, bytes)
            }
            Event::Path(None) => told(Told::Path, NONE),
            Event::Path(Some(path)) => told(Told::Path, path.number()),
            Event::Signal(signal) => Reply::lend(Told::Signal as u8, signal),
            Event::Dial => Reply::number(Told::Dial as u8),
            Event::HangUp(path) => told(Told::HangUp, path.number()),
        }
    }

    fn tell_channel(&mut self, event: channel::Event) -> Reply {
        match event {
            channel::Event::Connected => Reply::number(Told::Connected as u8),
            channel::Event::Pong(rtt) => told(Told::Pong, millis(rtt)),
            channel::Event::Closed { .. } => Reply::number(Told::Closed as u8),
            channel::Event::PeerRestarted => {
                told(Told::Restarted, number(self.0.channels().least()))
            }
            channel::Event::Opened {
                channel,
                name,
                priority,
            } => Reply {
                b: f64::from(priority as u8),
                bytes: name.into(),
                ..told(Told::Opened, number(channel))
            },
            channel::Event::Reset { channel, code } => Reply {
                b: f64::from(code.0),
                ..told(Told::Reset, number(channel))
            },
            channel::Event::Readable(id) => told(Told::Readable, number(id)),
            channel::Event::DatagramReadable(id) => told(Told::Datagram, number(id)),
            channel::Event::Writable(id) => told(Told::Writable, number(id)),
            channel::Event::Finished(id) => told(Told::Finished, number(id)),
            channel::Event::Flushed(id) => told(Told::Flushed, number(id)),
        }
    }
}

/// Takes a frame. Fails if it is over; what is no frame is ignored.
fn take(peer: &mut Peer, path: PathId, frame: Bytes, now: Moment) -> Result<(), Failure> {
    let Ok(frame) = Frame::parse(frame) else {
        return Ok(());
    };
    let taken = peer.handle_frame(path, frame, now, &mut Random);
    taken.map_err(|end| {
        let fault = match end {
            End::Burnt(_) => Fault::CodeMismatch,
            End::Broken(_) => Fault::Protocol,
            End::Tampered => Fault::Tampered,
        };
        let (what, why) = end.text();
        Failure::new(fault, &[what, why].concat())
    })
}

fn told(told: Told, a: impl Into<f64>) -> Reply {
    Reply {
        a: a.into(),
        ..Reply::number(told as u8)
    }
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
