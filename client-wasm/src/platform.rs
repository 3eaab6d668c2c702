//! What the browser gives: time, randomness, timers.

use std::time::Duration;

use js_sys::Function;
use peersox_core::time::Moment;
use rand_core::{CryptoRng, Error, RngCore};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, millis: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// The present moment; its origin is that of the page.
pub(crate) fn now() -> Moment {
    Moment::from_origin(Duration::from_secs_f64(performance_now().max(0.0) / 1e3))
}

/// A span in milliseconds, as JavaScript counts.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
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

/// One timer that is set again and again.
pub(crate) struct Timer {
    callback: Closure<dyn FnMut()>,
    armed: Option<(JsValue, Moment)>,
}

impl Timer {
    pub(crate) fn new(callback: impl FnMut() + 'static) -> Self {
        Self {
            callback: Closure::new(callback),
            armed: None,
        }
    }

    /// Makes it ring at `at`, or a little earlier if it was set so; never later.
    pub(crate) fn arm(&mut self, at: Moment, now: Moment) {
        if self.armed.as_ref().is_some_and(|(_, armed)| *armed <= at) {
            return;
        }
        self.disarm();
        // A timer beyond 2^31 ms rings at once; a minute early costs nothing.
        let wait = millis(at.saturating_since(now)).clamp(0.0, 60_000.0).ceil();
        let id = set_timeout(self.callback.as_ref().unchecked_ref(), wait);
        self.armed = Some((id, at));
    }

    /// Notes that it rang.
    pub(crate) fn rang(&mut self) {
        self.armed = None;
    }

    pub(crate) fn disarm(&mut self) {
        if let Some((id, _)) = self.armed.take() {
            clear_timeout(&id);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}
