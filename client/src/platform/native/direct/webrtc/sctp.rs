//! The association of SCTP with its two channels (RFC 8831), without a socket and without a clock.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use peersox_core::frame::{Frame, Lane};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Error,
    Event, Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
    Transmit, TransportConfig,
};

pub(super) struct Sctp {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    state: State,
    /// What was read before the other side broke the association off.
    read: VecDeque<Bytes>,
    /// Packets that were made and not asked for.
    packets: std::vec::IntoIter<Bytes>,
    /// The channel that is read first, in turns.
    next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The association, or its channels, are not there yet.
    Opening,
    /// Frames flow.
    Open,
    /// The other side closed it, or a channel.
    Closed,
}

impl Sctp {
    /// Of packets that hold so many bytes at most.
    pub(super) fn new(largest_packet: u32) -> Self {
        let mut config = EndpointConfig::new();
        config.max_payload_size(largest_packet);
        let mut server = ServerConfig::new();
        server.transport = transport();
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            association: None,
            state: State::Opening,
            read: VecDeque::new(),
            packets: Vec::new().into_iter(),
            next: 0,
        }
    }

    /// Begins the association. Another one of the other side is not taken: whoever begins one, too, answers
    /// this (RFC 9260, section 5.2.1).
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn connect(&mut self) -> Result<(), String> {
        let mut config = ClientConfig::new();
        config.transport = transport();
        let made = self.endpoint.connect(config, NOWHERE);
        self.association = Some(made.map_err(|error| error.to_string())?);
        self.endpoint.reject_new_associations();
        Ok(())
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Takes a packet of the other side.
    pub(super) fn handle(&mut self, now: Instant, packet: Bytes) {
        for (kind, length) in chunks(&packet) {
            match kind {
                // Without data it costs memory and no window (RFC 9260, section 3.3.1 forbids it).
                DATA if length <= DATA_HEADER => return,
                // A late one would end what it began.
                INIT if self.state == State::Open => return,
                // It takes along what nobody has read.
                ABORT => {
                    while let Some(frame) = self.read_association() {
                        self.read.push_back(frame);
                    }
                }
                _ => {}
            }
        }
        let handled = self.endpoint.handle(now, NOWHERE, None, None, packet);
        match (handled, &mut self.association) {
            (Some((handle, DatagramEvent::NewAssociation(made))), it @ None) => {
                *it = Some((handle, made));
                self.endpoint.reject_new_associations();
            }
            (Some((of, DatagramEvent::AssociationEvent(event))), Some((handle, association)))
                if of == *handle =>
            {
                association.handle_event(event);
            }
            // An association that is there stays.
            _ => {}
        }
        self.advance();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.advance();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.1.poll_timeout()
    }

    /// The next packet for the other side.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        loop {
            if let Some(packet) = self.packets.next() {
                return Some(packet);
            }
            let association = self.association.as_mut();
            let made = self
                .endpoint
                .poll_transmit()
                .or_else(|| association?.1.poll_transmit(now))?;
            if let Transmit {
                payload: Payload::RawEncode(packets),
                ..
            } = made
            {
                self.packets = packets.into_iter();
            }
        }
    }

    /// How many bytes of frames wait in a channel, or were not acknowledged.
    fn waiting(&mut self, channel: u16) -> usize {
        let Some((_, association)) = &mut self.association else {
            return 0;
        };
        let stream = association.stream(channel);
        stream.map_or(0, |it| it.buffered_amount().unwrap_or(0))
    }

    /// Whether the reliable channel takes another frame.
    pub(super) fn has_room(&mut self) -> bool {
        self.state == State::Open && self.waiting(RELIABLE) < QUEUE
    }

    /// Whether everything sent has arrived.
    pub(super) fn is_idle(&mut self) -> bool {
        self.waiting(RELIABLE) == 0
    }

    /// Sends a frame. A datagram that finds many before it, or no channel, is dropped.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Error> {
        let channel = match frame.lane() {
            Lane::Datagram if self.waiting(DATAGRAMS) >= DATAGRAMS_WAITING => return Ok(()),
            Lane::Datagram => DATAGRAMS,
            _ => RELIABLE,
        };
        if let Some((_, association)) = &mut self.association {
            let mut stream = match association.stream(channel) {
                Err(_) if channel == DATAGRAMS => return Ok(()),
                stream => stream?,
            };
            stream.write_sctp(&frame.into_bytes(), PayloadProtocolIdentifier::Binary)?;
        }
        Ok(())
    }

    /// The next frame of the other side. Those that are not asked for narrow its window.
    pub(super) fn read(&mut self) -> Option<Bytes> {
        let frame = self.read.pop_front().or_else(|| self.read_association());
        if frame.is_none() {
            // The last message of a channel that was closed tells that.
            self.advance();
        }
        frame
    }

    fn read_association(&mut self) -> Option<Bytes> {
        let (_, association) = self.association.as_mut()?;
        for _ in CHANNELS {
            let channel = CHANNELS[self.next % CHANNELS.len()];
            let Some(message) = association
                .stream(channel)
                .ok()
                .and_then(|mut it| it.read_sctp().ok().flatten())
            else {
                self.next += 1;
                continue;
            };
            let mut bytes = vec![0; message.len()];
            let is_frame = message.ppi == PayloadProtocolIdentifier::Binary;
            // What is none comes as a frame without bytes, which its receiver drops.
            return match message.read(&mut bytes) {
                Ok(_) if is_frame => Some(bytes.into()),
                _ => Some(Bytes::new()),
            };
        }
        None
    }

    /// Passes on what the two halves of the library tell each other, and takes what they tell.
    fn advance(&mut self) {
        let Some((handle, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
        while let Some(event) = association.poll() {
            match event {
                Event::Connected if open(association).is_ok() => self.state = State::Open,
                Event::Connected
                | Event::HandshakeFailed { .. }
                | Event::AssociationLost { .. }
                | Event::Stream(
                    StreamEvent::Finished { id: RELIABLE }
                    | StreamEvent::Stopped { id: RELIABLE, .. },
                ) => self.state = State::Closed,
                // Others cost memory, and nobody reads them.
                Event::Stream(StreamEvent::Opened { id }) if !CHANNELS.contains(&id) => {
                    self.state = State::Closed;
                }
                _ => {}
            }
        }
    }
}

/// Opens both channels, one of which the other side may have opened by sending on it.
fn open(association: &mut Association) -> Result<(), Error> {
    for channel in CHANNELS {
        let opened = association.open_stream(channel, PayloadProtocolIdentifier::Binary);
        let mut stream = match opened {
            Err(Error::ErrStreamAlreadyExist) => association.stream(channel)?,
            opened => opened?,
        };
        if channel == DATAGRAMS {
            stream.set_reliability_params(true, ReliabilityType::Rexmit, 0)?;
        }
    }
    Ok(())
}

/// The kinds and the lengths of the chunks of a packet (RFC 9260, section 3.2), as far as it goes.
fn chunks(packet: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut rest = packet.get(COMMON_HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [kind, _, high, low, ..] = *rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        rest = rest
            .get(length.max(4).next_multiple_of(4)..)
            .unwrap_or_default();
        Some((kind, length))
    })
}

