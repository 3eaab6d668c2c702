//! The page's clock, and timers by it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    // Workers have them as well, and in Node the handle is an object.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, millis: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(handle: &JsValue);
}

/// The time since the page (or the worker) started, in milliseconds: `performance.now()`.
///
/// It never goes back, whatever happens to the system's clock. Browsers round it, to a tenth of a
/// millisecond or worse; on some systems it stands still while the machine sleeps, which
/// [`Wakes`](crate::wake::Wakes) tells.
pub fn now() -> f64 {
    performance_now()
}

/// A future that is ready once `span` is over, never earlier by [`now`]. Dropping it cancels the timer.
///
/// Browsers ring late in pages that nobody sees: after a second, or after a minute.
pub fn sleep(span: Duration) -> Sleep {
    Sleep {
        until: now() + span.as_secs_f64() * 1e3,
        armed: None,
    }
}

/// See [`sleep`].
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    /// In milliseconds of [`now`].
    until: f64,
    armed: Option<Armed>,
}

impl Sleep {
    fn is_over(&self) -> bool {
        now() >= self.until
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over() {
            self.armed = None;
            return Poll::Ready(());
        }
        match &self.armed {
            Some(armed) if !armed.rang() => armed.waker.set(Some(context.waker().clone())),
            // Not armed yet, or it rang early: a timer takes whole milliseconds, and not too many of them.
            Some(_) | None => {
                let left = (self.until - now()).ceil().clamp(1.0, LONGEST);
                self.armed = Some(Armed::new(left, context.waker().clone()));
            }
        }
        Poll::Pending
    }
}

/// Milliseconds: a browser takes a longer timer for one of 0 ms.
const LONGEST: f64 = i32::MAX as f64;

/// A timer of the browser, with what it calls.
struct Armed {
    handle: JsValue,
    /// None once it rang.
    waker: Rc<Cell<Option<Waker>>>,
    _ring: Closure<dyn FnMut()>,
}

impl Armed {
    fn new(millis: f64, waker: Waker) -> Self {
        let waker = Rc::new(Cell::new(Some(waker)));
        let rings = Rc::clone(&waker);
        let ring = Closure::new(move || {
            if let Some(waker) = rings.take() {
                waker.wake();
            }
        });
        Self {
            handle: set_timeout(ring.as_ref().unchecked_ref(), millis),
            waker,
            _ring: ring,
        }
    }

    fn rang(&self) -> bool {
        let waker = self.waker.take();
        let rang = waker.is_none();
        self.waker.set(waker);
        rang
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // Before its callback is gone.
        clear_timeout(&self.handle);
    }
}
