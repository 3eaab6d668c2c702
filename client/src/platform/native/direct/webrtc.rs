//! Data channels of WebRTC on the pair of addresses that ICE has picked: what pages speak.
//!
//! ```text
//! sockets ─ datagrams ─► DTLS ─ packets ─► SCTP ─ messages ─► Source
//!         ◄─ datagrams ─      ◄─ packets ─      ◄─ messages ─ Sink
//! ```
//!
//! One task owns all three machines, none of which has a socket or a clock. Each side accepts the certificate
//! whose digest came sealed, and no other. A message is a frame.

mod crypto;
mod pump;
mod sctp;
mod train;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dimpl::DtlsCertificate;
use peersox_core::frame::Frame;
use tokio::sync::{mpsc, oneshot};

use self::pump::{Order, Pump};
use super::certificate::Certificate;
use super::socket::Sockets;
use crate::platform::native::leg::{self, End, Leg};

/// One side, before it is connected.
pub(super) struct WebRtc {
    fingerprint: [u8; 32],
    orders: mpsc::Sender<Order>,
}

pub(crate) struct Source {
    frames: mpsc::Receiver<Bytes>,
    /// How the connection ended, after its last frame.
    end: oneshot::Receiver<String>,
}

pub(crate) struct Sink {
    orders: mpsc::Sender<Order>,
}

impl WebRtc {
    /// Begins to read the sockets, and makes a certificate that lives as long as this.
    ///
    /// # Errors
    /// What the system or the certificate's maker says.
    pub(super) fn new(sockets: Arc<Sockets>) -> Result<Self, String> {
        Self::with(sockets, Certificate::make()?)
    }

    fn with(sockets: Arc<Sockets>, certificate: Certificate) -> Result<Self, String> {
        let fingerprint = certificate.fingerprint();
        let certificate = DtlsCertificate {
            certificate: certificate.der.to_vec(),
            private_key: certificate.key,
        };
        let (orders, taken) = mpsc::channel(ORDERS);
        let pump = Pump::new(sockets, certificate)?;
        // It ends when nobody is left who could ask it anything.
        tokio::spawn(pump.run(taken));
        Ok(Self {
            fingerprint,
            orders,
        })
    }

    /// SHA-256 of the certificate.
    pub(super) const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Shakes hands with the side of this certificate; one of the two begins (RFC 8842).
    pub(super) fn connect(
        &self,
        theirs: [u8; 32],
        begins: bool,
    ) -> impl Future<Output = Result<Leg, String>> + use<> {
        let orders = self.orders.clone();
        async move {
            let gone = || "the sockets are gone".to_owned();
            let (into, frames) = mpsc::channel(FRAMES);
            let (ends, mut end) = oneshot::channel();
            let (up, is_up) = oneshot::channel();
            let order = Order::Connect {
                theirs,
                begins,
                into,
                up,
                ends,
            };
            orders.send(order).await.map_err(|_| gone())?;
            if is_up.await.is_err() {
                return Err(end.try_recv().unwrap_or_else(|_| gone()));
            }
            Ok(Leg {
                source: leg::Source::WebRtc(Source { frames, end }),
                sink: leg::Sink::WebRtc(Sink { orders }),
            })
        }
    }
}

impl Source {
    /// The next frame. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Bytes, End> {
        match self.frames.recv().await {
            Some(frame) => Ok(frame),
            None => Err(End::Lost(match self.end.try_recv() {
                Ok(why) => why,
                Err(_) => "the connection is over".to_owned(),
            })),
        }
    }
}

impl Sink {
    pub(crate) async fn feed(&mut self, frame: Frame) -> Result<(), End> {
        let fed = self.orders.send(Order::Frame(frame)).await;
        fed.map_err(|_| End::Lost("the connection is over".to_owned()))
    }

    /// Waits until the frames that were fed have arrived, and tells the other side that it is over.
    pub(crate) async fn hang_up(self) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::HangUp(done)).await.is_ok() {
            let _ = tokio::time::timeout(FAREWELL, is_done).await;
        }
    }
}

/// Frames that the task has not taken yet.
const ORDERS: usize = 4;

