//! Whose connection it is, if proxies of TCP stand in between (PROXY protocol, versions 1 and 2).
//!
//! ```text
//! a trusted proxy   PROXY TCP4 203.0.113.9 …, then TLS or HTTP   the client is 203.0.113.9
//!                   PROXY LOCAL or UNKNOWN, then TLS or HTTP     nobody is named, by HTTP neither
//!                   anything else, or nothing in time            closed
//! anybody else      TLS or HTTP                                  the client is who called
//!                   PROXY …                                      closed
//! ```
//!
//! The header is taken from the connection to its last byte and no further: what follows is read as if
//! nothing had stood before it.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use peersox_core::limit::Networks;
use proxy_header::{Error as Bad, ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Who has to begin with a header, and who may not.
#[derive(Debug)]
pub(crate) struct Proxied {
    trusted: Networks,
    /// Whether the operator was told of a trusted proxy that sends no header, and of a header from somebody
    /// who is not trusted.
    warned: [AtomicBool; 2],
}

/// Why nobody knows whose connection it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("it begins with a PROXY header, and does not come from a trusted proxy")]
    Untrusted,
    #[error("it comes from a trusted proxy, and does not begin with a PROXY header")]
    Missing,
    #[error("its PROXY header is longer than {LONGEST} bytes")]
    TooLong,
    #[error("its PROXY header is about datagrams")]
    Datagrams,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Proxied {
    pub(crate) fn new(trusted: Networks) -> Self {
        let warned = Default::default();
        Self { trusted, warned }
    }

    /// The client of a connection from `peer`; nobody if a trusted proxy names none. Waits for the first
    /// bytes; the caller bounds the time of that.
    pub(crate) async fn client(
        &self,
        stream: &mut TcpStream,
        peer: IpAddr,
    ) -> Result<Option<IpAddr>, Unknown> {
        if !self.trusted.contains(peer) {
            return match begins_with_a_header(stream).await? {
                false => Ok(Some(peer)),
                true => {
                    self.warn(1, peer, UNTRUSTED);
                    Err(Unknown::Untrusted)
                }
            };
        }
        let named = header(stream).await;
        if matches!(named, Err(Unknown::Missing)) {
            self.warn(0, peer, MISSING);
        }
        named
    }

    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contains(peer)
    }

    fn warn(&self, which: usize, address: IpAddr, text: &str) {
        tracing::debug!(%address, "a connection was closed for its PROXY header, or for the lack of one");
        if !self.warned[which].swap(true, Ordering::Relaxed) {
            tracing::warn!("{text}");
        }
    }
}

/// Whether the first bytes are those of a header. They stay where they are.
async fn begins_with_a_header(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; SIGNATURES[1].len()];
    let seen = stream.peek(&mut first).await?;
    Ok(SIGNATURES.iter().any(|it| first[..seen].starts_with(it)))
}

/// Takes a header from the connection. Gives the address of the client, if the header names one.
async fn header(stream: &mut TcpStream) -> Result<Option<IpAddr>, Unknown> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let mut bytes = [0; LONGEST];
    let mut taken = 0;
    loop {
        let seen = stream.peek(&mut bytes[taken..]).await?;
        if seen == 0 && taken < LONGEST {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let parsed = ProxyHeader::parse(&bytes[..taken + seen], config);
        let (end, client) = match parsed {
            Ok((header, len)) => (len, Some(client(&header))),
            Err(Bad::BufferTooShort) if taken + seen < LONGEST => (taken + seen, None),
            Err(Bad::BufferTooShort) => return Err(Unknown::TooLong),
            Err(_) => return Err(Unknown::Missing),
        };
        // All that was seen belongs to the header, or all before `end`.
        stream.read_exact(&mut bytes[taken..end]).await?;
        taken = end;
        if let Some(client) = client {
            return client;
        }
    }
}

fn client(header: &ProxyHeader<'_>) -> Result<Option<IpAddr>, Unknown> {
    match header.proxied_address() {
        None => Ok(None),
        Some(named) if named.protocol == Protocol::Stream => {
            Ok(Some(named.source.ip().to_canonical()))
        }
        Some(_) => Err(Unknown::Datagrams),
    }
}

/// How headers begin, in version 1 and in version 2.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The most bytes of a header. One of version 1 has 107 at most; in one of version 2 addresses take 52, and
/// what some proxies say of TLS takes some hundred more.
const LONGEST: usize = 2_048;

const MISSING: &str = "a connection from a trusted proxy begins without a PROXY header and was closed; let \
     the proxy send one (haproxy: send-proxy-v2), or start without --proxy-protocol \
     (`ServerConfig::proxy_protocol`)";
const UNTRUSTED: &str = "a connection from an address that is not trusted begins with a PROXY header and was \
     closed; if it is your proxy, name it with --trust-proxy (`ServerConfig::trusted_proxies`)";

