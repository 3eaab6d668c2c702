//! When a page comes back: a person looks at it again, the network is there again, or it leaves the
//! browser's cache of pages.

use std::time::Duration;

use js_sys::{Date, Function};
use wasm_bindgen::prelude::*;
use web_sys::{Document, EventTarget, VisibilityState};

use crate::queue::{Receiver, queue};
use crate::time;

#[wasm_bindgen]
extern "C" {
    /// Workers have none.
    #[wasm_bindgen(thread_local_v2, js_name = document)]
    static DOCUMENT: Option<Document>;
}

/// Tells each time that the page comes back. Dropping it ends the listening.
pub struct Wakes {
    came: Receiver<()>,
    listened: Vec<(EventTarget, &'static str)>,
    heard: Closure<dyn FnMut()>,
    clocks: Clocks,
}

impl Wakes {
    /// Begins to listen: to `visibilitychange` of the document, and to `online` and `pageshow`.
    ///
    /// A worker has no document and no `pageshow`: it hears `online` only.
    #[allow(clippy::new_without_default, reason = "it begins something")]
    pub fn new() -> Self {
        let (news, came) = queue();
        let document = DOCUMENT.with(Option::clone);
        let page = document.clone();
        let heard = Closure::new(move || {
            let state = page.as_ref().map(Document::visibility_state);
            if state != Some(VisibilityState::Hidden) {
                news.push(());
            }
        });
        let scope: EventTarget = js_sys::global().unchecked_into();
        let mut listened = vec![(scope.clone(), "online"), (scope, "pageshow")];
        if let Some(document) = document {
            listened.push((document.into(), "visibilitychange"));
        }
        let callback: &Function = heard.as_ref().unchecked_ref();
        // Where nobody tells, as in Node, nothing is heard.
        listened.retain(|(target, name)| {
            target
                .add_event_listener_with_callback(name, callback)
                .is_ok()
        });
        Self {
            came,
            listened,
            heard,
            clocks: Clocks::read(),
        }
    }

    /// Waits until the page comes back, and says for how long its clock stood still since the last time
    /// that somebody asked, or since the start.
    ///
    /// That is by how much more the system's clock (`Date.now()`) went on than [`time::now`]. Somebody
    /// who sets the system's clock forward makes it look like sleep; zero if it was set back. Dropping
    /// the future loses nothing.
    pub async fn next(&mut self) -> Duration {
        self.came.next().await;
        // Looking at a page that slept causes several events at once.
        while self.came.try_next().is_some() {}
        let before = std::mem::replace(&mut self.clocks, Clocks::read());
        self.clocks.slept_since(&before)
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let callback: &Function = self.heard.as_ref().unchecked_ref();
        for (target, name) in &self.listened {
            // It fails for what is not there only, and was not added then.
            let _ = target.remove_event_listener_with_callback(name, callback);
        }
    }
}

/// In milliseconds.
struct Clocks {
    system: f64,
    page: f64,
}

impl Clocks {
    fn read() -> Self {
        Self {
            system: Date::now(),
            page: time::now(),
        }
    }

    fn slept_since(&self, before: &Self) -> Duration {
        let millis = (self.system - before.system) - (self.page - before.page);
        Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
    }
}
