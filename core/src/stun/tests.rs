use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

/// RFC 5769, section 2.1: a request with FINGERPRINT, as ICE sends it between peers.
const SAMPLE_REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
    802200105354554e207465737420636c69656e74\
    002400046e0001ff\
    80290008932ff9b151263b36\
    000600096576746a3a68367659202020\
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
    80280004e57a3bcf";

/// The attributes of RFC 5769, sections 2.2 and 2.3, for the same transaction id.
const SAMPLE_IPV4: &str = "002000080001a147e112a643";
const SAMPLE_IPV6: &str = "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9";

/// Headers of IP and UDP, which count when one asks what a network carries.
const HEADERS_IPV4: usize = 20 + 8;
const HEADERS_IPV6: usize = 40 + 8;

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn v4() -> SocketAddr {
    "192.0.2.1:32853".parse().unwrap()
}

fn v6() -> SocketAddr {
    "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
        .parse()
        .unwrap()
}

/// A request with the transaction id of the samples and these attributes.
fn request(attributes: &[u8]) -> Vec<u8> {
    let mut request = bytes("000100002112a442b7e7a701bc34d686fa87dfae");
    request[3] = u8::try_from(attributes.len()).unwrap();
    request.extend(attributes);
    request
}

/// Adds FINGERPRINT, or a wrong one.
fn signed(mut request: Vec<u8>, wrong: u8) -> Vec<u8> {
    request[3] += 8;
    let mut sum = fingerprint(&request);
    sum[3] ^= wrong;
    request.extend([0x80, 0x28, 0, 4]);
    request.extend(sum);
    request
}

fn answered(datagram: &[u8], from: SocketAddr) -> Option<String> {
    answer(datagram, from).map(|it| HEXLOWER.encode(it.as_bytes()))
}

#[test]
fn addresses_are_told_as_in_the_samples() {
    let head = |len: &str| format!("0101{len}2112a442b7e7a701bc34d686fa87dfae");
    let to_v4 = Some(head("000c") + SAMPLE_IPV4);
    let to_v6 = Some(head("0018") + SAMPLE_IPV6);
    let IpAddr::V4(ip) = v4().ip() else {
        panic!("it is one of IPv4");
    };
    let mapped = SocketAddr::from((ip.to_ipv6_mapped(), v4().port()));
    // SOFTWARE, which may be ignored; its five bytes are padded to eight.
    let software = request(&bytes("8022000561626364ff000000"));
    for sound in [
        request(&[]),
        software.clone(),
        signed(request(&[]), 0),
        signed(software, 0),
    ] {
        assert_eq!(answered(&sound, v4()), to_v4);
        assert_eq!(answered(&sound, mapped), to_v4);
        assert_eq!(answered(&sound, v6()), to_v6);
    }
}

#[test]
fn what_is_demanded_and_unknown_is_named() {
    // PRIORITY, USERNAME, MESSAGE-INTEGRITY.
    let refused = "011100142112a442b7e7a701bc34d686fa87dfae\
        0009000400000414000a00060024000600080000";
    let sample = bytes(SAMPLE_REQUEST);
    assert_eq!(answered(&sample, v4()).as_deref(), Some(refused));
    // CHANGE-REQUEST of RFC 5780, which asks for an answer from elsewhere.
    let change = request(&bytes("0003000400000006"));
    let refused = "011100102112a442b7e7a701bc34d686fa87dfae0009000400000414000a000200030000";
    assert_eq!(answered(&change, v4()).as_deref(), Some(refused));
    let demanding = |count| request(&bytes("00030000").repeat(count));
    assert!(answer(&demanding(MOST_UNKNOWN), v4()).is_some());
    assert_eq!(answer(&demanding(MOST_UNKNOWN + 1), v4()), None);
}

#[test]
fn a_fingerprint_that_is_there_has_to_be_right_and_the_last() {
    let sample = bytes(SAMPLE_REQUEST);
    // The lengths of the other attributes and the type of this one: a change there can hide it.
    let hide = [22..24, 42..44, 50..52, 62..64, 78..80, 100..102];
    let covered = (0..sample.len()).filter(|at| !hide.iter().any(|it| it.contains(at)));
    for at in covered {
        for bit in 0..8 {
            let mut flipped = sample.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(answer(&flipped, v4()), None, "bit {bit} of byte {at}");
        }
    }
    assert_eq!(answer(&signed(request(&[]), 1), v4()), None);
    let mut followed = signed(request(&[]), 0);
    followed[3] += 4;
    followed.extend([0x80, 0x22, 0, 0]);
    assert_eq!(answer(&followed, v4()), None);
}

