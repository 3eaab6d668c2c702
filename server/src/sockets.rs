//! The sockets that the server listens on: one port, TCP and UDP, both families where there are two.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Listens on this address exactly, or by default on every address of IPv6 and IPv4; on those of IPv4 where
/// there is no IPv6.
pub(crate) fn tcp(listen: Option<SocketAddr>) -> io::Result<TcpListener> {
    let Some(listen) = listen else {
        return everywhere(PORT);
    };
    tcp_on(listen)
}

fn everywhere(port: u16) -> io::Result<TcpListener> {
    match tcp_on(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        // No IPv6, or none that may be used.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            tcp_on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        listening => listening,
    }
}

fn tcp_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // A restarted server gets its port although old connections linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The same, and the UDP port of the same number, whose error the caller names. If the system may choose the
/// number, it is one that is free for both.
pub(crate) fn both(listen: Option<SocketAddr>) -> io::Result<(TcpListener, io::Result<UdpSocket>)> {
    let chosen = listen.is_some_and(|address| address.port() == 0);
    free_for_both(if chosen { CHOICES } else { 1 }, || tcp(listen))
}

/// Of the first `choices` listeners, the first one whose port is free for UDP; else the last one.
fn free_for_both(
    choices: usize,
    mut tcp: impl FnMut() -> io::Result<TcpListener>,
) -> io::Result<(TcpListener, io::Result<UdpSocket>)> {
    // Listens on until a port is found, so that the system does not choose the same port again.
    let mut passed_over = Vec::new();
    loop {
        let listener = tcp()?;
        match udp(listener.local_addr()?) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && passed_over.len() + 1 < choices =>
            {
                passed_over.push(listener);
            }
            socket => return Ok((listener, socket)),
        }
    }
}

/// The UDP port with the number of the TCP port.
fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // `[::]` is every address of both families, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How many connections there may be, so that the system's limit of open files is never the one that is
/// reached: it asks nobody for a share.
pub(crate) fn most_connections() -> u64 {
    connections_of(getrlimit(Resource::Nofile).current)
}

/// `files` is the soft limit of open files; nothing if there is none.
fn connections_of(files: Option<u64>) -> u64 {
    files.map_or(MOST_CONNECTIONS, |files| {
        (files / 4 * 3).min(MOST_CONNECTIONS)
    })
}

/// Two sockets per pair leave room for some thousands of pairs.
const MOST_CONNECTIONS: u64 = 16_384;
/// Where the server listens unless told otherwise.
pub(crate) const PORT: u16 = 3000;
/// Ports that the system may choose before one of them has to do.
const CHOICES: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn both_families_reach_the_default_address_over_tcp_and_udp() {
        let listener = everywhere(0).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = udp(address).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let families = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        for host in families {
            // A machine without IPv6 has no such loopback address.
            let Ok(client) = UdpSocket::bind((host, 0)) else {
                assert!(host.is_ipv6() && address.is_ipv4());
                continue;
            };
            TcpStream::connect((host, address.port())).unwrap();
            client.send_to(b"x", (host, address.port())).unwrap();
            let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(from.ip().to_canonical(), host);
        }
    }

    #[test]
    fn a_port_that_the_system_chooses_is_free_for_tcp_and_udp() {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // The UDP ports of the first three are taken, by this test if not by somebody else.
        let listeners = [(); 3].map(|()| tcp_on(local(0)).unwrap());
        let taken = listeners.each_ref().map(|it| udp(it.local_addr().unwrap()));
        let address = listeners[0].local_addr().unwrap();
        let mut chosen = listeners
            .into_iter()
            .map(Ok)
            .chain(std::iter::repeat_with(|| tcp_on(local(0))));
        let (listener, socket) = free_for_both(CHOICES, || chosen.next().unwrap()).unwrap();
        let socket = socket.unwrap();
        assert_eq!(listener.local_addr().unwrap(), socket.local_addr().unwrap());

        // A port that was asked for is the only choice. The listener on this one is gone.
        let (_, socket) = both(Some(address)).unwrap();
        assert_eq!(socket.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(taken);
    }

    #[test]
    fn open_files_bound_connections() {
        for (files, expected) in [
            (Some(1024), 768),
            (Some(1_048_576), MOST_CONNECTIONS),
            (None, MOST_CONNECTIONS),
        ] {
            assert_eq!(connections_of(files), expected, "{files:?}");
        }
        assert!((1..=MOST_CONNECTIONS).contains(&most_connections()));
    }

    #[test]
    fn an_address_that_is_named_is_the_only_one() {
        let named = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tcp(Some(named)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), named.ip());
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).is_err());
        // The port is taken, also for whoever wants all addresses.
        let error = everywhere(address.port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
