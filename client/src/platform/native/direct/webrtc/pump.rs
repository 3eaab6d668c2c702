//! The task that moves packets between the sockets, DTLS, SCTP and the two halves of a leg.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dimpl::{Config, Dtls, DtlsCertificate, Output};
use peersox_core::frame::Frame;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket as _, UdpPoller};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::crypto::PROVIDER;
use super::sctp::{Sctp, State};
use super::train::Trains;
use crate::platform::native::direct::socket::{PEER, Sockets};

/// What the task is asked to do.
pub(super) enum Order {
    /// Shake hands with the side of this certificate.
    Connect {
        theirs: [u8; 32],
        begins: bool,
        /// Where frames of the other side go.
        into: mpsc::Sender<Bytes>,
        /// Told once, when frames flow.
        up: oneshot::Sender<()>,
        /// Told why it ended.
        ends: oneshot::Sender<String>,
    },
    /// Send this.
    Frame(Frame),
    /// Part from the other side once it has everything, then tell.
    HangUp(oneshot::Sender<()>),
}

pub(super) struct Pump {
    sockets: Arc<Sockets>,
    poller: Pin<Box<dyn UdpPoller>>,
    dtls: Dtls,
    sctp: Sctp,
    /// The side that this one talks to, once that is known.
    other: Option<Other>,
    /// When DTLS wants to be called.
    dtls_due: Instant,
    /// What leaves.
    trains: Trains,
    /// Whom to tell that the farewell is over, and when to stop waiting for the frames before it.
    parting: Option<(oneshot::Sender<()>, Instant)>,
    /// Whom to tell that the farewell has left.
    parted: Option<oneshot::Sender<()>>,
    /// For what DTLS gives at once.
    record: Vec<u8>,
    buffers: Vec<Vec<u8>>,
}

struct Other {
    fingerprint: [u8; 32],
    begins: bool,
    /// It has shown its certificate.
    is_known: bool,
    into: mpsc::Sender<Bytes>,
    up: Option<oneshot::Sender<()>>,
    ends: oneshot::Sender<String>,
}

/// Why the connection is over.
struct Over(String);

impl Pump {
    pub(super) fn new(sockets: Arc<Sockets>, certificate: DtlsCertificate) -> Result<Self, String> {
        let config = Config::builder()
            .mtu(DATAGRAM)
            // ICE has proven where the other side is.
            .use_server_cookie(false)
            .flight_start_rto(FIRST_TIMEOUT)
            .handshake_timeout(HANDSHAKE)
            .with_crypto_provider(PROVIDER)
            .build()
            .map_err(|error| error.to_string())?;
        let now = Instant::now();
        let buffer = sockets.max_receive_segments() * LARGEST_DATAGRAM;
        Ok(Self {
            poller: Arc::clone(&sockets).create_io_poller(),
            sockets,
            dtls: Dtls::new_12(Arc::new(config), certificate, now.into_std()),
            sctp: Sctp::new(PACKET),
            other: None,
            dtls_due: now,
            trains: Trains::default(),
            parting: None,
            parted: None,
            record: vec![0; RECORD],
            buffers: vec![vec![0; buffer]; BATCH],
        })
    }

