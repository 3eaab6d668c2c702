//! Random bytes for keys, by [`crypto.getRandomValues`][spec].
//!
//! [spec]: https://www.w3.org/TR/webcrypto-2/#Crypto-method-getRandomValues

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(bytes: &mut [u8]) -> Result<(), JsValue>;
}

/// Fills `bytes` with random ones that are good for keys. Pages and workers have them; any length is fine.
///
/// # Panics
///
/// If there is no `crypto`. Every browser with WebAssembly has it, on insecure pages, too.
pub fn fill(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(AT_ONCE) {
        // A key made of anything else would be no secret.
        get_random_values(part).expect("a browser has random bytes");
    }
}

/// Bytes: more at once is a `QuotaExceededError`.
const AT_ONCE: usize = 65_536;
