//! Channels by the handles that the facade knows, and messages put together from chunks.

use bytes::Bytes;
use peersox_core::channel::{
    Assembler, ChannelId, Chunk, Message, Mux, Priority, ResetCode, SendError, Unfit,
};
use wasm_bindgen::prelude::*;

use crate::failure::Failure;

#[wasm_bindgen]
extern "C" {
    type Uint8Array;
    /// A copy of the bytes.
    #[wasm_bindgen(constructor)]
    fn new(bytes: &[u8]) -> Uint8Array;
}

/// Which handle is which channel.
pub(crate) struct Desk {
    next: u32,
    /// A few hundred at most, and the machine's own bound holds for those that are alive.
    entries: Vec<Entry>,
    max_message: usize,
}

struct Entry {
    handle: u32,
    id: ChannelId,
    /// The peer that had it was restarted.
    orphaned: bool,
    assembler: Assembler,
}

impl Desk {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            next: 0,
            entries: Vec::new(),
            max_message,
        }
    }

    pub(crate) fn open(
        &mut self,
        mux: &mut Mux,
        name: &str,
        priority: Priority,
    ) -> Result<u32, Failure> {
        let id = mux
            .open(name, priority)
            .map_err(|error| Failure::new("busy", error.text()))?;
        Ok(self.enter(id))
    }

    /// The channel of a handle, as long as the facade knows it.
    pub(crate) fn id(&self, handle: u32) -> Result<ChannelId, Failure> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|it| it.handle == handle);
        Ok(entry.ok_or_else(gone)?.id)
    }

    /// Sends a whole message; false if there is no room.
    pub(crate) fn send(&self, mux: &mut Mux, handle: u32, chunk: Chunk) -> Result<bool, Failure> {
        match mux.try_send(self.id(handle)?, chunk) {
            Ok(()) => Ok(true),
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// Sends a datagram; false if it was dropped.
    pub(crate) fn send_datagram(
        &self,
        mux: &mut Mux,
        handle: u32,
        payload: &Bytes,
    ) -> Result<bool, Failure> {
        match mux.try_send_datagram(self.id(handle)?, payload) {
            Ok(()) => Ok(true),
            Err(SendError::Full | SendError::NoPath) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// The next whole message, if it is there.
    pub(crate) fn read(&mut self, mux: &mut Mux, handle: u32) -> Result<Option<Message>, Failure> {
        let mut entries = self.entries.iter_mut();
        let entry = entries.find(|it| it.handle == handle).ok_or_else(gone)?;
        while let Some(chunk) = mux.read(entry.id) {
            let unfit = match entry.assembler.push(chunk) {
                Ok(None) => continue,
                Ok(message) => return Ok(message),
                Err(unfit) => unfit,
            };
            let (code, text) = match unfit {
                Unfit::TooLarge(limit) => (
                    ResetCode::TOO_LARGE,
                    format!("a message of more than {limit} bytes came"),
                ),
                Unfit::NotUtf8 => (ResetCode::MALFORMED, "a text message is no text".into()),
            };
            mux.reset(entry.id, code);
            return Err(Failure::new("channel-reset", &text));
        }
        Ok(None)
    }

    /// The facade will not use the handle again.
    pub(crate) fn forget(&mut self, handle: u32) {
        self.entries.retain(|it| it.handle != handle);
    }

    /// Every channel is gone with the process that the peer was: those that were not before.
    pub(crate) fn orphans(&mut self) -> Vec<u32> {
        let entries = self.entries.iter_mut();
        let fresh = entries.filter_map(|it| {
            let known = std::mem::replace(&mut it.orphaned, true);
            (!known).then_some(it.handle)
        });
        fresh.collect()
    }

    pub(crate) fn handle(&self, id: ChannelId) -> Option<u32> {
        let entry = self.entries.iter().find(|it| it.id == id)?;
        Some(entry.handle)
    }

    pub(crate) fn enter(&mut self, id: ChannelId) -> u32 {
        let handle = self.next;
        self.next += 1;
        let assembler = Assembler::new(self.max_message);
        self.entries.push(Entry {
            handle,
            id,
            orphaned: false,
            assembler,
        });
        handle
    }
}

/// A message as JavaScript has it.
pub(crate) fn value(message: Message) -> JsValue {
    match message {
        Message::Text(text) => text.into(),
        Message::Binary(bytes) => Uint8Array::new(&bytes).into(),
    }
}

pub(crate) fn failure(error: SendError) -> Failure {
    let code = match error {
        SendError::Full => "busy",
        SendError::Gone => "channel-reset",
        SendError::Finished | SendError::KindChanged => "closed",
        SendError::TooLarge => "too-large",
        SendError::NoPath => "no-path",
    };
    Failure::new(code, error.text())
}

fn gone() -> Failure {
    failure(SendError::Gone)
}
