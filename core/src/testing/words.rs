//! Calls and results of an endpoint as JSON, in words that another language can read: names are those of the
//! variants in kebab-case, times are whole microseconds, bytes are hexadecimal, channels are the 64 bits of
//! their id.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::attach::{Cause, Ended, Transports};
use crate::channel;
use crate::close::CloseReason;
use crate::connect::Kind;
use crate::direct;
use crate::endpoint::{Action, End, Event, Input, Way};
use crate::time::Moment;

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// When to wake up, rounded up; `null` for never.
pub(super) fn moment(at: Moment) -> Value {
    match at {
        Moment::NEVER => Value::Null,
        at => json!(u64::try_from(at.since_origin().as_nanos().div_ceil(1_000)).unwrap_or(0)),
    }
}

pub(super) fn way(way: Way) -> Value {
    match way {
        Way::Leg(leg) => json!({ "leg": leg.number() }),
        Way::Direct(attempt) => json!({ "attempt": attempt }),
    }
}

pub(super) fn transports(set: Transports) -> Value {
    let all = crate::attach::Transport::ALL.into_iter();
    let numbers: Vec<u8> = all
        .filter(|it| set.has(*it))
        .map(|it| it.number())
        .collect();
    json!(numbers)
}

pub(super) fn input(input: &Input) -> Value {
    match input {
        Input::SessionOpened {
            call,
            session,
            outlives,
        } => json!({
            "do": "session-opened",
            "call": call,
            "offered": transports(session.offered),
            "ticket": session.ticket,
            "outlives": outlives.map(micros),
        }),
        Input::SessionFailed {
            call,
            is_final,
            retry_after,
        } => json!({
            "do": "session-failed",
            "call": call,
            "is-final": is_final,
            "retry-after": retry_after.map(micros),
        }),
        Input::LegConnected(leg) => json!({ "do": "leg-connected", "leg": leg.number() }),
        Input::LegEnded(leg, ended) => {
            let number = match ended {
                Ended::Closed(number) => Some(number),
                Ended::Broken => None,
            };
            json!({ "do": "leg-ended", "leg": leg.number(), "number": number })
        }
        Input::Waiting(leg, waits) => {
            json!({ "do": "waiting", "leg": leg.number(), "waits": waits })
        }
        Input::Direct(attempt, input) => {
            let mut value = report(input);
            value["attempt"] = json!(attempt);
            value
        }
        Input::Wake(slept) => json!({ "do": "wake", "slept": micros(*slept) }),
        Input::Close(patience) => json!({ "do": "close", "patience": micros(*patience) }),
        Input::Timeout => json!({ "do": "timeout" }),
    }
}

