//! STUN on the UDP port of QUIC (RFC 8489, RFC 9443): peers learn under which address they are seen.
//!
//! ```text
//! kernel ─► quinn-udp ─► first byte ┬─ 0 to 3 ──► a Binding request within the budgets is answered,
//!                                   │             from the address that was asked; anything else is dropped
//!                                   └─ others ──► quinn
//! ```
//!
//! One byte of each datagram is looked at; for those of QUIC that is all. Answers never wait: if the socket
//! takes none at the moment, the peer asks again.
//!
//! A source address can be forged, and the answer then goes to somebody else. It is hardly longer than the
//! request ([`peersox_core::stun`]), and the budgets of an address and of its networks bound what one victim
//! gets. Requests that claim to come from everywhere are bounded by one budget of all together; nothing but
//! STUN suffers when that is spent.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use peersox_core::limit::{Bucket, Limit, Networks, Rates, Tiers};
use peersox_core::stun::{self, Answer};
use peersox_core::time::Moment;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Instant;

use crate::metrics::{Metrics, Stun};
use crate::relay::Relay;

/// Answers Binding requests.
pub struct Server {
    budgets: Mutex<Budgets>,
    metrics: Arc<Metrics>,
    origin: Instant,
}

impl Server {
    /// With budgets of its own. The relay's unmetered networks are bounded by that of all together only.
    /// Answers count in the relay's metrics.
    #[must_use]
    pub fn new(relay: &Relay) -> Self {
        Self {
            budgets: Mutex::new(Budgets::new(relay.config().unmetered.clone())),
            metrics: Arc::clone(&relay.0.metrics),
            origin: Instant::now(),
        }
    }

    /// The answer to one datagram, if it gets one.
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Option<Answer> {
        let Some(answer) = stun::answer(datagram, from) else {
            self.metrics.stun(Stun::Malformed);
            return None;
        };
        let now = Moment::from_origin(self.origin.elapsed());
        // Nothing panics while the lock is held.
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if !budgets.take(from.ip(), now) {
            self.metrics.stun(Stun::OverBudget);
            return None;
        }
        self.metrics.stun(Stun::Answered);
        Some(answer)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("stun::Server").finish_non_exhaustive()
    }
}

/// How many answers there may be: for one address, for its networks, for all.
struct Budgets {
    all: Bucket,
    rates: Rates,
}

impl Budgets {
    fn new(unmetered: Networks) -> Self {
        Self {
            all: Bucket::new(ALL, Moment::default()),
            rates: Rates::new(Tiers::of(HOST), MOST_PREFIXES, unmetered),
        }
    }

    fn take(&mut self, address: IpAddr, now: Moment) -> bool {
        // Asked first: forged addresses that exhaust it cost neither time nor memory.
        if self.all.take(1, now).is_err() {
            return false;
        }
        let paid = self.rates.take(address, 1, now).is_ok();
        if !paid {
            self.all.give_back(1);
        }
        paid
    }
}

/// A socket on which STUN is answered; whoever reads it sees everything else.
#[derive(Debug)]
pub(super) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    server: Server,
}

impl Socket {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, server: Server) -> Self {
        Self { inner, server }
    }

    fn reply(&self, datagram: &[u8], asked: &RecvMeta) {
        let Some(answer) = self.server.answer(datagram, asked.addr) else {
            return;
        };
        // A socket that is full, or a system that refuses, is for STUN like a network that loses packets.
        let _ = self.inner.try_send(&Transmit {
            destination: asked.addr,
            ecn: None,
            contents: answer.as_bytes(),
            segment_size: None,
            src_ip: asked.dst_ip,
        });
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, buffers, metas))?;
        for (buffer, meta) in buffers.iter_mut().zip(metas.iter_mut()).take(received) {
            let RecvMeta { len, stride, .. } = *meta;
            if stun::is_among(&buffer[..len], stride) {
                meta.len =
                    stun::take_out(buffer, len, stride, |datagram| self.reply(datagram, meta));
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Of a host: a browser asks once for each of its addresses, then every ten seconds. Its site and its
/// network have four and sixteen times as much.
const HOST: Limit = Limit {
    capacity: 128,
    per_second: 32.0,
};
/// Of all together: twice what 10,000 pages with two addresses each ask for. More than that would take
/// time from the relay.
const ALL: Limit = Limit {
    capacity: 4_000,
    per_second: 4_000.0,
};
/// How many prefixes of each level are remembered: 1 MB in all.
const MOST_PREFIXES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budgets: &mut Budgets, address: IpAddr, times: u64, now: Moment) -> u64 {
        (0..times)
            .map(|_| u64::from(budgets.take(address, now)))
            .sum()
    }

    #[test]
    fn who_asks_too_often_is_not_answered_and_others_are() {
        let mut budgets = Budgets::new(["10.0.0.0/8".parse().unwrap()].into_iter().collect());
        let now = Moment::default();
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let host = HOST.capacity;
        assert_eq!(taken(&mut budgets, of("192.0.2.1"), 1_000, now), host);
        assert_eq!(taken(&mut budgets, of("::ffff:192.0.2.1"), 9, now), 0);
        assert_eq!(taken(&mut budgets, of("2001:db8::1"), 1, now), 1);
        assert_eq!(taken(&mut budgets, of("10.0.0.1"), 500, now), 500);
        let later = Moment::from_origin(std::time::Duration::from_secs(1));
        assert_eq!(taken(&mut budgets, of("192.0.2.1"), 1_000, later), 32);
        // A network: the hosts of 192.0.2.0/24 together.
        let network = (2..=99).map(|last| of(&format!("192.0.2.{last}")));
        let network: u64 = network.map(|it| taken(&mut budgets, it, host, later)).sum();
        assert!((16 * host - 160..16 * host).contains(&network), "{network}");
        assert_eq!(taken(&mut budgets, of("192.0.3.1"), 1, later), 1);
    }

    #[test]
    fn requests_from_everywhere_are_bounded_in_time_and_memory() {
        let mut budgets = Budgets::new(Networks::default());
        let everywhere = (0..100_000u32).map(|at| IpAddr::from((at << 12).to_be_bytes()));
        let answered = everywhere.filter(|it| budgets.take(*it, Moment::default()));
        assert_eq!(answered.count() as u64, ALL.capacity);
        assert!(budgets.rates.prefixes() <= 2 * MOST_PREFIXES);
        let later = Moment::from_origin(std::time::Duration::from_secs(1));
        let more = (0..u32::MAX).map(|at| IpAddr::from(((at << 12) | 1).to_be_bytes()));
        let answered = more.take(9_000).filter(|it| budgets.take(*it, later));
        assert_eq!(answered.count() as u64, ALL.capacity);
        assert!(budgets.rates.prefixes() <= 2 * MOST_PREFIXES);
    }
}
