//! One endpoint of a pairing at work, as the facade sees it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use js_sys::{Array, Function, Promise, Uint8Array};
use peersox_core::channel::{Chunk, Priority, ResetCode};
use peersox_core::connect::Kind as PathKind;
use peersox_core::id::PairingId;
use peersox_core::peer::{Config, Peer as Machine, Proof};
use peersox_core::role::Role;
use peersox_core::secure::PairingSecret;
use wasm_bindgen::prelude::*;

use crate::code;
use crate::desk::{Desk, value};
use crate::direct::{Dialer, Mode};
use crate::failure::{Failure, object};
use crate::links::{AGENT, Links};
use crate::platform::{Random, millis, now};
use crate::shell::Shell;

#[wasm_bindgen]
extern "C" {
    /// What a peer is made of; `js/src/engine.ts` has the same fields.
    pub type Options;
    #[wasm_bindgen(method, getter)]
    fn server(this: &Options) -> String;
    #[wasm_bindgen(method, getter)]
    fn id(this: &Options) -> Vec<u8>;
    #[wasm_bindgen(method, getter)]
    fn initiator(this: &Options) -> bool;
    #[wasm_bindgen(method, getter)]
    fn credential(this: &Options) -> Vec<u8>;
    #[wasm_bindgen(method, getter)]
    fn code(this: &Options) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn secret(this: &Options) -> Option<Vec<u8>>;
    #[wasm_bindgen(method, getter)]
    fn name(this: &Options) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn webrtc(this: &Options) -> u8;
    #[wasm_bindgen(method, getter, js_name = iceServers)]
    fn ice_servers(this: &Options) -> Option<Array>;
    #[wasm_bindgen(method, getter, js_name = icePolicy)]
    fn ice_policy(this: &Options) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = maxMessage)]
    fn max_message(this: &Options) -> u32;
}

/// See the module.
#[wasm_bindgen]
pub struct Peer {
    shell: Rc<Shell>,
}

#[wasm_bindgen]
impl Peer {
    /// Makes a peer that tells `listener` what happens, and begins to attach to the relay.
    ///
    /// # Errors
    /// If the pairing is none.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::needless_pass_by_value)]
    pub fn new(options: &Options, listener: Function) -> Result<Self, JsValue> {
        let role = match options.initiator() {
            true => Role::Initiator,
            false => Role::Joiner,
        };
        let no_pairing = |what| Failure::new("pairing-invalid", what);
        let id = PairingId::try_from(&options.id()[..])
            .map_err(|_| no_pairing("this is no pairing: its id is not 32 hex digits"))?;
        let typed;
        let proof = match (options.secret(), options.code()) {
            (Some(secret), _) => {
                let secret = PairingSecret::try_from(&secret[..])
                    .map_err(|_| no_pairing("this is no pairing: its secret is not 32 bytes"))?;
                Proof::Secret(secret)
            }
            (None, Some(code)) => {
                typed = code::parse(&code)?.canonical();
                Proof::Code(typed.as_bytes())
            }
            (None, None) => {
                return Err(no_pairing("the pairing has neither a secret nor a code").into());
            }
        };
        let hello = options.name().unwrap_or_else(|| AGENT.into());
        let config = Config::default();
        let machine = Machine::new(
            config,
            role,
            id,
            proof,
            Bytes::from(hello),
            now(),
            &mut Random,
        );
        let mode = match options.webrtc() {
            0 => Mode::Off,
            1 => Mode::Manual,
            _ => Mode::Auto,
        };
        let dialer = Dialer::new(role, mode, options.ice_servers(), options.ice_policy());
        let desk = Desk::new(options.max_message() as usize);
        let links = Links::new(options.server(), options.credential().into());
        let shell = Shell::new(machine, desk, links, dialer, listener);
        shell.with(crate::shell::Inner::attach);
        Ok(Self { shell })
    }

    /// The pairing secret, once agreed.
    #[must_use]
    pub fn secret(&self) -> Option<Vec<u8>> {
        self.shell
            .look(|inner| inner.machine.secret().map(|it| it.as_bytes().to_vec()))
    }

