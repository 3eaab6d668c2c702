//! What the browser gives: randomness, and time as it counts.

use std::time::Duration;

use peersox_core::time::Moment;
use rand_core::{CryptoRng, Error, RngCore};
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};
use wasm_bindgen::prelude::*;

use crate::call::whole;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

/// A fifth of the size of the standard one, and as fast here, where one thread allocates frames and lists.
#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

/// A moment that JavaScript gave as `performance.now()`; its origin is that of the page.
pub(crate) fn moment(now: f64) -> Moment {
    Moment::from_origin(Duration::from_micros(whole(now * 1e3 + 0.5)))
}

/// `crypto.getRandomValues`.
pub(crate) struct Random;

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        // The API takes no more at once.
        for part in bytes.chunks_mut(65_536) {
            get_random_values(part);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Random {}
