use super::*;

fn frame(lane: u8, number: u32, len: usize) -> Frame {
    let mut bytes = vec![0; len];
    bytes[0] = lane;
    bytes[1..5].copy_from_slice(&number.to_be_bytes());
    Frame::parse(Bytes::from(bytes)).unwrap()
}

/// Brings packets across until there are none, all but those that `loses` takes.
fn exchange(sides: &mut [Sctp; 2], now: Instant, mut loses: impl FnMut(&Bytes) -> bool) {
    loop {
        let mut is_moved = false;
        for from in [0, 1] {
            while let Some(packet) = sides[from].poll_transmit(now) {
                is_moved = true;
                if !loses(&packet) {
                    sides[1 - from].handle(now, packet);
                }
            }
        }
        if !is_moved {
            return;
        }
    }
}

fn connected(now: Instant) -> [Sctp; 2] {
    let mut sides = [Sctp::new(1_120), Sctp::new(1_120)];
    sides[1].connect().unwrap();
    exchange(&mut sides, now, |_| false);
    assert!(sides.iter().all(|it| it.state() == State::Open));
    sides
}

#[test]
fn datagrams_that_find_many_before_them_are_dropped_and_hold_nothing_up() {
    let now = Instant::now();
    let mut sides = connected(now);
    for number in 0..1_000 {
        sides[0].send(frame(2, number, 1_000)).unwrap();
    }
    sides[0].send(frame(1, 0, 100)).unwrap();
    exchange(&mut sides, now, |_| false);
    let mut lanes = [0; 3];
    while let Some(frame) = sides[1].read() {
        lanes[usize::from(frame[0])] += 1;
    }
    assert_eq!(lanes, [0, 1, DATAGRAMS_WAITING.div_ceil(1_000)]);
}

#[test]
fn a_lost_datagram_is_not_sent_again_and_a_lost_frame_is() {
    let now = Instant::now();
    let mut sides = connected(now);
    for number in 0..4 {
        for lane in [1, 2] {
            sides[0].send(frame(lane, number, 1_000)).unwrap();
        }
    }
    let mut sent = 0;
    exchange(&mut sides, now, |packet| {
        sent += usize::from(packet.len() > 900);
        packet.len() > 900 && sent <= 2
    });
    for seconds in 1..30 {
        let now = now + std::time::Duration::from_secs(seconds);
        sides.iter_mut().for_each(|it| it.handle_timeout(now));
        exchange(&mut sides, now, |_| false);
    }
    let (mut frames, mut datagrams) = (Vec::new(), 0);
    while let Some(frame) = sides[1].read() {
        match frame[0] {
            1 => frames.push(frame[4]),
            _ => datagrams += 1,
        }
    }
    assert_eq!(frames, [0, 1, 2, 3]);
    assert!(datagrams < 4, "{datagrams}");
}

#[test]
fn what_costs_memory_without_a_window_is_not_taken() {
    let now = Instant::now();
    let mut sides = connected(now);
    let other = PayloadProtocolIdentifier::Binary;
    let (_, association) = sides[0].association.as_mut().unwrap();
    association.open_stream(7, other).unwrap();
    let sent = association.stream(7).unwrap().write_with_ppi(b"x", other);
    assert!(sent.is_ok());
    exchange(&mut sides, now, |_| false);
    assert_eq!(sides[1].state(), State::Closed, "another channel");

    let mut sides = connected(now);
    sides[0].send(frame(1, 0, 100)).unwrap();
    let mut packet = sides[0].poll_transmit(now).unwrap().to_vec();
    assert_eq!(chunks(&packet).collect::<Vec<_>>(), [(DATA, 116)]);
    packet[15] = 16;
    packet.truncate(COMMON_HEADER + DATA_HEADER);
    sum(&mut packet);
    assert_eq!(chunks(&packet).collect::<Vec<_>>(), [(DATA, 16)]);
    sides[1].handle(now, packet.into());
    assert!(sides[1].read().is_none() && sides[1].poll_transmit(now).is_none());
}

#[test]
fn an_association_that_is_begun_again_stays_what_it_was() {
    let now = Instant::now();
    let mut sides = [Sctp::new(1_120), Sctp::new(1_120)];
    sides[1].connect().unwrap();
    let late = sides[1].poll_transmit(now).unwrap();
    sides[0].handle(now, late.clone());
    exchange(&mut sides, now, |_| false);
    let mut another = Sctp::new(1_120);
    another.connect().unwrap();
    for begun in [late, another.poll_transmit(now).unwrap()] {
        sides
            .iter_mut()
            .for_each(|it| it.handle(now, begun.clone()));
    }
    sides[0].send(frame(1, 0, 100)).unwrap();
    exchange(&mut sides, now, |_| false);
    assert!(sides.iter().all(|it| it.state() == State::Open));
    assert!(sides[1].read().is_some());
}

#[test]
fn frames_before_an_abort_are_read() {
    let now = Instant::now();
    let mut sides = connected(now);
    for number in 0..3 {
        sides[0].send(frame(1, number, 100)).unwrap();
    }
    exchange(&mut sides, now, |_| false);
    // The tag is that of the packets before.
    sides[0].send(frame(1, 3, 100)).unwrap();
    let mut abort = sides[0].poll_transmit(now).unwrap()[..COMMON_HEADER].to_vec();
    abort.extend([ABORT, 0, 0, 4]);
    sum(&mut abort);
    sides[1].handle(now, abort.into());
    assert_eq!(sides[1].state(), State::Closed);
    for number in 0..3 {
        assert!(sides[1].read() == Some(frame(1, number, 100).into_bytes()));
    }
    assert!(sides[1].read().is_none());
}

/// Writes the checksum of a packet: of RFC 9260, appendix A, bit by bit.
fn sum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let each = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |it, _| {
            (it >> 1) ^ (0x82f6_3b78 * (it & 1))
        })
    };
    let checksum = !packet.iter().fold(!0, each);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn frames_that_nobody_reads_hold_the_other_side_up() {
    let now = Instant::now();
    let mut sides = connected(now);
    let mut sent = 0;
    while sides[0].has_room() {
        sides[0].send(frame(1, sent, 65_536)).unwrap();
        exchange(&mut sides, now, |_| false);
        sent += 1;
    }
    let most = (WINDOW as usize + QUEUE) / 65_536 + 2;
    assert!((sent as usize) <= most, "{sent} frames wait");
    for number in 0..sent {
        let mut late = now;
        let heard = loop {
            match sides[1].read() {
                Some(heard) => break heard,
                None => {
                    late += std::time::Duration::from_secs(1);
                    sides.iter_mut().for_each(|it| it.handle_timeout(late));
                    exchange(&mut sides, late, |_| false);
                }
            }
        };
        assert!(heard == frame(1, number, 65_536).into_bytes(), "{number}");
    }
}