fn transport() -> Arc<TransportConfig> {
    let config = TransportConfig::default()
        .with_max_init_retransmits(None)
        .with_max_data_retransmits(None)
        .with_max_receive_buffer_size(WINDOW)
        .with_max_receive_message_size(LARGEST_MESSAGE)
        .with_max_send_message_size(LARGEST_MESSAGE)
        .with_rto_initial_ms(FIRST_TIMEOUT_MILLIS)
        .with_rto_min_ms(LEAST_TIMEOUT_MILLIS)
        .with_rto_max_ms(LONGEST_TIMEOUT_MILLIS);
    Arc::new(config)
}

/// The channel that orders and loses nothing: docs/protocol.md.
const RELIABLE: u16 = 0;
/// The one that does neither.
const DATAGRAMS: u16 = 1;
const CHANNELS: [u16; 2] = [RELIABLE, DATAGRAMS];

/// The library wants an address. There is one association and ICE knows where it leads.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5_000);

/// What may be under way to this side, in bytes: 200 ms at 160 Mbit/s.
const WINDOW: u32 = 4 << 20;

/// What a frame is at most, in bytes: docs/protocol.md.
const LARGEST_MESSAGE: u32 = 65_536;

/// Of RFC 9260, section 3: bytes, and kinds of chunks.
const COMMON_HEADER: usize = 12;
const DATA_HEADER: usize = 16;
const DATA: u8 = 0;
const INIT: u8 = 1;
const ABORT: u8 = 6;

/// What waits to be acknowledged, at most, in bytes: enough for 20 ms at 400 Mbit/s. A probe waits behind it,
/// and three seconds without an answer end the path: at 3 Mbit/s this is that.
const QUEUE: usize = 1 << 20;

/// Datagrams that are older than that are not worth sending, in bytes.
const DATAGRAMS_WAITING: usize = 64 << 10;

/// Those of browsers. RFC 9260 takes 1 s and 3 s, which a short loss would cost each time.
const FIRST_TIMEOUT_MILLIS: u64 = 500;
const LEAST_TIMEOUT_MILLIS: u64 = 400;
const LONGEST_TIMEOUT_MILLIS: u64 = 3_000;
