//! What the facade is told: a number and up to three values.
//!
//! `js/src/engine.ts` has the same table.

use std::collections::VecDeque;

use js_sys::Function;
use wasm_bindgen::JsValue;

/// What happened.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A leg is up: resumed.
    Attached = 0,
    /// A leg was lost: why, close number or null, milliseconds to the next attempt or null.
    LegLost = 1,
    /// The other peer is attached to the relay.
    PeerOnline = 2,
    /// The other peer is not attached: grace in milliseconds or null.
    PeerAway = 3,
    /// Fresh keys: phrase, name of the peer.
    Secured = 4,
    /// Messages flow.
    Connected = 5,
    /// The other peer is another process than before.
    Restarted = 6,
    /// The path: 0 none, 1 relay, 2 direct; round trip in milliseconds or null.
    Path = 7,
    /// The peer opened a channel: handle, name, priority.
    Opened = 8,
    /// A channel has something to read: handle.
    Readable = 9,
    /// A channel has a datagram to read: handle.
    Datagram = 10,
    /// A channel has room: handle.
    Writable = 11,
    /// The peer will send no more: handle.
    Finished = 12,
    /// The peer took everything: handle.
    Flushed = 13,
    /// A channel is gone: handle, code or null.
    Reset = 14,
    /// There and back: milliseconds.
    Pong = 15,
    /// No direct path could be made: why.
    DialFailed = 16,
    /// It is over: reason, message.
    Ended = 17,
}

/// Waits until the machine is given back.
#[derive(Default)]
pub(crate) struct Outbox(VecDeque<(Kind, [JsValue; 3])>);

impl Outbox {
    pub(crate) fn push(&mut self, kind: Kind, values: [JsValue; 3]) {
        self.0.push_back((kind, values));
    }

    pub(crate) fn say(&mut self, kind: Kind) {
        self.push(kind, [JsValue::NULL, JsValue::NULL, JsValue::NULL]);
    }

    pub(crate) fn tell(&mut self, kind: Kind, value: impl Into<JsValue>) {
        self.push(kind, [value.into(), JsValue::NULL, JsValue::NULL]);
    }

    pub(crate) fn pop(&mut self) -> Option<(Kind, [JsValue; 3])> {
        self.0.pop_front()
    }
}

/// Tells one thing. The facade's function does not throw; if it did, that would be its own affair.
pub(crate) fn call(listener: &Function, (kind, [a, b, c]): (Kind, [JsValue; 3])) {
    let _ = listener.call4(&JsValue::NULL, &(kind as u8).into(), &a, &b, &c);
}
