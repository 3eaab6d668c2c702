//! What one shell does at its endpoint, written down step by step for a replay.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::words;
use crate::channel::{ChannelId, Chunk, Kind, Mux, OpenError, Priority, ResetCode, SendError};
use crate::time::Moment;

/// The steps of one process of one peer: `[microseconds, call, result]`.
#[derive(Default)]
pub(super) struct Record {
    pub(super) who: usize,
    pub(super) steps: Vec<Value>,
    bytes: usize,
    /// The process that is recorded is gone, or the record is long enough.
    pub(super) is_over: bool,
}

impl Record {
    pub(super) fn new(who: usize) -> Self {
        Self {
            who,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, now: Moment, call: &Value, result: &Value) {
        if self.is_over {
            return;
        }
        let step = json!([words::micros(now.since_origin()), call, result]);
        self.bytes += step.to_string().len();
        self.steps.push(step);
        self.is_over = self.bytes > MOST_BYTES;
    }

    /// The shell asks for an action, or for a frame. What it asks at one moment in a row makes one step.
    pub(super) fn poll(&mut self, now: Moment, what: &Value, result: &Value) {
        let at = words::micros(now.since_origin());
        match self.steps.last_mut() {
            Some(last) if last[0] == at && last[1] == "poll" && !self.is_over => {
                if let Some(polls) = last[2].as_array_mut() {
                    let poll = json!([what, result]);
                    self.bytes += poll.to_string().len();
                    polls.push(poll);
                }
            }
            _ => self.note(now, &json!("poll"), &json!([[what, result]])),
        }
    }
}

/// Where a record ends, so that the file of all stays small.
const MOST_BYTES: usize = 45_000;

/// The channels of an endpoint, with each call written down.
pub(super) struct Tap<'a> {
    pub(super) mux: &'a mut Mux,
    pub(super) now: Moment,
    pub(super) record: Option<&'a mut Record>,
}

impl Tap<'_> {
    fn note(&mut self, call: &Value, result: &Value) {
        if let Some(record) = &mut self.record {
            record.note(self.now, call, result);
        }
    }

    pub(super) fn open(&mut self, name: &str, priority: Priority) -> Result<ChannelId, OpenError> {
        let opened = self.mux.open(name, priority);
        let call = json!({ "do": "open", "name": name, "priority": priority as u8 });
        self.note(&call, &json!(opened.ok().map(ChannelId::to_bits)));
        opened
    }

    pub(super) fn try_send(&mut self, id: ChannelId, chunk: Chunk) -> Result<(), SendError> {
        let call = json!({
            "do": "send",
            "channel": id.to_bits(),
            "text": chunk.kind == Kind::Text,
            "last": chunk.last,
            "bytes": HEXLOWER.encode(&chunk.bytes),
        });
        let sent = self.mux.try_send(id, chunk);
        self.note(&call, &done(sent));
        sent
    }

    pub(super) fn try_send_datagram(
        &mut self,
        id: ChannelId,
        payload: &Bytes,
    ) -> Result<(), SendError> {
        let (channel, bytes) = (id.to_bits(), HEXLOWER.encode(payload));
        let call = json!({ "do": "send-datagram", "channel": channel, "bytes": bytes });
        let sent = self.mux.try_send_datagram(id, payload);
        self.note(&call, &done(sent));
        sent
    }

    pub(super) fn finish(&mut self, id: ChannelId) -> Result<(), SendError> {
        let finished = self.mux.finish(id);
        let call = json!({ "do": "finish", "channel": id.to_bits() });
        self.note(&call, &done(finished));
        finished
    }

    pub(super) fn reset(&mut self, id: ChannelId, code: ResetCode) {
        self.mux.reset(id, code);
        let call = json!({ "do": "reset", "channel": id.to_bits(), "code": code.0 });
        self.note(&call, &Value::Null);
    }

    pub(super) fn ping(&mut self) {
        self.mux.ping();
        self.note(&json!({ "do": "ping" }), &Value::Null);
    }

    pub(super) fn read(&mut self, id: ChannelId) -> Option<Chunk> {
        let chunk = self.mux.read(id);
        let call = json!({ "do": "read", "channel": id.to_bits() });
        self.note(&call, &read(chunk.as_ref()));
        chunk
    }

    pub(super) fn read_datagram(&mut self, id: ChannelId) -> Option<Bytes> {
        let datagram = self.mux.read_datagram(id);
        let call = json!({ "do": "read-datagram", "channel": id.to_bits() });
        let hex = datagram.as_ref().map(|it| HEXLOWER.encode(it));
        self.note(&call, &json!(hex));
        datagram
    }
}

/// `null`, or the name of what went wrong.
pub(super) fn done(sent: Result<(), SendError>) -> Value {
    json!(sent.err().map(|error| match error {
        SendError::Full => "full",
        SendError::Gone => "gone",
        SendError::Finished => "finished",
        SendError::KindChanged => "kind-changed",
        SendError::TooLarge => "too-large",
        SendError::NoPath => "no-path",
    }))
}

pub(super) fn read(chunk: Option<&Chunk>) -> Value {
    json!(chunk.map(|chunk| json!({
        "text": chunk.kind == Kind::Text,
        "last": chunk.last,
        "bytes": HEXLOWER.encode(&chunk.bytes),
    })))
}
