//! A device in a network.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tokio::process::Command;

use super::namespace::Namespace;
use super::network::Network;
use super::wires::{HOME, INTERNET, NEAR, SERVER_V4, SERVER_V6, device_v6, public_v4};
use crate::harness::{Peer, binary, quiet};

pub struct Device {
    pub network: Network,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    namespace: Namespace,
    /// The number of its public network.
    pub(super) number: u8,
    /// Its number in its home.
    pub(super) host: u8,
    /// Its router, or the internet itself; then its provider's router, which has to stay.
    pub(super) gates: Vec<Arc<Namespace>>,
    /// What the internet calls the link to it, if it is at the internet.
    pub(super) link: String,
}

impl Device {
    /// A device that is connected already, and gets its addresses now.
    pub(super) fn new(
        network: Network,
        namespace: Namespace,
        number: u8,
        host: u8,
        gates: Vec<Arc<Namespace>>,
    ) -> Self {
        let mut device = Self {
            network,
            v4: None,
            v6: None,
            namespace,
            number,
            host,
            gates,
            link: String::new(),
        };
        device.settle();
        device
    }

    /// A program on it, with pipes; it ends when it is dropped.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.namespace.command(program).into();
        quiet(&mut command).env("PEERSOX_PATH", "auto");
        command
    }

    /// Starts `peersox ARGS… --server URL --json` on it.
    pub fn peer(&self, url: &str, args: &[&str]) -> Peer {
        let mut command = self.command(binary());
        command.args(args).args(["--server", url, "--json"]);
        Peer::run(command)
    }

    /// Gives up its addresses.
    pub(super) fn unsettle(&mut self) {
        let v4 = self.v4.take().map(|it| (IpAddr::V4(it), self.v4_bits()));
        let v6 = self.v6.take().map(|it| (IpAddr::V6(it), 64));
        let lines = [v4, v6].into_iter().flatten();
        let lines = lines.map(|(it, bits)| format!("address del {it}/{bits} dev eth0\n"));
        self.namespace.ip(&lines.collect::<String>());
    }

    /// Takes the addresses that follow from its numbers, and finds its way out.
    pub(super) fn settle(&mut self) {
        let open = self.network == Network::Open;
        let mut lines = String::new();
        if self.network.has_v4() {
            let (v4, gate) = if open {
                (public_v4(self.number), INTERNET)
            } else {
                (Ipv4Addr::new(192, 168, 1, self.host), HOME)
            };
            lines += &format!("address add {v4}/{} dev eth0\n", self.v4_bits());
            lines += &format!("route replace default via {gate} dev eth0 onlink\n");
            self.v4 = Some(v4);
        }
        if self.network.has_v6() {
            let v6 = device_v6(self.number, self.host);
            lines += &format!("address add {v6}/64 dev eth0 nodad\n");
            lines += &format!("route replace default via {NEAR} dev eth0\n");
            self.v6 = Some(v6);
        }
        self.namespace.ip(&lines);
    }

    /// From now on it gets UDP from nobody but the server.
    pub(super) fn block(&self) {
        let ([one, two], [three, four]) = (SERVER_V4, SERVER_V6);
        self.namespace.nft(&format!(
            "table inet blocked {{
                chain own {{
                    type filter hook input priority filter
                    meta l4proto udp ip saddr != {{ {one}, {two} }} drop
                    meta l4proto udp ip6 saddr != {{ {three}, {four} }} drop
                }}
            }}"
        ));
    }

    pub(super) fn unblock(&self) {
        self.namespace.nft("delete table inet blocked");
    }

    fn v4_bits(&self) -> u8 {
        if self.network == Network::Open {
            32
        } else {
            24
        }
    }
}
