//! One endpoint of a pairing, as `js/src/shell.ts` drives it.

use bytes::Bytes;
use peersox_core::channel::{self, Chunk, Priority, ResetCode};
use peersox_core::connect::{Kind as PathKind, PathId};
use peersox_core::frame::Frame;
use peersox_core::id::PairingId;
use peersox_core::peer::{Config, End, Event, Peer, Proof};
use peersox_core::role::Role;
use peersox_core::secure::{PairingSecret, State};
use wasm_bindgen::prelude::*;

use crate::code;
use crate::desk::{Desk, value};
use crate::failure::Failure;
use crate::platform::{Random, millis, now};

#[wasm_bindgen]
extern "C" {
    /// Is told what happened; it must not call back before [`Machine::poll`] has returned.
    pub type Listener;
    #[wasm_bindgen(method)]
    fn tell(this: &Listener, kind: u8, a: f64, b: f64, text: &str);
    /// A signal of the other peer; the bytes are lent.
    #[wasm_bindgen(method)]
    fn signal(this: &Listener, bytes: &[u8]);

    /// A WebSocket or a data channel.
    pub type Sink;
    /// The bytes are lent. Throws if it is closed.
    #[wasm_bindgen(method, catch)]
    fn send(this: &Sink, bytes: &[u8]) -> Result<(), JsValue>;
}

/// What happened; `js/src/engine.ts` has the same table.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Told {
    /// Fresh keys: text is the phrase, a line feed, the name of the peer.
    Secured = 0,
    /// Messages flow.
    Connected = 1,
    /// The other peer is another process than before.
    Restarted = 2,
    /// Both sides have said goodbye.
    Closed = 3,
    /// Records take path a from now on, or none (−1).
    Path = 4,
    /// A direct path is wanted.
    Dial = 5,
    /// Path a is of no use any more.
    HangUp = 6,
    /// There and back: a milliseconds.
    Pong = 7,
    /// The peer opened channel a, of priority b, named by the text.
    Opened = 8,
    /// Channel a has something to read.
    Readable = 9,
    /// Channel a has a datagram to read.
    Datagram = 10,
    /// Channel a has room.
    Writable = 11,
    /// The peer will send no more on channel a.
    Finished = 12,
    /// The peer took everything of channel a.
    Flushed = 13,
    /// Channel a is gone, for reason b; −1: with the process that the peer was.
    Reset = 14,
}

/// See the module.
#[wasm_bindgen]
pub struct Machine {
    peer: Peer,
    desk: Desk,
}

#[wasm_bindgen]
impl Machine {
    /// Makes an endpoint without a path. It proves itself with a secret of 32 bytes or, if there is
    /// none, with a code.
    ///
    /// # Errors
    /// If the pairing is none.
    #[wasm_bindgen(constructor)]
    pub fn new(
        id: &[u8],
        initiator: bool,
        secret: &[u8],
        code: &str,
        name: &str,
        max_message: usize,
    ) -> Result<Self, JsValue> {
        let role = match initiator {
            true => Role::Initiator,
            false => Role::Joiner,
        };
        let no_pairing = |what| Failure::new("pairing-invalid", what);
        let id = PairingId::try_from(id)
            .map_err(|_| no_pairing("this is no pairing: its id is not 32 hex digits"))?;
        let typed;
        let proof = if !secret.is_empty() {
            let secret = PairingSecret::try_from(secret)
                .map_err(|_| no_pairing("this is no pairing: its secret is not 32 bytes"))?;
            Proof::Secret(secret)
        } else if code.is_empty() {
            return Err(no_pairing("the pairing has neither a secret nor a code").into());
        } else {
            typed = code::parse(code)?.canonical();
            Proof::Code(typed.as_bytes())
        };
        let hello = Bytes::copy_from_slice(name.as_bytes());
        let config = Config::default();
        Ok(Self {
            peer: Peer::new(config, role, id, proof, hello, now(), &mut Random),
            desk: Desk::new(max_message),
        })
    }

    /// The pairing secret, once agreed.
    #[must_use]
    pub fn secret(&self) -> Option<Vec<u8>> {
        self.peer.secret().map(|it| it.as_bytes().to_vec())
    }

    /// Whether there are keys.
    #[must_use]
    pub fn secured(&self) -> bool {
        self.peer.state() == State::Secured
    }

    /// A path to the other peer was made; gives its number.
    #[wasm_bindgen(js_name = pathUp)]
    pub fn path_up(&mut self, direct: bool) -> u32 {
        let kind = match direct {
            true => PathKind::Direct,
            false => PathKind::Relay,
        };
        self.peer.path_up(kind, now(), &mut Random).number()
    }