    /// Works until nobody asks any more, or the connection is over.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let Err(Over(why)) = self.work(&mut orders).await;
        // However it ends, the other side is told. Nobody asks for it again, so it may be lost.
        let _ = self.dtls.close();
        let _ = self.poll_dtls();
        self.send();
        if let Some(done) = self.parted {
            let _ = done.send(());
        }
        let Some(other) = self.other else { return };
        // Whatever arrived before the end is read before it.
        while let Some(frame) = self.sctp.read() {
            if other.into.send(frame).await.is_err() {
                break;
            }
        }
        let _ = other.ends.send(why);
    }

    async fn work(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<std::convert::Infallible, Over> {
        loop {
            self.advance()?;
            let is_unread = self.deliver();
            // Reading may have shown that it is over.
            self.sctp_state()?;
            let takes_orders =
                self.parting.is_none() && (self.other.is_none() || self.sctp.has_room());
            let due = self.due();
            let Self {
                sockets,
                poller,
                other,
                trains,
                buffers,
                ..
            } = self;
            let into = other.as_ref().map(|it| &it.into);
            let mut metas = [RecvMeta::default(); BATCH];
            let received = poll_fn(|cx| {
                let mut slices = buffers.iter_mut().map(|it| IoSliceMut::new(it));
                let mut slices: [_; BATCH] = std::array::from_fn(|_| {
                    slices.next().unwrap_or_else(|| IoSliceMut::new(&mut []))
                });
                sockets.poll_recv(cx, &mut slices, &mut metas)
            });
            tokio::select! {
                received = received => {
                    let received = received.map_err(|error| Over(error.to_string()))?;
                    self.receive(&metas[..received])?;
                }
                order = orders.recv(), if takes_orders => match order {
                    Some(order) => self.obey(order)?,
                    None => return Err(Over("given up".to_owned())),
                },
                writable = poll_fn(|cx| poller.as_mut().poll_writable(cx)), if !trains.is_empty() => {
                    writable.map_err(|error| Over(error.to_string()))?;
                }
                () = has_room(into), if is_unread => {}
                () = is_closed(into) => return Err(Over("given up".to_owned())),
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), Over> {
        match order {
            Order::Connect {
                theirs,
                begins,
                into,
                up,
                ends,
            } => {
                self.other = Some(Other {
                    fingerprint: theirs,
                    begins,
                    is_known: false,
                    into,
                    up: Some(up),
                    ends,
                });
                self.dtls.set_active(begins);
                self.dtls.handle_timeout(Instant::now().into_std())?;
                Ok(())
            }
            Order::Frame(frame) => self
                .sctp
                .send(frame)
                .map_err(|error| Over(error.to_string())),
            Order::HangUp(done) => {
                self.parting = Some((done, Instant::now() + PARTING));
                Ok(())
            }
        }
    }

    /// Takes what came from the sockets, each buffer with datagrams of one size.
    fn receive(&mut self, metas: &[RecvMeta]) -> Result<(), Over> {
        let now = Instant::now().into_std();
        let buffers = std::mem::take(&mut self.buffers);
        let mut taken = Ok(());
        for (buffer, meta) in buffers.iter().zip(metas) {
            // Before it is known who the other side is, nothing can be said to it.
            if self.other.is_none() || taken.is_err() {
                break;
            }
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                // A longer one is none of a browser's, and might hold more than a record of this side.
                if datagram.len() > LARGEST_DATAGRAM {
                    continue;
                }
                taken = taken.and_then(|()| {
                    self.dtls.handle_timeout(now)?;
                    self.dtls.handle_packet(datagram)?;
                    self.poll_dtls()
                });
            }
        }
        self.buffers = buffers;
        taken
    }

    /// Moves what can be moved, and what is due.
    fn advance(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if self.other.is_none() {
            return Ok(());
        }
        if self.dtls_due <= now {
            self.dtls.handle_timeout(now.into_std())?;
        }
        self.poll_dtls()?;
        if self
            .sctp
            .poll_timeout()
            .is_some_and(|it| it <= now.into_std())
        {
            self.sctp.handle_timeout(now.into_std());
        }
        loop {
            self.send();
            // What the system does not take waits in SCTP, which knows the way's pace by what comes back.
            if !self.trains.is_empty() {
                break;
            }
            let mut is_moved = false;
            for _ in 0..TRAIN {
                let Some(packet) = self.sctp.poll_transmit(now.into_std()) else {
                    break;
                };
                self.dtls.send_application_data(&packet)?;
                self.poll_dtls()?;
                is_moved = true;
            }
            if !is_moved {
                break;
            }
        }
        if self.sctp_state()? == State::Open
            && let Some(up) = self.other.as_mut().and_then(|it| it.up.take())
        {
            let _ = up.send(());
        }
        let is_over = |until: Instant, sctp: &mut Sctp| sctp.is_idle() || until <= now;
        if let Some((done, _)) = self
            .parting
            .take_if(|(_, until)| is_over(*until, &mut self.sctp))
        {
            self.parted = Some(done);
            return Err(Over("this side ended the connection".to_owned()));
        }
        Ok(())
    }

    fn sctp_state(&self) -> Result<State, Over> {
        match self.sctp.state() {
            State::Closed => Err(Over("the other side ended the connection".to_owned())),
            state => Ok(state),
        }
    }

    /// Takes what DTLS has for the other side, and from it.
    fn poll_dtls(&mut self) -> Result<(), Over> {
        let Some(other) = &mut self.other else {
            return Ok(());
        };
        let longest = self.sockets.max_transmit_segments().min(TRAIN);
        loop {
            match self.dtls.poll_output(&mut self.record) {
                Output::Packet(datagram) => self.trains.push(datagram, longest),
                Output::BufferTooSmall { needed } => self.record.resize(needed, 0),
                Output::Timeout(at) => {
                    self.dtls_due = at.into();
                    return Ok(());
                }
                Output::PeerCert(certificate) => {
                    let digest: [u8; 32] = Sha256::digest(certificate).into();
                    if !bool::from(digest.ct_eq(&other.fingerprint)) {
                        return Err(Over("the other side shows another certificate".to_owned()));
                    }
                    other.is_known = true;
                }
                Output::Connected if !other.is_known => {
                    return Err(Over("the other side shows no certificate".to_owned()));
                }
                Output::Connected if other.begins => self.sctp.connect().map_err(Over)?,
                Output::ApplicationData(packet) if other.is_known => {
                    let now = Instant::now().into_std();
                    self.sctp.handle(now, Bytes::copy_from_slice(packet));
                }
                Output::CloseNotify => {
                    return Err(Over("the other side ended the connection".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// Hands datagrams to the system for as long as it takes them.
    fn send(&mut self) {
        while let Some(train) = self.trains.first() {
            let sent = self.sockets.try_send(&Transmit {
                destination: PEER,
                ecn: None,
                contents: &train.bytes,
                segment_size: train.segment(),
                src_ip: None,
            });
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Lost, as any datagram may be.
                Err(error) => tracing::trace!(%error, "datagrams were not sent"),
                Ok(()) => {}
            }
            self.trains.pop();
        }
    }

    /// Gives frames to whoever reads them. True if some wait for room there.
    fn deliver(&mut self) -> bool {
        let Some(other) = &self.other else {
            return false;
        };
        while let Ok(room) = other.into.try_reserve() {
            match self.sctp.read() {
                Some(frame) => room.send(frame),
                None => return false,
            }
        }
        true
    }

    fn due(&self) -> Instant {
        let sctp = self.sctp.poll_timeout().map(Instant::from_std);
        let parting = self.parting.as_ref().map(|(_, until)| *until);
        let dtls = self.other.as_ref().map(|_| self.dtls_due);
        let all = [sctp, parting, dtls];
        let first = all.into_iter().flatten().min();
        first.unwrap_or_else(|| Instant::now() + IDLE)
    }
}

/// Waits until there is room for another frame.
async fn has_room(into: Option<&mpsc::Sender<Bytes>>) {
    match into {
        Some(into) => drop(into.reserve().await),
        None => std::future::pending().await,
    }
}

/// Waits until nobody reads frames any more.
async fn is_closed(into: Option<&mpsc::Sender<Bytes>>) {
    match into {
        Some(into) => into.closed().await,
        None => std::future::pending().await,
    }
}

impl From<dimpl::Error> for Over {
    fn from(error: dimpl::Error) -> Self {
        Self(format!("DTLS: {error}"))
    }
}

/// A datagram that passes everywhere, as that of QUIC (RFC 9000, section 14), in bytes.
const DATAGRAM: usize = 1_200;

/// What is left of it for SCTP: a record of DTLS takes 13 bytes, a nonce of 8 and a tag of 16 (RFC 6347,
/// RFC 5288). The library counts without the header of SCTP and without that of the last of several chunks,
/// 28 bytes together. Where it puts many small chunks in a packet, that may be longer.
const PACKET: u32 = 1_120;

/// Others may send larger ones.
const LARGEST_DATAGRAM: usize = 1_500;

/// The largest that DTLS gives at once: a certificate may come in all the datagrams that it holds, 30 of
/// them.
const RECORD: usize = 64 << 10;

/// Buffers of datagrams that are read at once.
const BATCH: usize = 4;

/// Datagrams that are sent at once.
const TRAIN: usize = 16;

/// After it a lost flight of the handshake is sent again, twice as late each time. ICE has proven that there
/// is a way.
const FIRST_TIMEOUT: Duration = Duration::from_millis(300);

/// The rules give an attempt up before.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// For how long frames are waited for at the end.
const PARTING: Duration = Duration::from_millis(1_500);

/// Until something happens there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);
