use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use js_sys::futures::JsFuture;
use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{
    MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcDataChannelState,
    RtcDataChannelType, RtcIceCandidateInit, RtcOfferOptions, RtcPeerConnection,
    RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::{Candidate, Configuration, Event, Kind, Pair, State};
use crate::Failure;
use crate::notify::Notify;
use crate::queue::{Receiver, Sender, queue};
use crate::socket::binary;

/// See the module. Dropping it closes the connection; nothing more is told then.
///
/// Its futures do not borrow it. Those that wait when it is closed fail with `InvalidStateError`.
pub struct Connection {
    peer: RtcPeerConnection,
    reliable: RtcDataChannel,
    datagrams: RtcDataChannel,
    closed: Rc<Closed>,
    /// The browser calls them until it is told not to, which happens before they are gone.
    _callbacks: Callbacks,
}

impl Connection {
    /// Makes a connection that waits for its first description.
    ///
    /// # Errors
    ///
    /// What the browser throws: `SyntaxError` for the URL of a server that it does not take, another one if
    /// there are too many connections, and `ReferenceError` where there is no WebRTC.
    pub fn new(configuration: &Configuration) -> Result<(Self, Events), Failure> {
        let peer = RtcPeerConnection::new_with_configuration(&configuration.into())?;
        let reliable = channel(&peer, "peersox.v1", 0, |_| {});
        let datagrams = channel(&peer, "peersox.v1.datagrams", 1, |init| {
            init.set_ordered(false);
            init.set_max_retransmits(0);
        });
        reliable.set_buffered_amount_low_threshold(LOW_WATER);
        let (news, came) = queue();
        let connection = Self {
            _callbacks: Callbacks::new(&peer, &reliable, &datagrams, &news),
            peer,
            reliable,
            datagrams,
            closed: Rc::default(),
        };
        Ok((connection, Events(came)))
    }

    /// Makes an offer, in SDP (RFC 8829); with other ICE credentials if `ice_restart`.
    ///
    /// # Errors
    ///
    /// What the browser rejects with.
    pub fn create_offer(
        &self,
        ice_restart: bool,
    ) -> impl Future<Output = Result<String, Failure>> + use<> {
        let options = RtcOfferOptions::new();
        options.set_ice_restart(ice_restart);
        let offer = self.until_closed(self.peer.create_offer_with_rtc_offer_options(&options));
        async move { sdp(&offer.await?) }
    }

    /// Makes an answer to the remote offer, in SDP.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` if there is no remote offer.
    pub fn create_answer(&self) -> impl Future<Output = Result<String, Failure>> + use<> {
        let answer = self.until_closed(self.peer.create_answer());
        async move { sdp(&answer.await?) }
    }

    /// Takes a description that this side made. Candidates are gathered from now on.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` for one that does not fit what was said before, `InvalidModificationError` for
    /// one that was changed.
    pub fn set_local(
        &self,
        kind: Kind,
        sdp: &str,
    ) -> impl Future<Output = Result<(), Failure>> + use<> {
        let set = self.peer.set_local_description(&description(kind, sdp));
        let set = self.until_closed(set);
        async move { set.await.map(drop) }
    }

    /// Takes a description of the other side.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` for one that does not fit what was said before, `OperationError` or
    /// `InvalidAccessError` for one that the browser does not understand.
    pub fn set_remote(
        &self,
        kind: Kind,
        sdp: &str,
    ) -> impl Future<Output = Result<(), Failure>> + use<> {
        let set = self.peer.set_remote_description(&description(kind, sdp));
        let set = self.until_closed(set);
        async move { set.await.map(drop) }
    }

    /// Takes a candidate of the other side.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` before there is a remote description, `OperationError` for one that does not fit
    /// it. The connection goes on without the candidate.
    pub fn add_candidate(
        &self,
        it: &Candidate,
    ) -> impl Future<Output = Result<(), Failure>> + use<> {
        let init = RtcIceCandidateInit::new(&it.candidate);
        init.set_sdp_mid(Some(&it.sdp_mid));
        init.set_sdp_m_line_index(Some(it.sdp_mline_index));
        if !it.username_fragment.is_empty() {
            // web-sys has no setter for it. Setting a property of a plain object does not fail.
            let _ = Reflect::set(
                &init,
                &"usernameFragment".into(),
                &(&it.username_fragment).into(),
            );
        }
        let peer = &self.peer;
        let added = peer.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init));
        let added = self.until_closed(added);
        async move { added.await.map(drop) }
    }

    /// Gives other servers to the connection, for candidates that it gathers from the next description on.
    ///
    /// # Errors
    ///
    /// As [`Connection::new`].
    pub fn set_configuration(&self, configuration: &Configuration) -> Result<(), Failure> {
        let configuration: RtcConfiguration = configuration.into();
        Ok(self
            .peer
            .set_configuration_with_configuration(&configuration)?)
    }

    /// The state of the connection now.
    pub fn state(&self) -> State {
        state(&self.peer)
    }

    /// Whether the reliable channel takes frames.
    pub fn is_open(&self) -> bool {
        self.reliable.ready_state() == RtcDataChannelState::Open
    }

    /// Sends a frame over the reliable channel. The browser copies it: at most 65,536 bytes, so that every
    /// other side takes it. Look at [`Connection::has_room`] before.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` if the channel is not open, `TypeError` if the frame is too long for the other
    /// side, `OperationError` if too much waits: 16 MiB in Chromium.
    pub fn send(&self, frame: &[u8]) -> Result<(), Failure> {
        Ok(self.reliable.send_with_u8_array(frame)?)
    }

    /// Sends a frame over the channel of datagrams. The browser copies it.
    ///
    /// False if it was dropped: the channel is not open, or takes no frame as long, or 64 KiB wait in it,
    /// behind which a datagram would be too late.
    pub fn send_datagram(&self, frame: &[u8]) -> bool {
        let channel = &self.datagrams;
        channel.ready_state() == RtcDataChannelState::Open
            && channel.buffered_amount() < DATAGRAMS_WAITING
            && channel.send_with_u8_array(frame).is_ok()
    }

    /// Bytes that wait in the browser to leave over the reliable channel.
    pub fn buffered_amount(&self) -> u32 {
        self.reliable.buffered_amount()
    }

    /// Whether less than 256 KiB wait. If not, [`Event::Room`] tells when there is room again.
    pub fn has_room(&self) -> bool {
        self.buffered_amount() < HIGH_WATER
    }

    /// The pair of candidates in use; none if there is none yet.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` if the connection is closed.
    pub fn pair(&self) -> impl Future<Output = Result<Option<Pair>, Failure>> + use<> {
        let stats = self.until_closed(self.peer.get_stats());
        async move { Ok(Pair::of(stats.await?)) }
    }

    /// A browser leaves promises of a closed connection unsettled.
    fn until_closed(
        &self,
        promise: Promise,
    ) -> impl Future<Output = Result<JsValue, Failure>> + use<> {
        let closed = Rc::clone(&self.closed);
        async move {
            let mut promise = pin!(JsFuture::from(promise));
            poll_fn(|context| {
                if closed.is_closed.get() {
                    return Poll::Ready(Err(Failure::closed()));
                }
                closed.notify.register(context);
                promise.as_mut().poll(context).map_err(Failure::from)
            })
            .await
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.set_onicecandidate(None);
        self.peer.set_onconnectionstatechange(None);
        self.reliable.set_onopen(None);
        self.reliable.set_onclose(None);
        self.reliable.set_onbufferedamountlow(None);
        self.reliable.set_onmessage(None);
        self.datagrams.set_onmessage(None);
        self.peer.close();
        self.closed.is_closed.set(true);
        self.closed.notify.notify();
    }
}