fn report(input: &direct::Input) -> Value {
    match input {
        direct::Input::Described(it) => {
            json!({ "do": "described", "type": it.r#type, "sdp": it.sdp })
        }
        direct::Input::Accepted => json!({ "do": "accepted" }),
        direct::Input::Candidate(it) => json!({ "do": "candidate", "candidate": it.candidate }),
        direct::Input::Changed(connection, channel) => json!({
            "do": "changed",
            "connection": format!("{connection:?}").to_lowercase(),
            "channel": format!("{channel:?}").to_lowercase(),
        }),
        direct::Input::Failed => json!({ "do": "failed" }),
    }
}

pub(super) fn action(action: &Action) -> Value {
    match action {
        Action::OpenSession { call, unreached } => {
            json!({ "do": "open-session", "call": call, "unreached": unreached })
        }
        Action::Connect(leg, transport) => {
            json!({ "do": "connect", "leg": leg.number(), "transport": transport.number() })
        }
        Action::HangUp(leg, reason) => {
            let number = reason.map(CloseReason::number);
            json!({ "do": "hang-up", "leg": leg.number(), "number": number })
        }
        Action::Make(attempt, _) => json!({ "do": "make", "attempt": attempt }),
        Action::Offer(attempt, restart) => {
            json!({ "do": "offer", "attempt": attempt, "restart": restart })
        }
        Action::Accept(attempt, it) => {
            json!({ "do": "accept", "attempt": attempt, "type": it.r#type, "sdp": it.sdp })
        }
        Action::Answer(attempt) => json!({ "do": "answer", "attempt": attempt }),
        Action::Add(attempt, it) => {
            json!({ "do": "add", "attempt": attempt, "candidate": it.candidate })
        }
        Action::Drop(attempt) => json!({ "do": "drop", "attempt": attempt }),
        Action::Tell(event) => json!({ "do": "tell", "event": told(event) }),
        Action::End(end) => json!({ "do": "end", "end": ended(*end) }),
    }
}

fn told(event: &Event) -> Value {
    match event {
        Event::Attached {
            transport,
            resumed,
            peer_online,
        } => json!({
            "name": "attached",
            "transport": transport.number(),
            "resumed": resumed,
            "peer-online": peer_online,
        }),
        Event::LegLost {
            cause: why,
            retry_in,
        } => {
            json!({ "name": "leg-lost", "cause": cause(*why), "retry-in": retry_in.map(micros) })
        }
        Event::AttemptFailed {
            cause: why,
            retry_in,
        } => {
            json!({ "name": "attempt-failed", "cause": cause(*why), "retry-in": micros(*retry_in) })
        }
        Event::PeerOnline => json!({ "name": "peer-online" }),
        Event::CodeUsed => json!({ "name": "code-used" }),
        Event::PeerAway(grace) => json!({ "name": "peer-away", "grace": micros(*grace) }),
        Event::Draining(grace) => json!({ "name": "draining", "grace": micros(*grace) }),
        Event::DatagramsDropped(count) => json!({ "name": "datagrams-dropped", "count": count }),
        Event::RelayRtt(rtt) => json!({ "name": "relay-rtt", "rtt": micros(*rtt) }),
        Event::Secured { sas, hello } => json!({
            "name": "secured",
            "sas": sas.words().join("-"),
            "hello": HEXLOWER.encode(hello),
        }),
        Event::Channel(event) => of_channel(event),
        Event::Path(kind) => {
            let kind = kind.map(|kind| match kind {
                Kind::Direct => "direct",
                Kind::Relay => "relay",
            });
            json!({ "name": "path", "kind": kind })
        }
        Event::DirectFailed(why) => json!({ "name": "direct-failed", "why": *why as u8 }),
    }
}

fn of_channel(event: &channel::Event) -> Value {
    use channel::Event as It;
    match event {
        It::Connected => json!({ "name": "connected" }),
        It::PeerRestarted => json!({ "name": "peer-restarted" }),
        It::Opened {
            channel,
            name,
            priority,
        } => json!({
            "name": "opened",
            "channel": channel.to_bits(),
            "label": name,
            "priority": *priority as u8,
        }),
        It::Readable(channel) => json!({ "name": "readable", "channel": channel.to_bits() }),
        It::DatagramReadable(channel) => {
            json!({ "name": "datagram-readable", "channel": channel.to_bits() })
        }
        It::Writable(channel) => json!({ "name": "writable", "channel": channel.to_bits() }),
        It::Finished(channel) => json!({ "name": "finished", "channel": channel.to_bits() }),
        It::Flushed(channel) => json!({ "name": "flushed", "channel": channel.to_bits() }),
        It::Reset { channel, code } => {
            json!({ "name": "reset", "channel": channel.to_bits(), "code": code.0 })
        }
        It::Pong(rtt) => json!({ "name": "pong", "rtt": micros(*rtt) }),
        It::Closed { flushed } => json!({ "name": "closed", "flushed": flushed }),
    }
}

fn cause(cause: Cause) -> Value {
    let name = match cause {
        Cause::HungUp(_) => "hung-up",
        Cause::Unknown(_) => "unknown",
        Cause::Broken => "broken",
        Cause::Silent => "silent",
        Cause::Altered => "altered",
        Cause::Malformed => "malformed",
        Cause::NoWelcome => "no-welcome",
        Cause::NoTransport => "no-transport",
        Cause::TimedOut => "timed-out",
        Cause::Control => "control",
    };
    json!({ "name": name, "number": cause.number() })
}

fn ended(end: End) -> Value {
    match end {
        End::Closed { flushed } => json!({ "name": "closed", "flushed": flushed }),
        End::PeerClosed => json!({ "name": "peer-closed" }),
        End::HungUp(reason) => json!({ "name": "hung-up", "number": reason.number() }),
        End::Peer(why) => json!({ "name": "peer", "text": why.to_string() }),
        End::Refused => json!({ "name": "refused" }),
        End::NoLeg(why) => json!({ "name": "no-leg", "cause": cause(why) }),
    }
}
