//! One [`RTCPeerConnection`](https://www.w3.org/TR/webrtc/) and its two data channels, as `docs/protocol.md`
//! has them for a direct path.
//!
//! | id | label | ordered | retransmits |
//! |---|---|---|---|
//! | 0 | `peersox.v1` | yes | all |
//! | 1 | `peersox.v1.datagrams` | no | 0 |
//!
//! Both are negotiated beforehand, so that nothing announces them. A message is one frame. Workers have no
//! `RTCPeerConnection`.

mod configuration;
mod connection;
mod stats;

pub use configuration::{Configuration, IceServer, Policy};
pub use connection::{Connection, Events};
pub use stats::Pair;

use bytes::Bytes;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_name = RTCPeerConnection)]
    static CLASS: Option<JsValue>;
}

/// Whether there is WebRTC here. Workers have none, and some browsers have it turned off.
pub fn is_available() -> bool {
    CLASS.with(Option::is_some)
}

/// What a connection tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A candidate of this side, for the other side. The end of candidates is not told.
    Candidate(Candidate),
    /// The connection is in another state.
    State(State),
    /// The reliable channel takes frames now.
    Open,
    /// The reliable channel is closed, for good.
    Closed,
    /// Little waits in the reliable channel: at most 64 KiB, after it was more.
    Room,
    /// A message of either channel. One of text comes as one without bytes.
    Frame(Bytes),
}

/// An ICE candidate (RFC 8839), as signals carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The candidate attribute.
    pub candidate: String,
    /// The media stream identification tag; empty if unknown.
    pub sdp_mid: String,
    /// The index of the media description, starting at zero.
    pub sdp_mline_index: u16,
    /// The ICE user name fragment; empty if unknown.
    pub username_fragment: String,
}

/// `RTCPeerConnectionState`: the worst of ICE and DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing began yet.
    New,
    /// ICE looks for a way, or DTLS shakes hands.
    Connecting,
    /// There is a way.
    Connected,
    /// No answers come. It may mend itself.
    Disconnected,
    /// No way was found, or the one that was there is lost. An ICE restart may find another.
    Failed,
    /// Somebody closed this side.
    Closed,
}

/// What a description is (RFC 8829).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first one, or one that begins another negotiation.
    Offer,
    /// The reply to an offer.
    Answer,
}