#[test]
fn what_is_no_sound_request_gets_nothing() {
    let sound = request(&bytes("8022000461626364"));
    assert!(answer(&sound, v4()).is_some());
    for len in 0..sound.len() {
        assert_eq!(answer(&sound[..len], v4()), None, "the first {len}");
    }
    let longer = [&sound[..], &[0; 4]].concat();
    assert_eq!(answer(&longer, v4()), None, "bytes behind the end");
    let with = |at: usize, byte: u8| {
        let mut changed = sound.clone();
        changed[at] = byte;
        changed
    };
    for (why, datagram) in [
        ("success", with(0, 0x01)),
        ("indication", with(1, 0x11)),
        ("another method", with(1, 0x03)),
        ("QUIC", with(0, 0xc0)),
        ("no cookie", with(4, 0x20)),
        ("no cookie", with(7, 0x43)),
        ("length of the message", with(3, 4)),
        ("length of an attribute", with(23, 5)),
        ("a value that is missing", request(&bytes("80220001"))),
        ("padding that is missing", request(&bytes("8022000161"))),
    ] {
        assert_eq!(answer(&datagram, v4()), None, "{why}");
    }
    let mut long = request(&[]);
    let body = LONGEST_REQUEST - HEADER - 4;
    long[2..4].copy_from_slice(&u16::try_from(body + 4).unwrap().to_be_bytes());
    long.extend([0x80, 0x22]);
    long.extend(u16::try_from(body).unwrap().to_be_bytes());
    long.resize(LONGEST_REQUEST, 0);
    assert!(answer(&long, v4()).is_some());
    let len = u16::try_from(body + 8).unwrap().to_be_bytes();
    long[2..4].copy_from_slice(&len);
    long.extend([0x80, 0x22, 0, 0]);
    assert_eq!(answer(&long, v4()), None, "longer than what is read");
}

#[test]
fn the_first_byte_tells_stun_from_quic() {
    let stun = (0..=u8::MAX).filter(|first| is_stun(*first));
    assert_eq!(stun.collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// A reader of answers, written from the RFC and apart from what writes them.
fn mapped_address(answer: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
    let unmask = |at: usize| answer[28 + at] ^ answer[4 + at];
    let ip: IpAddr = match answer[25] {
        1 => Ipv4Addr::from(std::array::from_fn::<_, 4, _>(unmask)).into(),
        2 => Ipv6Addr::from(std::array::from_fn::<_, 16, _>(unmask)).into(),
        other => panic!("no family {other}"),
    };
    SocketAddr::new(ip, port)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::from),
        any::<Ipv6Addr>().prop_map(IpAddr::from),
        any::<Ipv4Addr>().prop_map(|it| it.to_ipv6_mapped().into()),
    ]
}

/// Sound requests and what is next to them: attributes of any kind, bytes that were changed, cut or added.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let attribute = (any::<u16>(), prop::collection::vec(any::<u8>(), 0..9));
    let attributes = prop::collection::vec(attribute, 0..10);
    let change = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (attributes, any::<bool>(), change, 0usize..3).prop_map(|(attributes, sign, change, cut)| {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(&value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut datagram = request(&body);
        if sign {
            datagram = signed(datagram, 0);
        }
        if let Some((at, byte)) = change {
            let at = at.index(datagram.len());
            datagram[at] = byte;
        }
        datagram.truncate(datagram.len() - cut / 2);
        datagram
    })
}

proptest! {
    /// With the headers below, an answer has at most 1.36 times the bytes of its request. Without them, a
    /// refusal has at most 1.5 times.
    #[test]
    fn an_answer_is_at_most_half_as_long_again(datagram in datagram(), ip in address(), port: u16) {
        let from = SocketAddr::new(ip, port);
        let Some(answer) = answer(&datagram, from) else {
            return Ok(());
        };
        let (asked, answer) = (datagram.len(), answer.as_bytes());
        let is_v4 = ip.to_canonical().is_ipv4();
        let headers = if is_v4 { HEADERS_IPV4 } else { HEADERS_IPV6 };
        prop_assert!(100 * (answer.len() + headers) <= 136 * (asked + headers));
        prop_assert_eq!(answer[4..20].to_vec(), datagram[4..20].to_vec());
        prop_assert_eq!(usize::from(answer[3]), answer.len() - 20);
        match answer[..2] {
            [1, 1] => {
                prop_assert_eq!(answer.len(), if is_v4 { 32 } else { 44 });
                let told = mapped_address(answer);
                prop_assert_eq!(told, SocketAddr::new(ip.to_canonical(), port));
            }
            [1, 0x11] => prop_assert!(2 * answer.len() <= 3 * asked),
            _ => prop_assert!(false, "no answer begins like this"),
        }
        // Nobody answers it.
        prop_assert_eq!(super::answer(answer, from), None);
    }

    #[test]
    fn no_bytes_make_it_panic(datagram in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut framed = request(&[]);
        framed.extend(&datagram);
        let len = u16::try_from(datagram.len()).unwrap().to_be_bytes();
        framed[2..4].copy_from_slice(&len);
        for it in [&datagram, &framed] {
            let _ = answer(it, v6());
        }
    }
}

