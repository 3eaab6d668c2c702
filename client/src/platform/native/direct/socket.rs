//! The sockets of an attempt, which ICE and the carrier share.
//!
//! ```text
//! kernel ─► first byte ┬─ 0 to 3 ─► ICE
//!                      └─ others ─► carrier, if it came from where ICE has found the other side
//! ```
//!
//! The carrier knows one address, [`PEER`]. Its packets leave from and for the pair of addresses that ICE has
//! picked last: when that picks another pair, the connection does not notice.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use peersox_core::stun;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller};
use tokio::sync::mpsc;

/// What the carrier takes for the address of the other side. It is of a network for documentation (RFC 5737),
/// so that nothing leaves for it by mistake.
pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);

/// A socket for each version of IP that there is.
pub(super) struct Sockets {
    v4: Option<Socket>,
    v6: Option<Socket>,
    /// Which of the two is read first, in turns.
    v6_first: AtomicBool,
    stun: mpsc::Sender<Stun>,
    /// Of two tasks: that of ICE writes, that of the carrier reads once for each batch of packets. Nobody
    /// holds it while it waits.
    routes: Mutex<Routes>,
}

struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    port: u16,
}

/// A datagram of STUN.
pub(super) struct Stun {
    pub(super) from: SocketAddr,
    /// The address of this side that it came to, where the system tells it.
    pub(super) to: Option<IpAddr>,
    pub(super) datagram: Bytes,
}

#[derive(Default)]
struct Routes {
    /// The address of this side and that of the other, once ICE has picked a pair, or the carrier came by one
    /// before this side knew that it is picked.
    picked: Option<(Option<IpAddr>, SocketAddr)>,
    /// Where ICE has found the other side.
    found: HashSet<SocketAddr>,
}

impl Sockets {
    /// Binds the sockets; STUN that comes is put into `stun` while that has room.
    ///
    /// # Errors
    /// What the system says if there is neither IPv4 nor IPv6.
    pub(super) fn bind(stun: mpsc::Sender<Stun>) -> io::Result<Self> {
        let v4 = Socket::bind(Ipv4Addr::UNSPECIFIED.into());
        let v6 = Socket::bind(Ipv6Addr::UNSPECIFIED.into());
        let (v4, v6) = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => (v4.ok(), v6.ok()),
        };
        Ok(Self {
            v4,
            v6,
            v6_first: AtomicBool::new(false),
            stun,
            routes: Mutex::default(),
        })
    }

    /// The address at which a socket takes what is sent to `ip`, if there is such a socket.
    pub(super) fn at(&self, ip: IpAddr) -> Option<SocketAddr> {
        let socket = self.of(ip)?;
        Some(SocketAddr::new(ip, socket.port))
    }

    /// Sends a datagram that is not the carrier's. One that the system does not take at once is lost, as
    /// any may be.
    pub(super) fn send(&self, from: Option<IpAddr>, to: SocketAddr, datagram: &[u8]) {
        let Some(socket) = self.of(to.ip()) else {
            return;
        };
        let sent = socket.inner.try_send(&Transmit {
            destination: to,
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: from,
        });
        if let Err(error) = sent {
            tracing::trace!(%to, %error, "a datagram was not sent");
        }
    }

    /// From now on packets of the carrier leave from this address of this side for that one of the other.
    pub(super) fn route(&self, from: SocketAddr, to: SocketAddr) {
        let mut routes = self.routes();
        routes.picked = Some((Some(from.ip()), to));
        routes.found.insert(to);
    }

    /// ICE has found the other side at this address: the carrier takes what comes from there.
    pub(super) fn found(&self, at: SocketAddr) {
        let mut routes = self.routes();
        if routes.found.len() < MOST_FOUND {
            routes.found.insert(at);
        }
    }

    fn of(&self, ip: IpAddr) -> Option<&Socket> {
        match ip {
            IpAddr::V4(_) => self.v4.as_ref(),
            IpAddr::V6(_) => self.v6.as_ref(),
        }
    }

    fn both(&self) -> impl Iterator<Item = &Socket> {
        self.v4.iter().chain(&self.v6)
    }

    /// Leaves what is the carrier's in the buffer, as if it came from [`PEER`].
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let RecvMeta { len, stride, .. } = *meta;
        if stun::is_among(&buffer[..len], stride) {
            meta.len = stun::take_out(buffer, len, stride, |datagram| {
                // What does not fit is lost, and asked again.
                let _ = self.stun.try_send(Stun {
                    from: meta.addr,
                    to: meta.dst_ip,
                    datagram: Bytes::copy_from_slice(datagram),
                });
            });
        }
        let mut routes = self.routes();
        if !routes.found.contains(&meta.addr) {
            meta.len = 0;
        } else if meta.len > 0 && routes.picked.is_none() {
            // The other side has picked this pair. An answer that was lost would cost a second.
            routes.picked = Some((meta.dst_ip, meta.addr));
        }
        meta.addr = PEER;
        meta.dst_ip = None;
    }

    /// Two sides whose datagrams go to each other, as if ICE had picked this pair. Nobody reads their STUN.
    #[cfg(test)]
    pub(super) fn pair() -> [Arc<Self>; 2] {
        let sides = [(); 2].map(|()| Arc::new(Self::bind(mpsc::channel(1).0).unwrap()));
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let [one, other] = [&sides[0], &sides[1]].map(|it| it.at(ip).unwrap());
        sides[0].route(one, other);
        sides[1].route(other, one);
        sides
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    fn bind(ip: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        let port = socket.local_addr()?.port();
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Self { inner, port })
    }
}

