//! Small messages, sent together.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use super::super::message::{self, BATCH_BYTES, BATCH_MESSAGES, BATCHED_BYTES};

/// Messages to send, and small ones that wait for more of their kind.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Bytes>,
    batch: Vec<Bytes>,
    batch_bytes: usize,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.messages.pop_front()
    }

    /// Sends a message after all that is there.
    pub(super) fn push(&mut self, message: Bytes) {
        self.flush();
        self.messages.push_back(message);
    }

    /// Sends a message together with others if it is small and the other side takes batches.
    pub(super) fn push_batched(&mut self, message: Bytes, batches: bool) {
        if !batches || message.len() > BATCHED_BYTES {
            return self.push(message);
        }
        self.batch_bytes += message.len() + 4;
        self.batch.push(message);
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() == BATCH_MESSAGES {
            self.flush();
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        self.batch_bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        match batch.len() {
            0 => {}
            1 => self.messages.extend(batch.pop()),
            _ => {
                let batch = v1::TransferBatch { messages: batch };
                self.messages
                    .push_back(message::encode(Message::Batch(batch)));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
