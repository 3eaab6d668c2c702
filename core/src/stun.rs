//! Binding of STUN (RFC 8489): a peer asks under which address it is seen, and a server tells it.
//!
//! ```text
//! 0             2               4               8                20
//! | type 0x0001 | bytes from 20 | 0x2112_a442   | transaction id | attributes: type, length, value, padding
//! ```
//!
//! The server is the *basic* one of RFC 8489, section 12: it knows no users and none of the attributes that a
//! client may demand to be understood. It answers requests only, never an answer, so that two servers cannot
//! be made to talk to each other; and the answer goes to where the request came from.
//!
//! | request | answer |
//! |---|---|
//! | a sound one | success with XOR-MAPPED-ADDRESS: 32 bytes over IPv4, 44 over IPv6 |
//! | a sound one that demands something | error 420 with UNKNOWN-ATTRIBUTES: at most 1.5 times the request |
//! | anything else | none |
//!
//! A request without attributes has 20 bytes, and browsers send it so. Counted with the headers of IP and
//! UDP, an answer is at most 1.36 times its request: 60 bytes for 48 over IPv4, 92 for 68 over IPv6.
//!
//! A peer sends such a request ([`request`]) and takes the answer to it ([`mapped`]), and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether a datagram that begins with this byte is one of STUN where QUIC and STUN share a port (RFC 9443,
/// section 3). Those of QUIC begin with 64 or more, unless a peer was told that the fixed bit may be cleared
/// (RFC 9287), which is therefore not to be told.
#[must_use]
pub const fn is_stun(first: u8) -> bool {
    first < 4
}

/// Whether one of the datagrams that a socket received together is one of STUN. One begins every `stride`
/// bytes; the last one may be shorter.
#[must_use]
pub fn is_among(received: &[u8], stride: usize) -> bool {
    received
        .iter()
        .step_by(stride.max(1))
        .any(|first| is_stun(*first))
}

/// Hands each datagram of STUN over and moves the others together, in their order and with their stride.
/// Returns how many bytes are left.
pub fn take_out(
    buffer: &mut [u8],
    len: usize,
    stride: usize,
    mut take: impl FnMut(&[u8]),
) -> usize {
    let mut kept = 0;
    for start in (0..len).step_by(stride.max(1)) {
        let end = len.min(start + stride.max(1));
        if is_stun(buffer[start]) {
            take(&buffer[start..end]);
        } else {
            buffer.copy_within(start..end, kept);
            kept += end - start;
        }
    }
    kept
}

/// Answers a datagram that came from `from`; nothing if it gets no answer. An IPv6 address to which an IPv4
/// address is mapped is told as the IPv4 address.
#[must_use]
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<Answer> {
    let request = Request::parse(datagram)?;
    Some(match request.unknown() {
        [] => Answer::mapped(request.id, from),
        unknown => Answer::refusal(request.id, unknown),
    })
}

/// The number of a request, which its answer repeats. It is random, so that nobody who does not see the
/// request can answer it.
pub type Transaction = [u8; 12];

/// A request for the address under which its sender is seen, without attributes.
#[must_use]
pub fn request(transaction: &Transaction) -> [u8; REQUEST_LEN] {
    let mut request = [0; REQUEST_LEN];
    request[..2].copy_from_slice(&REQUEST.to_be_bytes());
    request[4..8].copy_from_slice(&COOKIE);
    request[8..].copy_from_slice(transaction);
    request
}

/// The request that a datagram answers, and the address that it tells; nothing if it is no such answer.
#[must_use]
pub fn mapped(datagram: &[u8]) -> Option<(Transaction, SocketAddr)> {
    let (head, rest) = datagram.split_first_chunk::<4>()?;
    let (id, mut rest) = rest.split_first_chunk::<16>()?;
    let [kind_0, kind_1, len_0, len_1] = *head;
    let is_answer = u16::from_be_bytes([kind_0, kind_1]) == SUCCESS
        && usize::from(u16::from_be_bytes([len_0, len_1])) == rest.len()
        && id.starts_with(&COOKIE);
    if !is_answer {
        return None;
    }
    let transaction = *id.last_chunk::<12>()?;
    while !rest.is_empty() {
        let (kind, value, after) = attribute(rest)?;
        if kind == XOR_MAPPED_ADDRESS {
            return Some((transaction, unmask(value, id)?));
        }
        rest = after;
    }
    None
}

/// The address in the value of XOR-MAPPED-ADDRESS.
fn unmask(value: &[u8], id: &Id) -> Option<SocketAddr> {
    let (&[_, family, port_0, port_1], address) = value.split_first_chunk::<4>()?;
    let [cookie_0, cookie_1, ..] = *id;
    let port = u16::from_be_bytes([port_0 ^ cookie_0, port_1 ^ cookie_1]);
    let mut bytes = [0; 16];
    for ((byte, masked), mask) in bytes.iter_mut().zip(address).zip(id) {
        *byte = masked ^ mask;
    }
    let ip = match (family, address.len()) {
        (FAMILY_IPV4, 4) => {
            let [a, b, c, d, ..] = bytes;
            IpAddr::from(Ipv4Addr::new(a, b, c, d))
        }
        (FAMILY_IPV6, 16) => IpAddr::from(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The type and the value of the first attribute, and what follows it.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[kind_0, kind_1, len_0, len_1], after) = bytes.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([len_0, len_1]));
    let kind = u16::from_be_bytes([kind_0, kind_1]);
    let rest = after.get(len.next_multiple_of(4)..)?;
    Some((kind, after.get(..len)?, rest))
}