/// What a [`Connection`] tells, in order. Dropping it drops what comes, and keeps the connection.
pub struct Events(Receiver<Event>);

impl Events {
    /// The next event. Dropping the future loses nothing.
    ///
    /// Events wait here without a bound: a browser has no way to make the other side wait. After the
    /// connection is dropped nothing comes.
    pub async fn next(&mut self) -> Event {
        self.0.next().await
    }

    /// An event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_next()
    }
}

/// Bytes that wait in the browser at most. A probe waits behind it, and three seconds without an answer end
/// the path: at 1 Mbit/s this is two of them.
const HIGH_WATER: u32 = 256 << 10;

/// Bytes: when to fill it up again.
const LOW_WATER: u32 = 64 << 10;

/// Bytes. Datagrams that are older than that are not worth sending.
const DATAGRAMS_WAITING: u32 = 64 << 10;

#[derive(Default)]
struct Closed {
    is_closed: Cell<bool>,
    notify: Notify,
}

/// They own nothing of the connection, so that nothing owns itself in a circle.
struct Callbacks {
    _candidate: Closure<dyn FnMut(RtcPeerConnectionIceEvent)>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _changed: [Closure<dyn FnMut()>; 4],
}

impl Callbacks {
    fn new(
        peer: &RtcPeerConnection,
        reliable: &RtcDataChannel,
        datagrams: &RtcDataChannel,
        news: &Sender<Event>,
    ) -> Self {
        let told = news.clone();
        let candidate = Closure::<dyn FnMut(_)>::new(move |event: RtcPeerConnectionIceEvent| {
            if let Some(candidate) = candidate(&event) {
                told.push(Event::Candidate(candidate));
            }
        });
        peer.set_onicecandidate(Some(candidate.as_ref().unchecked_ref()));
        let told = news.clone();
        let message = Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
            told.push(Event::Frame(binary(&event)));
        });
        for channel in [reliable, datagrams] {
            channel.set_onmessage(Some(message.as_ref().unchecked_ref()));
        }
        let (told, connection) = (news.clone(), peer.clone());
        let changed =
            Closure::<dyn FnMut()>::new(move || told.push(Event::State(state(&connection))));
        let tells = |event: Event| {
            let told = news.clone();
            Closure::<dyn FnMut()>::new(move || told.push(event.clone()))
        };
        let (open, closed, room) = (tells(Event::Open), tells(Event::Closed), tells(Event::Room));
        peer.set_onconnectionstatechange(Some(changed.as_ref().unchecked_ref()));
        reliable.set_onopen(Some(open.as_ref().unchecked_ref()));
        reliable.set_onclose(Some(closed.as_ref().unchecked_ref()));
        reliable.set_onbufferedamountlow(Some(room.as_ref().unchecked_ref()));
        Self {
            _candidate: candidate,
            _message: message,
            _changed: [changed, open, closed, room],
        }
    }
}