impl AsyncUdpSocket for Sockets {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let poller = |it: &Socket| Arc::clone(&it.inner).create_io_poller();
        Box::pin(Poller {
            v4: self.v4.as_ref().map(poller),
            v6: self.v6.as_ref().map(poller),
            sockets: self,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Before ICE has picked a pair, and where it left a version of IP that is gone, packets are lost.
        let Some((from, to)) = self.routes().picked else {
            return Ok(());
        };
        let Some(socket) = self.of(to.ip()) else {
            return Ok(());
        };
        socket.inner.try_send(&Transmit {
            destination: to,
            src_ip: from,
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut order = [&self.v4, &self.v6];
        if self.v6_first.fetch_xor(true, Ordering::Relaxed) {
            order.reverse();
        }
        for socket in order.into_iter().flatten() {
            let Poll::Ready(received) = socket.inner.poll_recv(cx, buffers, metas) else {
                continue;
            };
            let received = received?;
            for (buffer, meta) in buffers.iter_mut().zip(metas.iter_mut()).take(received) {
                self.sort(buffer, meta);
            }
            return Poll::Ready(Ok(received));
        }
        Poll::Pending
    }

    /// The carrier is told an address of the version of [`PEER`].
    fn local_addr(&self) -> io::Result<SocketAddr> {
        let port = self.both().map(|it| it.port).next().unwrap_or_default();
        Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
    }

    /// Of the socket in use: one that has met an address that it cannot send to sends one by one then.
    fn max_transmit_segments(&self) -> usize {
        let picked = self.routes().picked;
        let socket = picked.and_then(|(_, to)| self.of(to.ip()));
        socket.map_or(1, |it| it.inner.max_transmit_segments())
    }

    fn max_receive_segments(&self) -> usize {
        let each = self.both().map(|it| it.inner.max_receive_segments());
        each.max().unwrap_or(1)
    }

    fn may_fragment(&self) -> bool {
        self.both().any(|it| it.inner.may_fragment())
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

/// Waits until the socket that packets leave by takes more.
struct Poller {
    v4: Option<Pin<Box<dyn UdpPoller>>>,
    v6: Option<Pin<Box<dyn UdpPoller>>>,
    sockets: Arc<Sockets>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let picked = self.sockets.routes().picked;
        let poller = match picked {
            Some((_, SocketAddr::V4(_))) => &mut self.v4,
            Some((_, SocketAddr::V6(_))) => &mut self.v6,
            None => return Poll::Ready(Ok(())),
        };
        match poller {
            Some(poller) => poller.as_mut().poll_writable(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

/// A side has a few addresses, and the other side may see it at more: those of routers on the way.
const MOST_FOUND: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left for the carrier of eight bytes that came from there, and where it takes them to come
    /// from.
    fn sorted(sockets: &Sockets, first: u8, from: SocketAddr) -> (usize, SocketAddr) {
        let mut buffer = [first; 8];
        let mut meta = RecvMeta {
            addr: from,
            len: 8,
            stride: 8,
            ..RecvMeta::default()
        };
        sockets.sort(&mut buffer, &mut meta);
        (meta.len, meta.addr)
    }

    #[tokio::test]
    async fn packets_from_where_ice_has_not_found_the_other_side_never_reach_the_carrier() {
        let (sender, mut stun) = mpsc::channel(8);
        let sockets = Sockets::bind(sender).unwrap();
        let [here, there] = [1, 2].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert_eq!(sorted(&sockets, 64, here).0, 0);
        sockets.found(here);
        assert_eq!(sorted(&sockets, 64, here), (8, PEER));
        assert_eq!(sorted(&sockets, 64, there).0, 0, "another port");
        assert!(stun.try_recv().is_err());
        // STUN goes to ICE, whoever sends it.
        for from in [here, there] {
            assert_eq!(sorted(&sockets, 0, from).0, 0);
            assert_eq!(stun.try_recv().unwrap().from, from);
        }
    }

    #[tokio::test]
    async fn the_first_packet_tells_the_pair_that_the_other_side_has_picked() {
        let (sender, _stun) = mpsc::channel(8);
        let sockets = Sockets::bind(sender).unwrap();
        let [first, later] = [1, 2].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        for at in [first, later] {
            sockets.found(at);
        }
        assert_eq!(sockets.routes().picked, None);
        for at in [first, later] {
            sorted(&sockets, 64, at);
            assert_eq!(sockets.routes().picked, Some((None, first)));
        }
        let own = sockets.at(later.ip()).unwrap();
        sockets.route(own, later);
        assert_eq!(sockets.routes().picked, Some((Some(own.ip()), later)));
    }
}
