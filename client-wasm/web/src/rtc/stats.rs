use std::time::Duration;

use js_sys::{Map, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// The pair of candidates in use, out of [`RTCStatsReport`](https://www.w3.org/TR/webrtc-stats/).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The type of this side's candidate: `host`, `srflx`, `prflx` or `relay`.
    pub local_candidate: Option<String>,
    /// The type of the other side's.
    pub remote_candidate: Option<String>,
    /// `udp` or `tcp`.
    pub protocol: Option<String>,
    /// The last round trip that a STUN request measured.
    pub round_trip: Option<Duration>,
}

impl Pair {
    /// None if no pair is in use.
    pub(super) fn of(report: JsValue) -> Option<Self> {
        // It is no `Map`, but has all that one has for reading (Web IDL, maplike).
        let report: Map = report.unchecked_into();
        let mut named = None;
        let mut selected = None;
        report.for_each(&mut |it, _| match text(&it, "type").as_deref() {
            Some("transport") => named = text(&it, "selectedCandidatePairId").or(named.take()),
            // Firefox has no selected pair in its transport.
            Some("candidate-pair") if is_selected(&it) => selected = Some(it),
            _ => {}
        });
        let find = |id: String| Some(report.get(&id.into())).filter(JsValue::is_object);
        let pair = named.and_then(find).or(selected)?;
        let candidate = |name| text(&pair, name).and_then(find).unwrap_or_default();
        let local = candidate("localCandidateId");
        let remote = candidate("remoteCandidateId");
        let seconds = get(&pair, "currentRoundTripTime").as_f64();
        Some(Self {
            local_candidate: text(&local, "candidateType"),
            remote_candidate: text(&remote, "candidateType"),
            protocol: text(&local, "protocol"),
            round_trip: seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()),
        })
    }
}

fn is_selected(pair: &JsValue) -> bool {
    get(pair, "selected").is_truthy()
        || get(pair, "nominated").is_truthy() && text(pair, "state").as_deref() == Some("succeeded")
}

fn text(it: &JsValue, name: &str) -> Option<String> {
    get(it, name).as_string()
}

/// Undefined if `it` has no such property, or can have none.
fn get(it: &JsValue, name: &str) -> JsValue {
    Reflect::get(it, &name.into()).unwrap_or_default()
}