fn channel(
    peer: &RtcPeerConnection,
    label: &str,
    id: u16,
    set: impl FnOnce(&RtcDataChannelInit),
) -> RtcDataChannel {
    let init = RtcDataChannelInit::new();
    init.set_negotiated(true);
    init.set_id(id);
    set(&init);
    let channel = peer.create_data_channel_with_data_channel_dict(label, &init);
    channel.set_binary_type(RtcDataChannelType::Arraybuffer);
    channel
}

/// None marks the end of candidates, which trickling peers need not be told.
fn candidate(event: &RtcPeerConnectionIceEvent) -> Option<Candidate> {
    let it = event.candidate()?;
    let candidate = it.candidate();
    // web-sys has no getter for it.
    let fragment = Reflect::get(&it, &"usernameFragment".into()).ok();
    (!candidate.is_empty()).then(|| Candidate {
        candidate,
        sdp_mid: it.sdp_mid().unwrap_or_default(),
        sdp_mline_index: it.sdp_m_line_index().unwrap_or_default(),
        username_fragment: fragment.and_then(|it| it.as_string()).unwrap_or_default(),
    })
}

fn description(kind: Kind, sdp: &str) -> RtcSessionDescriptionInit {
    let description = RtcSessionDescriptionInit::new(match kind {
        Kind::Offer => RtcSdpType::Offer,
        Kind::Answer => RtcSdpType::Answer,
    });
    description.set_sdp(sdp);
    description
}

fn sdp(description: &JsValue) -> Result<String, Failure> {
    let sdp = Reflect::get(description, &"sdp".into())?;
    Ok(sdp.as_string().unwrap_or_default())
}

fn state(peer: &RtcPeerConnection) -> State {
    match peer.connection_state() {
        RtcPeerConnectionState::Connecting => State::Connecting,
        RtcPeerConnectionState::Connected => State::Connected,
        RtcPeerConnectionState::Disconnected => State::Disconnected,
        RtcPeerConnectionState::Failed => State::Failed,
        RtcPeerConnectionState::Closed => State::Closed,
        // The enumeration of web-sys is open; the browser's is not.
        RtcPeerConnectionState::New | _ => State::New,
    }
}
