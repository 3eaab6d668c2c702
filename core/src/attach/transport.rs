//! How a leg may be carried.

use peersox_proto::v1;

/// What carries a leg; earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    /// QUIC (RFC 9000): streams that do not wait for each other, and datagrams.
    Quic = 2,
    /// WebTransport over HTTP/3: the same for browsers.
    WebTransport = 3,
    /// WebSocket (RFC 6455), over HTTP/1.1 or HTTP/2.
    WebSocket = 1,
}

impl Transport {
    /// Every transport, the best first.
    pub const ALL: [Self; 3] = [Self::Quic, Self::WebTransport, Self::WebSocket];

    /// The name shown to people and used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
            Self::WebSocket => "websocket",
        }
    }

    /// Its number in `peersox.v1.Transport`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The transport of this number of `peersox.v1.Transport`, if it is spoken here.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Transport> for v1::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Quic => Self::Quic,
            Transport::WebTransport => Self::Webtransport,
            Transport::WebSocket => Self::Websocket,
        }
    }
}

/// A set of transports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    /// Without any.
    pub const NONE: Self = Self(0);

    /// Every transport.
    pub const ALL: Self = Self::NONE
        .with(Transport::Quic)
        .with(Transport::WebTransport)
        .with(Transport::WebSocket);

    /// Those of native programs.
    pub const NATIVE: Self = Self::ALL.without(Transport::WebTransport);

    /// Those of browsers.
    pub const BROWSER: Self = Self::ALL.without(Transport::Quic);

    /// The set whose bit `1 << number` is set for each transport's number; unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The same set with one more.
    #[must_use]
    pub const fn with(self, transport: Transport) -> Self {
        Self(self.0 | 1 << transport.number())
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, transport: Transport) -> bool {
        self.0 & 1 << transport.number() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The best of them.
    #[must_use]
    pub fn best(self) -> Option<Transport> {
        Transport::ALL.into_iter().find(|it| self.has(*it))
    }

    /// The one to try first. WebTransport comes last: browsers still lose its streams now and then, so that
    /// it is to improve a leg that there is, and to be had where nothing else passes.
    #[must_use]
    pub fn first(self) -> Option<Transport> {
        let surest = self.without(Transport::WebTransport);
        surest.best().or(self.best())
    }

    /// Those that are better than `transport`.
    #[must_use]
    pub fn better_than(self, transport: Transport) -> Self {
        let better = Transport::ALL.into_iter().take_while(|it| *it != transport);
        self.and(better.collect())
    }

    /// The same set without this one.
    #[must_use]
    pub const fn without(self, transport: Transport) -> Self {
        Self(self.0 & !(1 << transport.number()))
    }
}

impl FromIterator<Transport> for Transports {
    fn from_iter<I: IntoIterator<Item = Transport>>(transports: I) -> Self {
        transports.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<Transport> for Transports {
    fn from(transport: Transport) -> Self {
        Self::NONE.with(transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_the_best_and_the_better() {
        let all = Transports::ALL;
        assert_eq!(all.best(), Some(Transport::Quic));
        assert_eq!(
            all.better_than(Transport::WebSocket),
            Transports::from(Transport::Quic).with(Transport::WebTransport)
        );
        assert!(all.better_than(Transport::Quic).is_empty());
        let browser = Transports::BROWSER;
        assert_eq!(browser.best(), Some(Transport::WebTransport));
        assert_eq!(browser.first(), Some(Transport::WebSocket));
        let forced = Transports::from(Transport::WebTransport);
        assert_eq!(forced.first(), Some(Transport::WebTransport));
        assert_eq!(all.first(), Some(Transport::Quic));
        assert_eq!(Transports::NONE.best(), None);
        assert_eq!(Transports::NONE.first(), None);
        assert_eq!(Transports::from_bits(0xff), all);
    }

    #[test]
    fn numbers_are_those_of_the_language() {
        for transport in Transport::ALL {
            assert_eq!(v1::Transport::from(transport) as u8, transport.number());
            assert_eq!(Transport::from_number(transport.number()), Some(transport));
        }
        assert_eq!(Transport::from_number(0), None);
    }
}
