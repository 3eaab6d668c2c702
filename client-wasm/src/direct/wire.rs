//! One `RTCPeerConnection` and its two data channels.
//!
//! Both are negotiated beforehand, so that they need no announcement: number 0, `peersox.v1`, is
//! reliable and ordered; number 1, `peersox.v1.datagrams`, is neither. A message is one frame.

use std::rc::Weak;

use js_sys::{Array, Function, Promise, Reflect};
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1;
use wasm_bindgen::prelude::*;
use web_sys::{
    MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcDataChannelState,
    RtcDataChannelType, RtcIceCandidate, RtcIceCandidateInit, RtcOfferOptions, RtcPeerConnection,
    RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
    RtcSignalingState,
};

use crate::failure::object;
use crate::leg::bytes;
use crate::shell::{Inner, Shell};

/// Dropping it closes the connection.
pub(super) struct Wire {
    connection: RtcPeerConnection,
    reliable: RtcDataChannel,
    datagrams: RtcDataChannel,
    /// Called by the browser as long as this is here.
    _callbacks: [Closure<dyn Fn(JsValue)>; 4],
    _ignore: Closure<dyn FnMut(JsValue)>,
}

impl Wire {
    pub(super) fn new(
        servers: &Array,
        policy: Option<&str>,
        shell: &Weak<Shell>,
        number: u64,
    ) -> Result<Self, JsValue> {
        let configuration = object(&[
            ("iceServers", servers.into()),
            ("iceTransportPolicy", policy.unwrap_or("all").into()),
        ]);
        let configuration: RtcConfiguration = configuration.unchecked_into();
        let connection = RtcPeerConnection::new_with_configuration(&configuration)?;
        let reliable = channel(&connection, "peersox.v1", 0, true);
        let datagrams = channel(&connection, "peersox.v1.datagrams", 1, false);
        reliable.set_buffered_amount_low_threshold(LOW_WATER);

        let on = |act: fn(&mut Inner, u64, JsValue)| {
            let shell = shell.clone();
            Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
                if let Some(shell) = shell.upgrade() {
                    shell.with(|inner| {
                        if !inner.is_over() {
                            act(inner, number, event);
                        }
                    });
                }
            })
        };
        let on_candidate = on(|inner, number, event| {
            let event: RtcPeerConnectionIceEvent = event.unchecked_into();
            // None marks the end of candidates, which trickling peers need not be told.
            if let Some(candidate) = event.candidate().filter(|it| !it.candidate().is_empty()) {
                inner.local_candidate(number, &candidate);
            }
        });
        let on_change = on(|inner, number, _| inner.connection_changed(number));
        let on_message = on(|inner, number, event| {
            let event: MessageEvent = event.unchecked_into();
            inner.direct_frame(number, bytes(&event));
        });
        // Opened, closed, or with room again: the state says which.
        let on_channel = on(|inner, number, _| inner.channel_changed(number));

        connection.set_onicecandidate(Some(function(&on_candidate)));
        connection.set_onconnectionstatechange(Some(function(&on_change)));
        reliable.set_onopen(Some(function(&on_channel)));
        reliable.set_onclose(Some(function(&on_channel)));
        reliable.set_onbufferedamountlow(Some(function(&on_channel)));
        reliable.set_onmessage(Some(function(&on_message)));
        datagrams.set_onmessage(Some(function(&on_message)));
        Ok(Self {
            connection,
            reliable,
            datagrams,
            _callbacks: [on_candidate, on_change, on_message, on_channel],
            _ignore: Closure::new(|_| {}),
        })
    }

    pub(super) fn state(&self) -> RtcPeerConnectionState {
        self.connection.connection_state()
    }

    pub(super) fn signalling(&self) -> RtcSignalingState {
        self.connection.signaling_state()
    }

    pub(super) fn has_room(&self) -> bool {
        self.reliable.buffered_amount() < HIGH_WATER
    }

    /// Sends a frame; false if the channel is closed. A datagram that cannot leave is dropped.
    pub(super) fn send(&self, frame: Frame) -> bool {
        let lane = frame.lane();
        let bytes = frame.into_bytes();
        if lane == Lane::Datagram {
            if self.datagrams.buffered_amount() < DATAGRAMS_WAITING {
                let _ = self.datagrams.send_with_u8_array(&bytes);
            }
            return true;
        }
        self.reliable.send_with_u8_array(&bytes).is_ok()
    }

    pub(super) fn create_offer(&self, restart: bool) -> Promise {
        let options = RtcOfferOptions::new();
        options.set_ice_restart(restart);
        self.connection
            .create_offer_with_rtc_offer_options(&options)
    }

    pub(super) fn create_answer(&self) -> Promise {
        self.connection.create_answer()
    }

    pub(super) fn set_local(&self, kind: RtcSdpType, sdp: &str) -> Promise {
        self.connection.set_local_description(&init(kind, sdp))
    }

    pub(super) fn set_remote(&self, kind: RtcSdpType, sdp: &str) -> Promise {
        self.connection.set_remote_description(&init(kind, sdp))
    }

    /// Adds a candidate of the other side. One that does not fit costs nothing but itself.
    pub(super) fn add(&self, candidate: &v1::IceCandidate) {
        let init = RtcIceCandidateInit::new(&candidate.candidate);
        init.set_sdp_mid(Some(&candidate.sdp_mid));
        init.set_sdp_m_line_index(u16::try_from(candidate.sdp_mline_index).ok());
        if !candidate.username_fragment.is_empty() {
            let name = JsValue::from_str("usernameFragment");
            let _ = Reflect::set(&init, &name, &candidate.username_fragment.as_str().into());
        }
        let added = self
            .connection
            .add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init));
        let _ = added.catch(&self._ignore);
    }

    pub(super) fn stats(&self) -> Promise {
        self.connection.get_stats()
    }

    fn is_open(&self) -> bool {
        self.reliable.ready_state() == RtcDataChannelState::Open
    }

    fn is_closed(&self) -> bool {
        self.reliable.ready_state() == RtcDataChannelState::Closed
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.connection.set_onicecandidate(None);
        self.connection.set_onconnectionstatechange(None);
        for channel in [&self.reliable, &self.datagrams] {
            channel.set_onopen(None);
            channel.set_onclose(None);
            channel.set_onbufferedamountlow(None);
            channel.set_onmessage(None);
        }
        self.connection.close();
    }
}

