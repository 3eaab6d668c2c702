//! Four numbers of 32 bits in one vector. WebAssembly has instructions for them; elsewhere plain arrays stand
//! in, so that the tests of every machine run what is built on them.

#[cfg(target_family = "wasm")]
pub(crate) use vector::Lanes;

#[cfg(not(target_family = "wasm"))]
pub(crate) use array::Lanes;

#[cfg(target_family = "wasm")]
mod vector {
    use core::arch::wasm32::{
        i8x16_shuffle, i32x4_add, u32x4, u32x4_extract_lane, u32x4_shl, u32x4_shr, u32x4_splat,
        v128, v128_or, v128_xor,
    };

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes(v128);

    impl Lanes {
        #[inline(always)]
        pub(crate) fn new([a, b, c, d]: [u32; 4]) -> Self {
            Self(u32x4(a, b, c, d))
        }

        #[inline(always)]
        pub(crate) fn splat(word: u32) -> Self {
            Self(u32x4_splat(word))
        }

        #[inline(always)]
        pub(crate) fn words(self) -> [u32; 4] {
            [
                u32x4_extract_lane::<0>(self.0),
                u32x4_extract_lane::<1>(self.0),
                u32x4_extract_lane::<2>(self.0),
                u32x4_extract_lane::<3>(self.0),
            ]
        }

        #[inline(always)]
        pub(crate) fn plus(self, other: Self) -> Self {
            Self(i32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        /// Each word rotated to the left. Whole bytes are moved by one instruction.
        #[inline(always)]
        pub(crate) fn rotated<const BITS: u32>(self) -> Self {
            let v = self.0;
            Self(match BITS {
                16 => i8x16_shuffle::<2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13>(v, v),
                8 => i8x16_shuffle::<3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14>(v, v),
                _ => v128_or(u32x4_shl(v, BITS), u32x4_shr(v, 32 - BITS)),
            })
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod array {
    #[derive(Clone, Copy)]
    pub(crate) struct Lanes([u32; 4]);

    impl Lanes {
        pub(crate) fn new(words: [u32; 4]) -> Self {
            Self(words)
        }

        pub(crate) fn splat(word: u32) -> Self {
            Self([word; 4])
        }

        pub(crate) fn words(self) -> [u32; 4] {
            self.0
        }

        pub(crate) fn plus(self, other: Self) -> Self {
            Self(std::array::from_fn(|at| {
                self.0[at].wrapping_add(other.0[at])
            }))
        }

        pub(crate) fn xor(self, other: Self) -> Self {
            Self(std::array::from_fn(|at| self.0[at] ^ other.0[at]))
        }

        pub(crate) fn rotated<const BITS: u32>(self) -> Self {
            Self(self.0.map(|word| word.rotate_left(BITS)))
        }
    }
}
