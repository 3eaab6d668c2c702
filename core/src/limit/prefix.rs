//! Whom a budget is charged to: a host, and the networks that it is part of.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// How wide a prefix is. Somebody with one line has a host, somebody with a contract often a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// One IPv4 address; 64 bits of IPv6, because a machine can take any address of its link.
    Host,
    /// 56 bits of IPv6, what a household is usually given. IPv4 has no such level.
    Site,
    /// 24 bits of IPv4; 48 bits of IPv6, which anybody gets for nothing from a tunnel broker.
    Network,
}

impl Level {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Host, Self::Site, Self::Network];
}

/// The first bits of an address. An IPv4 address is the IPv6 address that it is mapped to, and the other
/// way round: `::ffff:192.0.2.1` is charged like `192.0.2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    /// The prefixes of an address with their levels, the narrowest first.
    pub fn of(address: IpAddr) -> impl DoubleEndedIterator<Item = (Level, Self)> {
        let (bits, lens) = match address.to_canonical() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), V4),
            IpAddr::V6(v6) => (v6.to_bits(), V6),
        };
        let cut = move |(level, len): (Level, u8)| {
            let bits = bits & (u128::MAX << (128 - u32::from(len)));
            (level, Self { bits, len })
        };
        lens.iter().copied().map(cut)
    }
}

impl std::fmt::Display for Prefix {
    /// As in `2001:db8::/48`; of IPv4 as in `192.0.2.0/24`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Ipv6Addr::from_bits(self.bits).to_canonical() {
            IpAddr::V4(v4) if self.len >= 96 => write!(f, "{v4}/{}", self.len - 96),
            IpAddr::V4(_) | IpAddr::V6(_) => {
                write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits), self.len)
            }
        }
    }
}

const V4: &[(Level, u8)] = &[(Level::Host, 96 + 32), (Level::Network, 96 + 24)];
const V6: &[(Level, u8)] = &[(Level::Host, 64), (Level::Site, 56), (Level::Network, 48)];

/// One network, as an operator writes it: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let parsed = match text.split_once('/') {
            None => text.parse::<IpAddr>().ok().map(IpNet::from),
            // `ipnet` alone would read 010.0.0.0/8 as decimal, and other programs read it as octal.
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => text.parse::<IpNet>().ok(),
            Some(_) => None,
        };
        let network = parsed.ok_or_else(|| BadNetwork(text.to_owned()))?;
        Ok(Self(unmapped(network)))
    }
}

/// Networks of IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) are networks of IPv4.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let v4 = v6.addr().to_ipv4_mapped();
    let len = v6.prefix_len().checked_sub(96);
    match v4.zip(len) {
        Some((v4, len)) => IpNet::new(v4.into(), len).unwrap_or(network),
        None => network,
    }
}

/// A text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct BadNetwork(String);

/// Networks that are treated alike: not metered, or believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().map(|Network(it)| it).collect())
    }
}

/// Whom requests without a known address are charged to.
pub const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