    /// Opens a channel: 0 interactive, 1 normal, 2 bulk.
    ///
    /// # Errors
    /// A bad name, or too many channels.
    pub fn open(&self, name: &str, priority: u8) -> Result<u32, JsValue> {
        let priority = match priority {
            0 => Priority::Interactive,
            1 => Priority::Normal,
            _ => Priority::Bulk,
        };
        let opened = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.open(mux, name, priority)
        });
        Ok(opened?)
    }

    /// Sends a text message; false if there is no room, and then `Writable` follows.
    ///
    /// # Errors
    /// If the channel is gone, or the message too long.
    #[wasm_bindgen(js_name = sendText)]
    pub fn send_text(&self, handle: u32, text: String) -> Result<bool, JsValue> {
        self.send(handle, Chunk::text(text))
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = sendBytes)]
    pub fn send_bytes(&self, handle: u32, bytes: Vec<u8>) -> Result<bool, JsValue> {
        self.send(handle, Chunk::binary(bytes))
    }

    /// Sends a datagram; false if it was dropped.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = sendDatagram)]
    pub fn send_datagram(&self, handle: u32, bytes: Vec<u8>) -> Result<bool, JsValue> {
        let sent = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.send_datagram(mux, handle, &bytes.into())
        });
        Ok(sent?)
    }

    /// The next message: a string, a `Uint8Array`, or undefined.
    ///
    /// # Errors
    /// If the channel is gone, or had to be reset.
    pub fn read(&self, handle: u32) -> Result<JsValue, JsValue> {
        let read = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.read(mux, handle)
        });
        Ok(read?.map_or(JsValue::UNDEFINED, value))
    }

    /// The next datagram, or undefined.
    #[wasm_bindgen(js_name = readDatagram)]
    #[must_use]
    pub fn read_datagram(&self, handle: u32) -> Option<Uint8Array> {
        self.shell.look(|inner| {
            let id = inner.desk.id(handle).ok()?;
            let bytes = inner.machine.channels().read_datagram(id)?;
            Some(Uint8Array::from(&bytes[..]))
        })
    }

    /// Ends this side's direction.
    pub fn finish(&self, handle: u32) {
        self.shell.with(|inner| {
            if let Ok(id) = inner.desk.id(handle) {
                // A channel that is gone is finished.
                let _ = inner.machine.channels().finish(id);
            }
        });
    }

    /// Ends a channel at once.
    pub fn reset(&self, handle: u32, code: u32) {
        self.shell.with(|inner| {
            if let Ok(id) = inner.desk.id(handle) {
                inner.machine.channels().reset(id, ResetCode(code));
            }
        });
    }

    /// The handle will not be used again.
    pub fn forget(&self, handle: u32) {
        self.shell.look(|inner| inner.desk.forget(handle));
    }

    /// Bytes sent and not taken by the other side.
    #[must_use]
    pub fn pending(&self, handle: u32) -> usize {
        self.shell.look(|inner| {
            let id = inner.desk.id(handle).ok();
            let pending = id.and_then(|id| inner.machine.channels().pending(id));
            pending.unwrap_or(0)
        })
    }

    /// The longest datagram.
    #[wasm_bindgen(js_name = maxDatagram)]
    #[must_use]
    pub fn max_datagram(&self) -> usize {
        self.shell
            .look(|inner| inner.machine.channels().max_datagram())
    }

    /// Asks for `Pong`.
    pub fn ping(&self) {
        self.shell.with(|inner| inner.machine.channels().ping());
    }

    /// Looks for a direct path now; false if that is turned off or impossible here.
    #[must_use]
    pub fn upgrade(&self) -> bool {
        self.shell.with(crate::shell::Inner::upgrade)
    }

    /// The page is visible again, or online: mend what may be broken, now.
    pub fn wake(&self) {
        self.shell.with(|inner| {
            if !inner.is_over() {
                inner.wake();
                inner.mend_direct();
            }
        });
    }

    /// Numbers for `stats()`.
    #[must_use]
    pub fn stats(&self) -> JsValue {
        self.shell.look(|inner| {
            let now = now();
            let selected = inner.machine.selected();
            let direct =
                selected.filter(|path| inner.machine.kind(*path) == Some(PathKind::Direct));
            let direct_rtt = direct.and_then(|path| inner.machine.path_rtt(path));
            let channel = inner.machine.channels().stats();
            let why = direct.is_none().then(|| inner.dialer.why.clone());
            #[allow(clippy::cast_precision_loss)]
            let count = |number: u64| JsValue::from(number as f64);
            object(&[
                ("directRtt", direct_rtt.map(millis).into()),
                ("relayRtt", inner.links.rtt.map(millis).into()),
                ("receiveRate", inner.received.rate(now).into()),
                ("sendRate", inner.sent.rate(now).into()),
                ("bytesReceived", inner.received.total().into()),
                ("bytesSent", inner.sent.total().into()),
                ("replayed", count(channel.replayed)),
                ("duplicates", count(channel.duplicates)),
                (
                    "datagramsDropped",
                    count(channel.dropped_datagrams + inner.dropped),
                ),
                ("whyRelayed", why.into()),
            ])
        })
    }

    /// `RTCPeerConnection.getStats()`, while there is a connection.
    #[wasm_bindgen(js_name = rtcStats)]
    #[must_use]
    pub fn rtc_stats(&self) -> Option<Promise> {
        self.shell.look(|inner| inner.dialer.stats())
    }

    /// Says goodbye; `Ended` follows within so many milliseconds.
    pub fn close(&self, patience: u32) {
        let patience = Duration::from_millis(patience.into());
        self.shell.with(|inner| inner.close(patience));
    }

    fn send(&self, handle: u32, chunk: Chunk) -> Result<bool, JsValue> {
        let sent = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.send(mux, handle, chunk)
        });
        Ok(sent?)
    }
}

impl Drop for Peer {
    /// The facade lost it: hang up, or timers would keep it alive for ever.
    fn drop(&mut self) {
        self.shell
            .with(|inner| inner.end("closed", "dropped", JsValue::NULL));
    }
}
