//! ChaCha20 by rust-bitcoin, as the construction of RustCrypto takes a cipher. It copies the key for each
//! call and erases no copy.

use chacha20_poly1305::chacha20::{ChaCha20, Key, Nonce};
use cipher::consts::{U1, U12, U32, U64};
use cipher::{
    Block, BlockSizeUser, Iv, IvSizeUser, Key as KeyBytes, KeyIvInit, KeySizeUser,
    ParBlocksSizeUser, StreamBackend, StreamCipherCore, StreamCipherCoreWrapper,
    StreamCipherSeekCore, StreamClosure,
};

/// The key stream, byte by byte.
pub(crate) type Stream = StreamCipherCoreWrapper<Blocks>;

/// The key stream, block by block.
pub(crate) struct Blocks {
    cipher: ChaCha20,
    next: u32,
}

impl KeySizeUser for Blocks {
    type KeySize = U32;
}

impl IvSizeUser for Blocks {
    type IvSize = U12;
}

impl KeyIvInit for Blocks {
    fn new(key: &KeyBytes<Self>, nonce: &Iv<Self>) -> Self {
        let (key, nonce) = (Key::new((*key).into()), Nonce::new((*nonce).into()));
        Self {
            cipher: ChaCha20::new_from_block(key, nonce, 0),
            next: 0,
        }
    }
}

impl BlockSizeUser for Blocks {
    type BlockSize = U64;
}

impl ParBlocksSizeUser for Blocks {
    type ParBlocksSize = U1;
}

impl StreamBackend for Blocks {
    #[inline(always)]
    fn gen_ks_block(&mut self, block: &mut Block<Self>) {
        *block = self.cipher.get_keystream(self.next).into();
        self.next = self.next.wrapping_add(1);
    }
}

impl StreamCipherCore for Blocks {
    fn remaining_blocks(&self) -> Option<usize> {
        usize::try_from(u32::MAX - self.next).ok()
    }

    fn process_with_backend(&mut self, closure: impl StreamClosure<BlockSize = U64>) {
        closure.call(self);
    }
}

impl StreamCipherSeekCore for Blocks {
    type Counter = u32;

    fn get_block_pos(&self) -> u32 {
        self.next
    }

    fn set_block_pos(&mut self, position: u32) {
        self.next = position;
    }
}