impl Inner {
    fn channel_changed(&mut self, number: u64) {
        let Some(attempt) = self.dialer.current(number) else {
            return;
        };
        if attempt.wire.is_closed() {
            let why = "the other side closed the direct connection";
            self.direct_lost(crate::platform::now(), why);
        } else if attempt.wire.is_open() {
            self.channel_open(number);
        }
    }
}

/// Whether this environment has WebRTC.
pub(super) fn is_there() -> bool {
    let global = js_sys::global();
    Reflect::has(&global, &JsValue::from_str("RTCPeerConnection")).unwrap_or(false)
}

/// The SDP of what `createOffer` or `createAnswer` resolved to.
pub(super) fn sdp(description: &JsValue) -> String {
    let sdp = Reflect::get(description, &JsValue::from_str("sdp"));
    sdp.ok().and_then(|it| it.as_string()).unwrap_or_default()
}

pub(super) fn username_fragment(candidate: &RtcIceCandidate) -> Option<String> {
    let fragment = Reflect::get(candidate, &JsValue::from_str("usernameFragment"));
    fragment.ok()?.as_string()
}

/// What an error says.
pub(super) fn message(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message"));
    message
        .ok()
        .and_then(|it| it.as_string())
        .unwrap_or_default()
}

fn channel(connection: &RtcPeerConnection, label: &str, id: u16, reliable: bool) -> RtcDataChannel {
    let options = RtcDataChannelInit::new();
    options.set_negotiated(true);
    options.set_id(id);
    options.set_ordered(reliable);
    if !reliable {
        options.set_max_retransmits(0);
    }
    let channel = connection.create_data_channel_with_data_channel_dict(label, &options);
    channel.set_binary_type(RtcDataChannelType::Arraybuffer);
    channel
}

fn init(kind: RtcSdpType, sdp: &str) -> RtcSessionDescriptionInit {
    let init = RtcSessionDescriptionInit::new(kind);
    init.set_sdp(sdp);
    init
}

fn function(closure: &Closure<dyn Fn(JsValue)>) -> &Function {
    closure.as_ref().unchecked_ref()
}

/// What waits in the browser at most. A probe waits behind it, and three seconds without an answer
/// end the path: at 1 Mbit/s this is two of them.
const HIGH_WATER: u32 = 256 << 10;

/// When to fill it up again.
const LOW_WATER: u32 = 64 << 10;

/// Datagrams that are older than that are not worth sending.
const DATAGRAMS_WAITING: u32 = 64 << 10;