proptest! {
    #[test]
    fn a_peer_learns_the_address_that_a_server_saw(
        transaction: Transaction,
        ip in address(),
        port: u16,
    ) {
        let seen = SocketAddr::new(ip, port);
        let answer = answer(&super::request(&transaction), seen).unwrap();
        let told = SocketAddr::new(seen.ip().to_canonical(), seen.port());
        prop_assert_eq!(mapped(answer.as_bytes()), Some((transaction, told)));
    }

    #[test]
    fn a_damaged_answer_is_none_or_tells_an_address(
        transaction: Transaction,
        ip in address(),
        port: u16,
        at in 0..LONGEST_ANSWER,
        byte: u8,
        len in 0..LONGEST_ANSWER,
    ) {
        let seen = SocketAddr::new(ip, port);
        let answer = answer(&super::request(&transaction), seen).unwrap();
        let mut bytes = answer.as_bytes().to_vec();
        if let Some(it) = bytes.get_mut(at) {
            *it = byte;
        }
        bytes.truncate(len);
        let _ = mapped(&bytes);
    }
}

#[test]
fn the_answers_of_the_rfc_are_read() {
    let transaction = *bytes("b7e7a701bc34d686fa87dfae").first_chunk().unwrap();
    for (mapping, address) in [(SAMPLE_IPV4, v4()), (SAMPLE_IPV6, v6())] {
        // SOFTWARE before it, as in section 2.2.
        let attributes = format!("8022000b7465737420766563746f7220{mapping}");
        let mut answer = bytes("010100002112a442b7e7a701bc34d686fa87dfae");
        answer[3] = u8::try_from(attributes.len() / 2).unwrap();
        answer.extend(bytes(&attributes));
        assert_eq!(mapped(&answer), Some((transaction, address)));
        answer[1] = 0x11;
        assert_eq!(mapped(&answer), None, "a refusal");
    }
    assert_eq!(mapped(&super::request(&transaction)), None, "a request");
}

proptest! {
    /// Batches as the kernel hands them over: datagrams of one length, the last one perhaps shorter.
    #[test]
    fn what_is_no_stun_is_left_as_it_was(
        firsts in prop::collection::vec(prop_oneof![0u8..4, 4u8..=255], 1..70),
        stride in 1usize..64,
        shorter: prop::sample::Index,
    ) {
        let mut datagrams: Vec<Vec<u8>> = (64u8..)
            .zip(&firsts)
            .map(|(fill, first)| [&[*first][..], &vec![fill; stride - 1]].concat())
            .collect();
        let last = datagrams.last_mut().expect("there is one");
        last.truncate(1 + shorter.index(stride));
        let mut buffer = datagrams.concat();
        let len = buffer.len();
        // The memory is longer than what arrived.
        buffer.resize(len + 7, 1);

        let is_stun = |it: &&Vec<u8>| it[0] < 4;
        let stun: Vec<_> = datagrams.iter().filter(is_stun).cloned().collect();
        let others: Vec<_> = datagrams.iter().filter(|it| !is_stun(it)).cloned().collect();
        prop_assert_eq!(is_among(&buffer[..len], stride), !stun.is_empty());
        let mut taken = Vec::new();
        let left = take_out(&mut buffer, len, stride, |it| taken.push(it.to_vec()));
        prop_assert_eq!(taken, stun);
        let left: Vec<_> = buffer[..left].chunks(stride).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(left, others);
    }
}

#[test]
fn nothing_received_is_no_stun() {
    assert!(!is_among(&[], 0));
    assert_eq!(take_out(&mut [0; 4], 0, 0, |_| panic!("there is none")), 0);
}
