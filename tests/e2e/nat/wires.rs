//! Cables, and who has which address.
//!
//! ```text
//! 198.51.100.1         the internet, as the next hop of everybody     100.64.0.1    the same of a provider
//! 198.51.100.10, .11   the server                                     100.64.0.N    its homes
//! 203.0.113.N          all others with a public address               192.168.1.1   the router of each home
//! 2001:db8:N::/48      the network of number N, if it has IPv6        192.168.1.10… its devices
//! 2001:db8:ffff::/48   the server's
//! ```
//!
//! All of them are for documentation or private, so that nothing gets anywhere, should it ever leave. Links
//! have no networks of their own, but for homes: a route says what is behind each.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::namespace::Namespace;
use super::network::Network;

pub const SERVER_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(198, 51, 100, 10),
    Ipv4Addr::new(198, 51, 100, 11),
];
pub const SERVER_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x11),
];

/// Next hops.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const PROVIDER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
pub const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// The two ends of each link that carries IPv6: the one that is nearer to the internet, and the other.
pub const NEAR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub const FAR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The first device in a home.
pub const FIRST_HOST: u8 = 10;

pub const fn public_v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, number)
}

pub fn device_v6(number: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, host.into())
}

/// The network of a number.
pub fn public_v6(number: u8) -> String {
    format!("{}/48", device_v6(number, 0))
}

/// Connects the server.
pub fn plug_server(internet: &Namespace, server: &Namespace) {
    let ([one, two], [three, four]) = (SERVER_V4, SERVER_V6);
    link(internet, "server", server, "eth0");
    internet.ip(&format!(
        "address add {INTERNET}/32 dev server
         address add {NEAR}/64 dev server nodad
         route add {one}/32 dev server
         route add {two}/32 dev server
         route add 2001:db8:ffff::/48 via {FAR} dev server"
    ));
    server.ip(&format!(
        "address add {one}/32 dev eth0
         address add {two}/32 dev eth0
         address add {three}/128 dev eth0 nodad
         address add {four}/128 dev eth0 nodad
         address add {FAR}/64 dev eth0 nodad
         route add default via {INTERNET} dev eth0 onlink
         route add default via {NEAR} dev eth0"
    ));
}

/// Connects `down` to the internet or a provider, who sends there what is for `address` or for the IPv6
/// network of this number. Gives the name of the link up there.
pub fn plug(
    (up, gate): (&Namespace, Ipv4Addr),
    (down, inner): (&Namespace, &str),
    number: u8,
    address: Ipv4Addr,
) -> String {
    let name = format!("to{number}");
    link(up, &name, down, inner);
    up.ip(&format!(
        "address add {gate}/32 dev {name}
         address add {NEAR}/64 dev {name} nodad
         route add {address}/32 dev {name}
         route add {} via {FAR} dev {name}",
        public_v6(number)
    ));
    down.ip(&format!("address add {FAR}/64 dev {inner} nodad"));
    name
}

/// Connects a router, which gets this address.
pub fn plug_router(up: (&Namespace, Ipv4Addr), router: &Namespace, number: u8, address: Ipv4Addr) {
    plug(up, (router, "wan"), number, address);
    router.ip(&format!(
        "address add {address}/32 dev wan
         route add default via {} dev wan onlink
         route add default via {NEAR} dev wan",
        up.1
    ));
}

/// Makes a home behind a router: its switch, and its rules.
pub fn furnish(network: Network, router: &Namespace, number: u8) {
    router.ip(&format!(
        "link add lan type bridge mcast_snooping 0
         link set lan addrgenmode none
         link set lan up
         address add {HOME}/24 dev lan
         address add {NEAR}/64 dev lan nodad"
    ));
    if network.has_v6() {
        let inside = device_v6(number, 0);
        router.ip(&format!("route add {inside}/64 dev lan"));
    }
    let first = Ipv4Addr::new(192, 168, 1, FIRST_HOST);
    router.nft(&network.rules(first));
}

/// Puts a device's cable into the switch of its home.
pub fn plug_device(router: &Namespace, device: &Namespace, host: u8) {
    let port = format!("port{host}");
    link(router, &port, device, "eth0");
    router.ip(&format!("link set {port} master lan"));
}

/// A cable.
fn link(here: &Namespace, name: &str, there: &Namespace, inner: &str) {
    here.ip(&format!(
        "link add {name} type veth peer name {inner} netns {}
         link set {name} addrgenmode none
         link set {name} up",
        there.pid()
    ));
    there.ip(&format!(
        "link set {inner} addrgenmode none\nlink set {inner} up"
    ));
}