#[cfg(test)]
mod tests {
    use proxy_header::ProxiedAddress;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn v2(client: &str, proxy: &str) -> Vec<u8> {
        let named = ProxiedAddress::stream(client.parse().unwrap(), proxy.parse().unwrap());
        let header = ProxyHeader::with_address(named);
        let mut bytes = [0; 128];
        let len = header.encode_to_slice_v2(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }

    fn v2_with(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURES[1], &[command, family], &len, rest].concat()
    }

    /// What is found out about a connection from 127.0.0.1 that says these pieces, one after the other, and
    /// then hangs up; and what is left to be read.
    async fn told(trusted: &str, pieces: &[&[u8]]) -> (Result<Option<IpAddr>, Unknown>, Vec<u8>) {
        let proxied = Proxied::new([trusted.parse().unwrap()].into_iter().collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut mine = TcpStream::connect(address).await.unwrap();
        mine.set_nodelay(true).unwrap();
        let (mut stream, address) = listener.accept().await.unwrap();
        let says = async {
            for piece in pieces {
                mine.write_all(piece).await.unwrap();
                // The other end looks at it meanwhile.
                tokio::task::yield_now().await;
            }
            mine.shutdown().await.unwrap();
        };
        let (client, ()) = tokio::join!(proxied.client(&mut stream, address.ip()), says);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        (client, rest)
    }

    #[tokio::test]
    async fn a_trusted_proxy_names_the_client() {
        const V1: &[u8] = b"PROXY TCP4 203.0.113.9 10.0.0.1 51000 443\r\n";
        let v4 = v2("203.0.113.9:51000", "10.0.0.1:443");
        let v6 = v2("[2001:db8::1]:51000", "[2001:db8::2]:443");
        let mapped = v2("[::ffff:203.0.113.9]:51000", "[2001:db8::2]:443");
        let with_more = v2_with(
            0x21,
            0x11,
            &[&v4[16..], &[0x04, 2, 0][..], &[0; 512]].concat(),
        );
        let local = v2_with(0x20, 0, &[]);
        let unix = v2_with(0x21, 0x31, &[b'/'; 216]);
        for (header, expected) in [
            (V1, "203.0.113.9"),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\n",
                "2001:db8::1",
            ),
            (b"PROXY UNKNOWN\r\n", "nobody"),
            (&v4, "203.0.113.9"),
            (&v6, "2001:db8::1"),
            (&mapped, "203.0.113.9"),
            (&with_more, "203.0.113.9"),
            (&local, "nobody"),
            (&unix, "nobody"),
        ] {
            let bytes: Vec<&[u8]> = header.chunks(1).collect();
            for pieces in [
                vec![header, b"\x16rest"],
                vec![&[header, b"\x16rest"].concat()[..]],
                [&bytes[..], &[b"\x16rest"]].concat(),
            ] {
                let (client, rest) = told("127.0.0.1", &pieces).await;
                let client = client.unwrap().map(|it| it.to_string());
                assert_eq!(
                    client.as_deref().unwrap_or("nobody"),
                    expected,
                    "{header:?}"
                );
                assert_eq!(rest, b"\x16rest", "{header:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_to_send_a_header() {
        let unfinished = &v2("203.0.113.9:1", "10.0.0.1:2")[..20];
        let long = v2_with(0x21, 0x11, &[0; 3_000]);
        let datagrams = v2_with(0x21, 0x12, &[0; 12]);
        for (said, why) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "does not begin with"),
            (b"\x16\x03\x01", "does not begin with"),
            (b"PROXY TCP4 junk 10.0.0.1 1 2\r\n", "does not begin with"),
            (
                &[b"PROXY TCP4 "[..].to_vec(), vec![b'1'; 100]].concat(),
                "does not begin with",
            ),
            (&v2_with(0x31, 0x11, &[0; 12]), "does not begin with"),
            (&datagrams, "is about datagrams"),
            (&long, "is longer than 2048 bytes"),
            (unfinished, "unexpected end of file"),
            (b"", "unexpected end of file"),
        ] {
            let (client, _) = told("127.0.0.1", &[said]).await;
            let error = client.unwrap_err().to_string();
            assert!(error.contains(why), "{said:?}: {error}");
        }
    }

    #[tokio::test]
    async fn nobody_else_may_send_one() {
        let forged = v2("203.0.113.9:1", "10.0.0.1:2");
        for header in [&forged[..], b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n"] {
            let (client, _) = told("10.0.0.0/8", &[header]).await;
            assert!(matches!(client, Err(Unknown::Untrusted)), "{client:?}");
        }
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"PR", b""] {
            let (client, rest) = told("10.0.0.0/8", &[said]).await;
            assert_eq!(client.unwrap().unwrap().to_string(), "127.0.0.1");
            assert_eq!(rest, said);
        }
    }
}