/// Frames that nobody has read yet; what is more stays with SCTP, whose window it narrows.
const FRAMES: usize = 16;

/// For how long a farewell may wait for the network.
const FAREWELL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> [WebRtc; 2] {
        pair_with(Certificate::make().unwrap())
    }

    /// The second one shows this certificate.
    fn pair_with(certificate: Certificate) -> [WebRtc; 2] {
        let [one, other] = Sockets::pair();
        [
            WebRtc::new(one).unwrap(),
            WebRtc::with(other, certificate).unwrap(),
        ]
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        let outcome = tokio::time::timeout(Duration::from_secs(20), future).await;
        outcome.expect("it takes too long")
    }

    async fn connected() -> [Leg; 2] {
        let [one, other] = pair();
        let passive = one.connect(other.fingerprint(), false);
        let active = other.connect(one.fingerprint(), true);
        let (one, other) = soon(async { tokio::join!(passive, active) }).await;
        [one.unwrap(), other.unwrap()]
    }

    fn frame(lane: u8, number: u32, len: usize) -> Frame {
        let mut bytes = vec![0; len];
        bytes[0] = lane;
        bytes[1..5].copy_from_slice(&number.to_be_bytes());
        Frame::parse(Bytes::from(bytes)).unwrap()
    }

    #[tokio::test]
    async fn frames_of_every_size_arrive_in_order_both_ways_and_before_the_end() {
        let [one, other] = connected().await;
        let size = |number: u32| [5, 1_100, 1_200, 16_384, 65_536][number as usize % 5];
        const COUNT: u32 = 400;
        let sends = |mut sink: leg::Sink| async move {
            for number in 0..COUNT {
                sink.feed(frame(1, number, size(number))).await.unwrap();
            }
            sink
        };
        let hears = |mut source: leg::Source| async move {
            for number in 0..COUNT {
                let heard = source.next().await.unwrap();
                assert!(
                    heard == frame(1, number, size(number)).into_bytes(),
                    "{number}"
                );
            }
            source
        };
        let ((mut sink, _source), (_sink, mut source)) = soon(async {
            tokio::join!(
                async { tokio::join!(sends(one.sink), hears(one.source)) },
                async { tokio::join!(sends(other.sink), hears(other.source)) },
            )
        })
        .await;
        for number in 0..40 {
            sink.feed(frame(1, number, 65_536)).await.unwrap();
        }
        let farewell = sink.hang_up(peersox_core::close::CloseReason::Done);
        let hears = async {
            for number in 0..40 {
                assert!(source.next().await.unwrap() == frame(1, number, 65_536).into_bytes());
            }
            assert!(source.next().await.is_err());
        };
        soon(async { tokio::join!(farewell, hears) }).await;
    }

    #[tokio::test]
    async fn a_certificate_in_many_datagrams_is_a_certificate() {
        let names: Vec<_> = (0..400).map(|it| format!("{it}.example")).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        for begins in [false, true] {
            let certificate = Certificate {
                key: made.signing_key.serialize_der(),
                der: made.cert.der().clone(),
            };
            assert!(certificate.der.len() > 4_000);
            let [one, other] = pair_with(certificate);
            let sides = [
                one.connect(other.fingerprint(), !begins),
                other.connect(one.fingerprint(), begins),
            ];
            for side in soon(futures_util::future::join_all(sides)).await {
                assert!(side.is_ok(), "{:?}", side.err());
            }
        }
    }

    #[tokio::test]
    async fn whoever_shows_another_certificate_is_refused() {
        for the_active_side_lies in [false, true] {
            let [one, other] = pair();
            let [mut theirs, mut ours] = [one.fingerprint(), other.fingerprint()];
            match the_active_side_lies {
                true => ours[31] ^= 1,
                false => theirs[31] ^= 1,
            }
            let passive = one.connect(ours, false);
            let active = other.connect(theirs, true);
            let refused = soon(async {
                tokio::select! { it = passive => it, it = active => it }
            });
            let why = refused.await.map(|_| ()).unwrap_err();
            assert_eq!(why, "the other side shows another certificate");
        }
    }
}