/// What is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; LONGEST_ANSWER],
    len: usize,
}

impl Answer {
    /// The datagram.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn mapped(id: &Id, from: SocketAddr) -> Self {
        // The port and the address are masked, so that no router mistakes them for an address to rewrite.
        let [cookie_0, cookie_1, ..] = *id;
        let [port_0, port_1] = from.port().to_be_bytes();
        let port = [port_0 ^ cookie_0, port_1 ^ cookie_1];
        let mut answer = Self::begin(SUCCESS, id);
        match from.ip().to_canonical() {
            IpAddr::V4(v4) => answer.mapped_to(FAMILY_IPV4, port, &v4.octets(), id),
            IpAddr::V6(v6) => answer.mapped_to(FAMILY_IPV6, port, &v6.octets(), id),
        }
        answer
    }

    fn mapped_to(&mut self, family: u8, port: [u8; 2], address: &[u8], id: &Id) {
        let mut value = [0; 20];
        value[1] = family;
        value[2..4].copy_from_slice(&port);
        for ((masked, byte), mask) in value[4..].iter_mut().zip(address).zip(id) {
            *masked = byte ^ mask;
        }
        self.push(XOR_MAPPED_ADDRESS, &value[..4 + address.len()]);
    }

    fn refusal(id: &Id, unknown: &[u16]) -> Self {
        let mut answer = Self::begin(ERROR, id);
        // Class and number, and a reason for people, which may be empty.
        answer.push(ERROR_CODE, &[0, 0, 4, 20]);
        let mut types = [0; 2 * MOST_UNKNOWN];
        for (pair, kind) in types.chunks_exact_mut(2).zip(unknown) {
            pair.copy_from_slice(&kind.to_be_bytes());
        }
        answer.push(UNKNOWN_ATTRIBUTES, &types[..2 * unknown.len()]);
        answer
    }

    fn begin(kind: u16, id: &Id) -> Self {
        let mut bytes = [0; LONGEST_ANSWER];
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        bytes[4..HEADER].copy_from_slice(id);
        Self { bytes, len: HEADER }
    }

    /// Adds an attribute and its padding.
    fn push(&mut self, kind: u16, value: &[u8]) {
        let (at, len) = (self.len, value.len());
        let [.., len_0, len_1] = len.to_be_bytes();
        self.bytes[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&[len_0, len_1]);
        self.bytes[at + 4..at + 4 + len].copy_from_slice(value);
        self.len = at + 4 + len.next_multiple_of(4);
        let [.., body_0, body_1] = (self.len - HEADER).to_be_bytes();
        self.bytes[2..4].copy_from_slice(&[body_0, body_1]);
    }
}

/// The cookie and the transaction id: what an answer repeats, and what masks an address.
type Id = [u8; 16];

/// A sound Binding request.
struct Request<'a> {
    id: &'a Id,
    unknown: [u16; MOST_UNKNOWN],
    unknown_count: usize,
}

impl<'a> Request<'a> {
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (head, rest) = datagram.split_first_chunk::<4>()?;
        let (id, mut rest) = rest.split_first_chunk::<16>()?;
        let [kind_0, kind_1, len_0, len_1] = *head;
        let is_request = u16::from_be_bytes([kind_0, kind_1]) == REQUEST
            && usize::from(u16::from_be_bytes([len_0, len_1])) == rest.len()
            && id.starts_with(&COOKIE)
            && datagram.len() <= LONGEST_REQUEST;
        if !is_request {
            return None;
        }
        let mut request = Self {
            id,
            unknown: [0; MOST_UNKNOWN],
            unknown_count: 0,
        };
        while !rest.is_empty() {
            let before = datagram.len() - rest.len();
            let (kind, value, after) = attribute(rest)?;
            rest = after;
            if kind == FINGERPRINT {
                let right = value == fingerprint(&datagram[..before]);
                // Nothing may follow it.
                return (right && rest.is_empty()).then_some(request);
            }
            if kind < COMPREHENSION_OPTIONAL {
                *request.unknown.get_mut(request.unknown_count)? = kind;
                request.unknown_count += 1;
            }
        }
        Some(request)
    }

    /// The types of the attributes that it demands to be understood.
    fn unknown(&self) -> &[u16] {
        &self.unknown[..self.unknown_count]
    }
}

/// CRC-32 of what stands before the attribute, masked so that it differs from one of a protocol inside.
fn fingerprint(before: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in before {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = 0u32.wrapping_sub(crc & 1);
            crc = (crc >> 1) ^ (CRC_POLYNOMIAL & carry);
        }
    }
    (!crc ^ FINGERPRINT_MASK).to_be_bytes()
}

/// The port of STUN where an address names none (RFC 8489, section 18.6).
pub const PORT: u16 = 3478;
/// The length of a [`request`].
pub const REQUEST_LEN: usize = HEADER;

/// The longest datagram that is read: what passes everywhere (RFC 8489, section 6.1).
const LONGEST_REQUEST: usize = 548;
/// A refusal that names [`MOST_UNKNOWN`] attributes.
const LONGEST_ANSWER: usize = HEADER + 8 + 4 + 2 * MOST_UNKNOWN;
/// A request that demands more attributes than these gets no answer.
const MOST_UNKNOWN: usize = 8;
const HEADER: usize = 20;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// Attributes from here on may be ignored.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;

/// That of ISO 3309, reflected.
const CRC_POLYNOMIAL: u32 = 0xedb8_8320;
const FINGERPRINT_MASK: u32 = 0x5354_554e;

#[cfg(test)]
mod tests;
