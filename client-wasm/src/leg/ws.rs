//! A leg over a WebSocket: one binary message is one frame.

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::News;
use crate::failure::Failure;

pub(crate) struct Leg {
    socket: WebSocket,
    _on_open: Closure<dyn Fn()>,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_close: Closure<dyn Fn(CloseEvent)>,
}

impl Leg {
    pub(super) fn connect(
        url: &str,
        tell: impl Fn(News) + Clone + 'static,
    ) -> Result<Self, Failure> {
        let socket = WebSocket::new_with_str(url, SUBPROTOCOL)
            .map_err(|_| Failure::unreachable(format!("the relay's address is no good: {url}")))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on_open = {
            let tell = tell.clone();
            Closure::<dyn Fn()>::new(move || tell(News::Open))
        };
        let on_message = {
            let tell = tell.clone();
            Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
                tell(News::Frame(bytes(&event)));
            })
        };
        let on_close = Closure::<dyn Fn(CloseEvent)>::new(move |event: CloseEvent| {
            // 1006 says that nobody said anything.
            let code = Some(event.code()).filter(|code| *code != 1006);
            tell(News::Closed(code, event.reason()));
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self {
            socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        })
    }

    pub(super) fn has_room(&self) -> bool {
        self.socket.buffered_amount() < HIGH_WATER
    }

    pub(super) fn is_drained(&self) -> bool {
        self.socket.buffered_amount() == 0
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        // Fails only before it is open, when nobody sends, and after it is closed, which is told.
        let _ = self.socket.send_with_u8_array(bytes);
    }

    pub(super) fn hang_up(self, number: u16) {
        let _ = self.socket.close_with_code(number);
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // A second close changes nothing.
        let _ = self.socket.close();
    }
}

/// The bytes of a message; none for text, which no relay sends and the caller refuses.
pub(crate) fn bytes(event: &MessageEvent) -> Bytes {
    match event.data().dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Uint8Array::new(&buffer).to_vec().into(),
        Err(_) => Bytes::new(),
    }
}

const SUBPROTOCOL: &str = "peersox.v1";

/// A browser takes what it is given; this bounds what waits in it. Enough for 20 ms at 50 MB/s.
const HIGH_WATER: u32 = 1 << 20;
