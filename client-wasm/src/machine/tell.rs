//! What an endpoint asks of the shell and tells it, as rows of the table `told`.

use peersox_core::attach;
use peersox_core::channel;
use peersox_core::close::CloseReason;
use peersox_core::connect::Kind as PathKind;
use peersox_core::endpoint::{self, Action, Event};
use peersox_core::peer;

use super::{Machine, number};
use crate::call::{NONE, Reply, millis};
use crate::told::{Cause, End, Told};

impl Machine {
    pub(super) fn tell(&mut self, action: Action) -> Reply {
        match action {
            Action::OpenSession { call, unreached } => Reply {
                b: f64::from(u8::from(unreached)),
                ..told(Told::OpenSession, call)
            },
            Action::Connect(leg, transport) => Reply {
                b: transport.number().into(),
                ..told(Told::Connect, leg.number())
            },
            Action::HangUp(leg, reason) => Reply {
                b: reason.map_or(NONE, |it| it.number().into()),
                ..told(Told::HangUp, leg.number())
            },
            Action::Make(attempt, _) => of(Told::Make, attempt),
            Action::Offer(attempt, restart) => Reply {
                b: restart.into(),
                ..of(Told::Offer, attempt)
            },
            Action::Accept(attempt, it) => {
                of(Told::Accept, attempt).with(&[it.r#type.as_bytes(), it.sdp.as_bytes()])
            }
            Action::Answer(attempt) => of(Told::Answer, attempt),
            Action::Add(attempt, it) => Reply {
                b: it.sdp_mline_index.into(),
                ..of(Told::Add, attempt)
            }
            .with(&[
                it.candidate.as_bytes(),
                it.sdp_mid.as_bytes(),
                it.username_fragment.as_bytes(),
            ]),
            Action::Drop(attempt) => of(Told::Drop, attempt),
            Action::Tell(event) => self.tell_event(event),
            Action::End(end) => tell_end(end),
        }
    }

    fn tell_event(&mut self, event: Event) -> Reply {
        match event {
            Event::Attached {
                transport,
                resumed,
                peer_online,
            } => Reply {
                b: resumed.into(),
                c: peer_online.into(),
                ..told(Told::Attached, transport.number())
            },
            Event::LegLost { cause, retry_in } => {
                tell_cause(Told::LegLost, cause, retry_in.map_or(NONE, millis))
            }
            Event::AttemptFailed { cause, retry_in } => {
                tell_cause(Told::AttemptFailed, cause, millis(retry_in))
            }
            Event::PeerOnline => Reply::number(Told::PeerOnline as u8),
            Event::CodeUsed => Reply::number(Told::CodeUsed as u8),
            Event::PeerAway(grace) => told(Told::PeerAway, millis(grace)),
            Event::Draining(grace) => told(Told::Draining, millis(grace)),
            Event::DatagramsDropped(count) => of(Told::DatagramsDropped, count),
            Event::RelayRtt(rtt) => told(Told::RelayRtt, millis(rtt)),
            Event::Secured { sas, hello } => {
                let phrase = sas.words().join(" ");
                Reply::number(Told::Secured as u8).with(&[phrase.as_bytes(), &hello])
            }
            Event::Channel(event) => self.tell_channel(event),
            Event::Path(kind) => told(
                Told::Path,
                match kind {
                    None => 0,
                    Some(PathKind::Relay) => 1,
                    Some(PathKind::Direct) => 2,
                },
            ),
            Event::DirectFailed(why) => Reply {
                bytes: why.text().as_bytes().into(),
                ..told(Told::DirectFailed, why as u8)
            },
        }
    }

    fn tell_channel(&mut self, event: channel::Event) -> Reply {
        match event {
            channel::Event::Connected => Reply::number(Told::Connected as u8),
            channel::Event::Pong(rtt) => told(Told::Pong, millis(rtt)),
            // The endpoint makes an end of it and does not tell it.
            channel::Event::Closed { .. } => tell_end(endpoint::End::PeerClosed),
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

fn tell_end(end: endpoint::End) -> Reply {
    use endpoint::End as E;
    let (row, text, more) = match end {
        E::Closed { .. } => (End::Closed, "this side closed the connection", ""),
        E::PeerClosed => (End::PeerClosed, "the other peer is done", ""),
        E::HungUp(reason) => {
            let row = match reason {
                CloseReason::PeerLeft => End::PeerClosed,
                CloseReason::Revoked => End::Revoked,
                CloseReason::Replaced => End::Replaced,
                // The other numbers that are final say that somebody broke a rule.
                _ => End::Protocol,
            };
            (row, reason.text(), "")
        }
        E::Peer(end) => {
            let row = match end {
                peer::End::Burnt(_) => End::CodeMismatch,
                peer::End::Broken(_) => End::Protocol,
                peer::End::Tampered => End::Tampered,
            };
            let (what, why) = end.text();
            (row, what, why)
        }
        E::Refused => (End::Refused, attach::Cause::Control.text(), ""),
        E::NoLeg(cause) => (End::NoLeg, cause.text(), ""),
    };
    let detail = match end {
        E::NoLeg(cause) => f64::from(row_of(cause) as u8),
        E::HungUp(reason) => reason.number().into(),
        E::Closed { .. } | E::PeerClosed | E::Peer(_) | E::Refused => NONE,
    };
    Reply {
        b: f64::from(u8::from(end == E::Closed { flushed: true })),
        c: detail,
        bytes: [text, more].concat().into(),
        ..told(Told::End, row as u8)
    }
}

fn tell_cause(row: Told, cause: attach::Cause, retry_in: f64) -> Reply {
    Reply {
        b: cause.number().map_or(NONE, f64::from),
        c: retry_in,
        bytes: cause.text().as_bytes().into(),
        ..told(row, row_of(cause) as u8)
    }
}

fn row_of(cause: attach::Cause) -> Cause {
    match cause {
        attach::Cause::HungUp(CloseReason::PeerLost) => Cause::PeerLost,
        attach::Cause::HungUp(_) => Cause::HungUp,
        attach::Cause::Unknown(_) => Cause::Unknown,
        attach::Cause::Broken => Cause::Broken,
        attach::Cause::Silent => Cause::Silent,
        attach::Cause::Altered => Cause::Altered,
        attach::Cause::Malformed => Cause::Malformed,
        attach::Cause::NoWelcome => Cause::NoWelcome,
        attach::Cause::NoTransport => Cause::NoTransport,
        attach::Cause::TimedOut => Cause::TimedOut,
        attach::Cause::Control => Cause::Control,
    }
}

fn told(told: Told, a: impl Into<f64>) -> Reply {
    Reply {
        a: a.into(),
        ..Reply::number(told as u8)
    }
}

/// The same with an attempt, which is below 2^53, or a count.
#[allow(clippy::cast_precision_loss)]
fn of(row: Told, number: u64) -> Reply {
    told(row, number as f64)
}
