//! ChaCha20 (RFC 8439, section 2.3) in the vector instructions of WebAssembly, as the construction of
//! RustCrypto takes a cipher.
//!
//! ```text
//!              lane 0    lane 1    lane 2    lane 3
//! word 0       block n   block n+1 block n+2 block n+3
//! …
//! word 15      block n   block n+1 block n+2 block n+3
//! ```
//!
//! A vector holds one word of four blocks, so that the rounds are those of the RFC, word by word. Each
//! instruction takes the same time for all keys and texts. The state is copied for each call, and no copy is
//! erased.

use cipher::consts::{U4, U12, U32, U64};
use cipher::{
    Block, BlockSizeUser, Iv, IvSizeUser, Key, KeyIvInit, KeySizeUser, ParBlocks,
    ParBlocksSizeUser, StreamBackend, StreamCipherCore, StreamCipherCoreWrapper,
    StreamCipherSeekCore, StreamClosure,
};

use crate::lanes::Lanes;

/// The key stream, byte by byte.
pub(crate) type Stream = StreamCipherCoreWrapper<Blocks>;

/// The key stream, block by block.
pub(crate) struct Blocks {
    /// The constant, the key, the number of the next block, the nonce.
    state: [u32; 16],
}

const COUNTER: usize = 12;

impl Blocks {
    /// Writes the next blocks, four at most, and moves on.
    #[inline(always)]
    fn write(&mut self, blocks: &mut [Block<Self>]) {
        let mut start = self.state.map(Lanes::splat);
        start[COUNTER] = start[COUNTER].plus(Lanes::new([0, 1, 2, 3]));
        let mut x = start;
        for _ in 0..10 {
            quarter(&mut x, 0, 4, 8, 12);
            quarter(&mut x, 1, 5, 9, 13);
            quarter(&mut x, 2, 6, 10, 14);
            quarter(&mut x, 3, 7, 11, 15);
            quarter(&mut x, 0, 5, 10, 15);
            quarter(&mut x, 1, 6, 11, 12);
            quarter(&mut x, 2, 7, 8, 13);
            quarter(&mut x, 3, 4, 9, 14);
        }
        for (at, (word, start)) in x.into_iter().zip(start).enumerate() {
            for (block, word) in blocks.iter_mut().zip(word.plus(start).words()) {
                block[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        for _ in blocks {
            self.state[COUNTER] = self.state[COUNTER].wrapping_add(1);
        }
    }
}

/// Section 2.1 of the RFC, for four blocks.
#[inline(always)]
fn quarter(x: &mut [Lanes; 16], a: usize, b: usize, c: usize, d: usize) {
    x[a] = x[a].plus(x[b]);
    x[d] = x[d].xor(x[a]).rotated::<16>();
    x[c] = x[c].plus(x[d]);
    x[b] = x[b].xor(x[c]).rotated::<12>();
    x[a] = x[a].plus(x[b]);
    x[d] = x[d].xor(x[a]).rotated::<8>();
    x[c] = x[c].plus(x[d]);
    x[b] = x[b].xor(x[c]).rotated::<7>();
}

impl KeySizeUser for Blocks {
    type KeySize = U32;
}

impl IvSizeUser for Blocks {
    type IvSize = U12;
}

impl KeyIvInit for Blocks {
    fn new(key: &Key<Self>, nonce: &Iv<Self>) -> Self {
        let mut state = [0; 16];
        // "expand 32-byte k"
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        let words = |bytes: &[[u8; 4]], to: &mut [u32]| {
            for (word, bytes) in to.iter_mut().zip(bytes) {
                *word = u32::from_le_bytes(*bytes);
            }
        };
        words(key.as_chunks().0, &mut state[4..COUNTER]);
        words(nonce.as_chunks().0, &mut state[COUNTER + 1..]);
        Self { state }
    }
}

impl BlockSizeUser for Blocks {
    type BlockSize = U64;
}

impl ParBlocksSizeUser for Blocks {
    type ParBlocksSize = U4;
}

impl StreamBackend for Blocks {
    fn gen_ks_block(&mut self, block: &mut Block<Self>) {
        self.write(std::slice::from_mut(block));
    }

    #[inline(always)]
    fn gen_par_ks_blocks(&mut self, blocks: &mut ParBlocks<Self>) {
        self.write(blocks);
    }
}

impl StreamCipherCore for Blocks {
    fn remaining_blocks(&self) -> Option<usize> {
        usize::try_from(u32::MAX - self.state[COUNTER]).ok()
    }

    fn process_with_backend(&mut self, closure: impl StreamClosure<BlockSize = U64>) {
        closure.call(self);
    }
}

impl StreamCipherSeekCore for Blocks {
    type Counter = u32;

    fn get_block_pos(&self) -> u32 {
        self.state[COUNTER]
    }

    fn set_block_pos(&mut self, position: u32) {
        self.state[COUNTER] = position;
    }
}