    /// A path ended.
    #[wasm_bindgen(js_name = pathDown)]
    pub fn path_down(&mut self, path: u32) {
        self.peer.path_down(PathId::from_number(path), now());
    }

    /// A direct path that was wanted could not be made.
    #[wasm_bindgen(js_name = dialFailed)]
    pub fn dial_failed(&mut self) {
        self.peer.dial_failed(now());
    }

    /// How long the latest probe of a path took, in milliseconds.
    #[must_use]
    pub fn rtt(&self, path: u32) -> Option<f64> {
        self.peer.path_rtt(PathId::from_number(path)).map(millis)
    }

    /// Takes a frame of the other peer.
    ///
    /// # Errors
    /// If it is over: `code-mismatch`, `tampered` or `protocol`. What is no frame is ignored.
    pub fn take(&mut self, path: u32, frame: Vec<u8>) -> Result<(), JsValue> {
        let Ok(frame) = Frame::parse(frame.into()) else {
            return Ok(());
        };
        let path = PathId::from_number(path);
        let taken = self.peer.handle_frame(path, frame, now(), &mut Random);
        taken.map_err(|end| {
            let code = match end {
                End::Burnt(_) => "code-mismatch",
                End::Broken(_) => "protocol",
                End::Tampered => "tampered",
            };
            Failure::new(code, &end.to_string()).into()
        })
    }

    /// Sends the next frame for a path that has room, if there is one; gives its length, or 0.
    ///
    /// # Errors
    /// What the sink throws.
    pub fn transmit(&mut self, path: u32, sink: &Sink) -> Result<usize, JsValue> {
        let path = PathId::from_number(path);
        let Some(frame) = self.peer.poll_transmit(path, now()) else {
            return Ok(0);
        };
        let frame = frame.into_bytes();
        sink.send(&frame)?;
        Ok(frame.len())
    }

    /// Tells everything that has happened.
    pub fn poll(&mut self, listener: &Listener) {
        while let Some(event) = self.peer.poll_event() {
            self.hear(event, listener);
        }
    }

    /// When to call [`Machine::ring`], in milliseconds as `performance.now()` counts.
    #[must_use]
    pub fn timeout(&self) -> f64 {
        millis(self.peer.poll_timeout().since_origin())
    }

    /// Time has passed.
    pub fn ring(&mut self) {
        let now = now();
        if self.peer.poll_timeout() <= now {
            self.peer.handle_timeout(now, &mut Random);
        }
    }

    /// Seals a signal for the other peer and sends it over the relay; lost without keys or a relay.
    pub fn signal(&mut self, signal: &[u8]) {
        // The attempt that it belongs to then runs out.
        let _ = self.peer.send_signal(signal);
    }

    /// Opens a channel: 0 interactive, 1 normal, 2 bulk.
    ///
    /// # Errors
    /// A bad name, or too many channels.
    pub fn open(&mut self, name: &str, priority: u8) -> Result<u32, JsValue> {
        let priority = match priority {
            0 => Priority::Interactive,
            1 => Priority::Normal,
            _ => Priority::Bulk,
        };
        Ok(self.desk.open(self.peer.channels(), name, priority)?)
    }

