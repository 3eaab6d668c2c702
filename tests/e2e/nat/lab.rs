//! The internet of a test, its server, and all that is connected to it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::process::Command;

use super::device::Device;
use super::namespace::{Namespace, forbidden};
use super::network::{Network, provider};
use super::wires::{
    FAR, FIRST_HOST, INTERNET, PROVIDER, SERVER_V4, SERVER_V6, furnish, plug, plug_device,
    plug_router, plug_server, public_v4, public_v6,
};
use crate::harness::{Server, binary, quiet};

pub struct Lab {
    internet: Arc<Namespace>,
    server: Namespace,
    hosts: NamedTempFile,
    /// The home of all devices in [`Network::Lan`], and how many it has.
    shared: Option<(Home, u8)>,
    /// The provider of all homes in [`Network::Hairpin`].
    provider: Option<Arc<Namespace>>,
    /// The public network that was made last.
    number: u8,
}

/// A router with a network behind it.
#[derive(Clone)]
struct Home {
    router: Arc<Namespace>,
    number: u8,
}

/// Bytes that came to the server and left it, with the headers of IP.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    pub udp: u64,
    pub tcp: u64,
}

impl Lab {
    /// Nothing where the kernel or the rights forbid it, and a line that says so.
    pub fn new() -> Option<Self> {
        if let Some(why) = forbidden() {
            // Not by a macro: the test harness shows what those print for failures only.
            let line = format!("skipped: no laboratory of networks can be made here: {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let mut hosts = NamedTempFile::new().expect("there is room for a file");
        let mut names = String::from("127.0.0.1 localhost\n::1 localhost\n");
        names += &format!("{} {NAME}\n{} {NAME}\n", SERVER_V4[0], SERVER_V6[0]);
        hosts.write_all(names.as_bytes()).expect("there is room");
        let internet = Namespace::new(None, hosts.path()).expect("it was tried");
        let server = Namespace::new(Some(&internet), hosts.path()).expect("it was tried");
        plug_server(&internet, &server);
        server.nft(COUNTERS);
        Some(Self {
            internet: Arc::new(internet),
            server,
            hosts,
            shared: None,
            provider: None,
            number: 1,
        })
    }

    /// Starts a server at [`Lab::url`], without budgets: all devices of a home call from one address.
    pub async fn serve(&self, options: &[&str]) -> Server {
        let mut command = self.outside(binary());
        command
            .args(["serve", "--listen", &format!("[::]:{PORT}")])
            .args(["--unmetered", "0.0.0.0/0", "--unmetered", "::/0"])
            .args(options);
        Server::run(command, "http").await
    }

    /// How devices call the server: by a name that has addresses of both families.
    pub fn url(&self) -> String {
        format!("http://{NAME}:{PORT}")
    }

    /// A program beside the server, with pipes; it ends when it is dropped.
    pub fn outside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.server.command(program).into();
        quiet(&mut command);
        command
    }

    /// What the server has carried since the laboratory was made.
    pub fn carried(&self) -> Carried {
        let told = self.server.ask_nft("list counters table inet carried");
        let bytes = |name: &str| {
            let (_, counter) = told.split_once(&format!("counter {name} {{"))?;
            let (_, bytes) = counter.split_once("bytes ")?;
            bytes.split_whitespace().next()?.parse().ok()
        };
        Carried {
            udp: bytes("over_udp").expect("nft counts it"),
            tcp: bytes("over_tcp").expect("nft counts it"),
        }
    }

    /// A new device in a network of this kind.
    pub fn device(&mut self, network: Network) -> Device {
        match network {
            Network::Open => self.open(),
            Network::FullCone
            | Network::PortRestricted
            | Network::Symmetric
            | Network::UdpBlocked
            | Network::V6Only
            | Network::DeadV6 => {
                let home = self.home(network);
                self.inside(network, home, FIRST_HOST)
            }
            Network::Lan => {
                let shared = self.shared.take();
                let (home, devices) = shared.unwrap_or_else(|| (self.home(network), 0));
                self.shared = Some((home.clone(), devices + 1));
                self.inside(network, home, FIRST_HOST + devices)
            }
            Network::Double => {
                let provider = self.provide(false);
                self.provided(network, provider)
            }
            Network::Hairpin => {
                let known = self.provider.take();
                let provider = known.unwrap_or_else(|| self.provide(true));
                self.provider = Some(Arc::clone(&provider));
                self.provided(network, provider)
            }
        }
    }

    /// From now on these two get UDP from nobody but the server. Nobody is told: packets vanish.
    pub fn block_direct(&self, one: &Device, other: &Device) {
        one.block();
        other.block();
    }

    /// Ends [`Lab::block_direct`].
    pub fn unblock_direct(&self, one: &Device, other: &Device) {
        one.unblock();
        other.unblock();
    }

    /// Gives a device other addresses instead of those it has, as another lease or another network does.
    pub fn readdress(&mut self, device: &mut Device) {
        device.unsettle();
        if device.network == Network::Open {
            let (old, link) = (device.number, &device.link);
            let new = self.number();
            self.internet.ip(&format!(
                "route del {}/32 dev {link}
                 route del {} dev {link}
                 route add {}/32 dev {link}
                 route add {} via {FAR} dev {link}",
                public_v4(old),
                public_v6(old),
                public_v4(new),
                public_v6(new),
            ));
            device.number = new;
        } else {
            device.host += FIRST_HOST;
        }
        device.settle();
        if device.network == Network::FullCone {
            let inside = device.v4.expect("it has NAT");
            device.gates[0].nft(&device.network.rules(inside));
        }
    }

    fn open(&mut self) -> Device {
        let number = self.number();
        let namespace = self.namespace();
        let up = (&*self.internet, INTERNET);
        let link = plug(up, (&namespace, "eth0"), number, public_v4(number));
        let gates = vec![Arc::clone(&self.internet)];
        let mut device = Device::new(Network::Open, namespace, number, FIRST_HOST, gates);
        device.link = link;
        device
    }

    /// A home with a public address.
    fn home(&mut self, network: Network) -> Home {
        let number = self.number();
        let router = self.namespace();
        let up = (&*self.internet, INTERNET);
        plug_router(up, &router, number, public_v4(number));
        furnish(network, &router, number);
        Home {
            router: Arc::new(router),
            number,
        }
    }

    /// A provider's router.
    fn provide(&mut self, hairpin: bool) -> Arc<Namespace> {
        let number = self.number();
        let router = self.namespace();
        let up = (&*self.internet, INTERNET);
        plug_router(up, &router, number, public_v4(number));
        router.nft(&provider(public_v4(number), hairpin));
        Arc::new(router)
    }

    /// A device in a home of its own at a provider.
    fn provided(&mut self, network: Network, provider: Arc<Namespace>) -> Device {
        let number = self.number();
        let router = self.namespace();
        let address = Ipv4Addr::new(100, 64, 0, number);
        plug_router((&provider, PROVIDER), &router, number, address);
        furnish(network, &router, number);
        let home = Home {
            router: Arc::new(router),
            number,
        };
        let mut device = self.inside(network, home, FIRST_HOST);
        device.gates.push(provider);
        device
    }

    fn inside(&self, network: Network, home: Home, host: u8) -> Device {
        let namespace = self.namespace();
        plug_device(&home.router, &namespace, host);
        Device::new(network, namespace, home.number, host, vec![home.router])
    }

    fn namespace(&self) -> Namespace {
        Namespace::new(Some(&self.internet), self.hosts.path()).expect("it was tried")
    }

    fn number(&mut self) -> u8 {
        self.number = self.number.checked_add(1).expect("there are 254 of them");
        self.number
    }
}

/// The server's name, and its port for TCP and UDP.
const NAME: &str = "peersox.test";
const PORT: u16 = 3000;

const COUNTERS: &str = "
table inet carried {
    counter over_udp {
    }
    counter over_tcp {
    }
    chain came {
        type filter hook input priority filter
        meta l4proto udp counter name over_udp
        meta l4proto tcp counter name over_tcp
    }
    chain left {
        type filter hook output priority filter
        meta l4proto udp counter name over_udp
        meta l4proto tcp counter name over_tcp
    }
}";