    /// Sends a text message; false if there is no room, and then `Writable` follows.
    ///
    /// # Errors
    /// If the channel is gone, or the message too long.
    #[wasm_bindgen(js_name = sendText)]
    pub fn send_text(&mut self, handle: u32, text: String) -> Result<bool, JsValue> {
        self.send(handle, Chunk::text(text))
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = sendBytes)]
    pub fn send_bytes(&mut self, handle: u32, bytes: Vec<u8>) -> Result<bool, JsValue> {
        self.send(handle, Chunk::binary(bytes))
    }

    /// Sends a datagram; false if it was dropped.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = sendDatagram)]
    pub fn send_datagram(&mut self, handle: u32, bytes: Vec<u8>) -> Result<bool, JsValue> {
        let mux = self.peer.channels();
        Ok(self.desk.send_datagram(mux, handle, &bytes.into())?)
    }

    /// The next message: a string, a `Uint8Array`, or undefined.
    ///
    /// # Errors
    /// If the channel is gone, or had to be reset.
    pub fn read(&mut self, handle: u32) -> Result<JsValue, JsValue> {
        let read = self.desk.read(self.peer.channels(), handle)?;
        Ok(read.map_or(JsValue::UNDEFINED, value))
    }

    /// The next datagram, or undefined.
    #[wasm_bindgen(js_name = readDatagram)]
    pub fn read_datagram(&mut self, handle: u32) -> Option<Vec<u8>> {
        let id = self.desk.id(handle).ok()?;
        self.peer.channels().read_datagram(id).map(Vec::from)
    }

    /// Ends this side's direction.
    pub fn finish(&mut self, handle: u32) {
        if let Ok(id) = self.desk.id(handle) {
            // A channel that is gone is finished.
            let _ = self.peer.channels().finish(id);
        }
    }

    /// Ends a channel at once.
    pub fn reset(&mut self, handle: u32, code: u32) {
        if let Ok(id) = self.desk.id(handle) {
            self.peer.channels().reset(id, ResetCode(code));
        }
    }

    /// The handle will not be used again.
    pub fn forget(&mut self, handle: u32) {
        self.desk.forget(handle);
    }

    /// Bytes sent and not taken by the other side.
    pub fn pending(&mut self, handle: u32) -> usize {
        let id = self.desk.id(handle).ok();
        let pending = id.and_then(|id| self.peer.channels().pending(id));
        pending.unwrap_or(0)
    }

    /// The longest datagram.
    #[wasm_bindgen(js_name = maxDatagram)]
    pub fn max_datagram(&mut self) -> usize {
        self.peer.channels().max_datagram()
    }

    /// Asks for `Pong`.
    pub fn ping(&mut self) {
        self.peer.channels().ping();
    }

    /// Says goodbye on every path.
    pub fn close(&mut self) {
        self.peer.channels().close();
    }

    /// Records sent again, taken twice, datagrams dropped.
    pub fn counts(&mut self) -> Vec<u32> {
        let stats = self.peer.channels().stats();
        let counts = [stats.replayed, stats.duplicates, stats.dropped_datagrams];
        counts
            .map(|it| u32::try_from(it).unwrap_or(u32::MAX))
            .into()
    }
}

impl Machine {
    fn send(&mut self, handle: u32, chunk: Chunk) -> Result<bool, JsValue> {
        Ok(self.desk.send(self.peer.channels(), handle, chunk)?)
    }

    fn hear(&mut self, event: Event, listener: &Listener) {
        let tell = |told: Told, a| listener.tell(told as u8, a, 0.0, "");
        match event {
            Event::Channel(event) => self.hear_channel(event, listener),
            Event::Secured { sas, hello } => {
                let name = String::from_utf8_lossy(&hello);
                let text = [&sas.to_string()[..], "\n", &name].concat();
                listener.tell(Told::Secured as u8, 0.0, 0.0, &text);
            }
            Event::Path(path) => tell(Told::Path, path.map_or(-1.0, |it| it.number().into())),
            Event::Signal(signal) => listener.signal(&signal),
            Event::Dial => tell(Told::Dial, 0.0),
            Event::HangUp(path) => tell(Told::HangUp, path.number().into()),
        }
    }

    fn hear_channel(&mut self, event: channel::Event, listener: &Listener) {
        let tell = |told: Told, a| listener.tell(told as u8, a, 0.0, "");
        let (told, id) = match event {
            channel::Event::Connected => return tell(Told::Connected, 0.0),
            channel::Event::Pong(rtt) => return tell(Told::Pong, millis(rtt)),
            channel::Event::Closed { .. } => return tell(Told::Closed, 0.0),
            channel::Event::PeerRestarted => {
                tell(Told::Restarted, 0.0);
                for handle in self.desk.orphans() {
                    listener.tell(Told::Reset as u8, handle.into(), -1.0, "");
                }
                return;
            }
            channel::Event::Opened {
                channel,
                name,
                priority,
            } => {
                let handle = self.desk.enter(channel);
                let priority = f64::from(priority as u8);
                return listener.tell(Told::Opened as u8, handle.into(), priority, &name);
            }
            channel::Event::Reset { channel, code } => {
                if let Some(handle) = self.desk.handle(channel) {
                    listener.tell(Told::Reset as u8, handle.into(), code.0.into(), "");
                }
                return;
            }
            channel::Event::Readable(id) => (Told::Readable, id),
            channel::Event::DatagramReadable(id) => (Told::Datagram, id),
            channel::Event::Writable(id) => (Told::Writable, id),
            channel::Event::Finished(id) => (Told::Finished, id),
            channel::Event::Flushed(id) => (Told::Flushed, id),
        };
        if let Some(handle) = self.desk.handle(id) {
            tell(told, handle.into());
        }
    }
}
