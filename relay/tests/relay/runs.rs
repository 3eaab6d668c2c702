//! Frames that one read brings together, between WebSockets.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::support::{
    EACH, EVERY_PAIR, Over, Peer, Server, fresh, hello, hello_with, notice, patiently,
};

/// A message as a client puts it on the wire.
pub fn on_the_wire(message: &Frame) -> Vec<u8> {
    piece(
        OpCode::Data(Data::Binary),
        true,
        &message.clone().into_bytes(),
    )
}

/// The same in two pieces.
fn in_pieces(message: &Frame) -> Vec<u8> {
    let payload = message.clone().into_bytes();
    let (first, last) = payload.split_at(payload.len() / 2);
    let first = piece(OpCode::Data(Data::Binary), false, first);
    [first, piece(OpCode::Data(Data::Continue), true, last)].concat()
}

fn piece(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x00, 0xff, 0x13];
    let header = FrameHeader {
        opcode,
        is_final,
        mask: Some(mask),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

fn socket(peer: &mut Peer) -> &mut TcpStream {
    let Peer::Ws(ws) = peer else {
        unreachable!("a WebSocket was asked for")
    };
    ws.get_mut()
}

pub fn reliable(mark: u8, len: usize) -> Frame {
    Frame::new(Lane::Reliable, &vec![mark; len])
}

#[tokio::test]
async fn frames_that_come_in_crumbs_arrive_whole() {
    let server = Server::start(Config::default()).await;
    let sizes = [0, 1, 124, 125, 3_000, 5_000, 65_535, 20, 65_534, 65_535, 7];
    let frames: Vec<_> = (0..)
        .zip(sizes)
        .map(|(mark, len)| reliable(mark, len))
        .collect();
    let bytes: Vec<_> = frames.iter().flat_map(on_the_wire).collect();
    for crumb in [7, 1_000, 4_097, 50_000] {
        let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
        let socket = socket(&mut one);
        socket.set_nodelay(true).unwrap();
        // The small ones byte by byte.
        let (small, large) = bytes.split_at(300);
        for chunk in small.chunks(1).chain(large.chunks(crumb)) {
            socket.write_all(chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
        for frame in &frames {
            assert_eq!(two.recv().await, *frame, "{crumb}");
        }
    }
}

#[tokio::test]
async fn frames_of_all_lanes_that_come_together_arrive_each_in_its_way() {
    let server = Server::start(Config::default()).await;
    for (over, other) in EVERY_PAIR.into_iter().filter(|pair| pair.0 == Over::Ws) {
        let (mut one, mut two, _) = server.pair((over, other)).await;
        let lanes = [
            Lane::Reliable,
            Lane::Signal,
            Lane::Reliable,
            Lane::Datagram,
            Lane::Notice,
            Lane::Reliable,
        ];
        let frames = (0..).zip(lanes).map(|(mark, lane)| match lane {
            Lane::Notice => notice(Kind::Ping(v1::Ping { nonce: 7 })),
            lane => Frame::new(lane, &[mark; 100]),
        });
        let frames: Vec<_> = frames.collect();
        let bytes: Vec<_> = frames.iter().flat_map(on_the_wire).collect();
        socket(&mut one).write_all(&bytes).await.unwrap();
        let mut got = Vec::new();
        for _ in 0..5 {
            got.push(two.recv().await);
        }
        for lane in [Lane::Reliable, Lane::Signal, Lane::Datagram] {
            let of = |frames: &[Frame]| -> Vec<Frame> {
                frames
                    .iter()
                    .filter(|it| it.lane() == lane)
                    .cloned()
                    .collect()
            };
            assert_eq!(of(&got), of(&frames), "{lane:?}");
        }
        assert_eq!(one.notice().await, Kind::Pong(v1::Pong { nonce: 7 }));
    }
}

#[tokio::test]
async fn frames_whole_and_in_pieces_keep_their_order() {
    let server = Server::start(Config::default()).await;
    for other in EACH {
        let (mut one, mut two, _) = server.pair((Over::Ws, other)).await;
        let frames: Vec<_> = (0..200).map(|mark| reliable(mark, 10)).collect();
        let bytes = frames.iter().enumerate().map(|(at, frame)| match at % 3 {
            1 => in_pieces(frame),
            _ => on_the_wire(frame),
        });
        let bytes: Vec<_> = bytes.flatten().collect();
        socket(&mut one).write_all(&bytes).await.unwrap();
        for frame in frames {
            assert_eq!(two.recv().await, frame, "{other:?}");
        }
    }
}

/// Tiny frames in pieces cost more memory than bytes on the wire; they wait in the socket.
#[tokio::test]
async fn many_frames_in_pieces_wait_for_a_slow_reader() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let frames: Vec<_> = (0..60_000_u32)
        .map(|at| Frame::new(Lane::Reliable, &at.to_be_bytes()))
        .collect();
    let bytes: Vec<_> = frames.iter().flat_map(in_pieces).collect();
    let send = async { socket(&mut one).write_all(&bytes).await.unwrap() };
    let take = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for frame in &frames {
            assert_eq!(two.recv().await, *frame);
        }
    };
    tokio::join!(send, take);
}

#[tokio::test]
async fn no_datagram_is_dropped_because_many_come_together() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    for lane in [Lane::Datagram, Lane::Signal] {
        let frames: Vec<_> = (0..200)
            .map(|mark| Frame::new(lane, &[mark; 100]))
            .collect();
        let bytes: Vec<_> = frames.iter().flat_map(on_the_wire).collect();
        socket(&mut one).write_all(&bytes).await.unwrap();
        for frame in frames {
            assert_eq!(two.recv().await, frame);
        }
    }
}

/// A client that hears no Pong for a while hangs up.
#[tokio::test]
async fn a_ping_is_answered_amid_a_backlog() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let Peer::Ws(reader) = &mut two else {
        unreachable!("a WebSocket was asked for")
    };
    // Nobody reads until far more is on its way than all buffers hold.
    let frame = on_the_wire(&reliable(1, 60_000));
    let flood = async { while socket(&mut one).write_all(&frame).await.is_ok() {} };
    let pinged = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        reader
            .send(Message::Ping(Bytes::from_static(b"there?")))
            .await
            .unwrap();
        // It reads more slowly than frames come, so that they never stop waiting.
        loop {
            match reader.next().await.unwrap().unwrap() {
                Message::Pong(payload) => return assert_eq!(payload, &b"there?"[..]),
                Message::Binary(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    patiently(async {
        tokio::select! {
            () = flood => panic!("the leg of the sender ended"),
            () = pinged => {}
        }
    })
    .await;
}

/// A close frame is the last one (RFC 6455, section 5.5.1).
#[tokio::test]
async fn nothing_comes_behind_a_close_frame() {
    let server = Server::start(Config::default()).await;
    let mut peer = server.connect(Over::Ws).await;
    let mut bytes = piece(OpCode::Control(Control::Ping), true, b"there?");
    bytes.extend(on_the_wire(&hello_with("T.I.C")));
    let socket = socket(&mut peer);
    socket.write_all(&bytes).await.unwrap();
    let mut said = Vec::new();
    patiently(socket.read_to_end(&mut said)).await.unwrap();
    let (pong, close) = said.split_at(2 + 6);
    assert_eq!(pong, b"\x8a\x06there?");
    assert_eq!(close[0], 0x88);
    assert_eq!(close.len(), 2 + usize::from(close[1]), "{close:x?}");
}

#[tokio::test]
async fn what_came_before_a_fault_in_the_same_read_still_arrives() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let frames = [reliable(1, 10), reliable(2, 200), reliable(3, 0)];
    let mut bytes: Vec<_> = frames.iter().flat_map(on_the_wire).collect();
    // A reserved bit.
    bytes.extend([0xc2, 0x80, 0, 0, 0, 0]);
    socket(&mut one).write_all(&bytes).await.unwrap();
    for frame in frames {
        assert_eq!(two.recv().await, frame);
    }
    assert_eq!(one.closed().await, Some(CloseReason::ProtocolError));
    assert!(matches!(two.notice().await, Kind::PeerAway(_)));
}

#[tokio::test]
async fn frames_never_overtake_what_the_relay_says() {
    let server = Server::start(Config::default()).await;
    for _ in 0..20 {
        let session = fresh();
        let (mut one, _) = server.attach(Over::Ws, session, Role::Initiator).await;
        let waiting: Vec<_> = (0..100)
            .flat_map(|mark| on_the_wire(&reliable(mark, 100)))
            .collect();
        socket(&mut one).write_all(&waiting).await.unwrap();
        let mut two = server.connect(Over::Ws).await;
        // Its frame comes in the same read as its Hello.
        let first = [hello(session, Role::Joiner), reliable(200, 5)];
        let bytes: Vec<_> = first.iter().flat_map(on_the_wire).collect();
        socket(&mut two).write_all(&bytes).await.unwrap();
        socket(&mut one).write_all(&waiting).await.unwrap();
        let welcome = two.notice().await;
        assert!(matches!(welcome, Kind::Welcome(_)), "{welcome:?}");
        for mark in (0..100).chain(0..100) {
            assert_eq!(two.recv().await, reliable(mark, 100));
        }
        assert_eq!(one.notice().await, Kind::PeerOnline(v1::PeerOnline {}));
        assert_eq!(one.recv().await, reliable(200, 5));
    }
}

#[tokio::test]
async fn a_reader_that_stops_and_goes_on_gets_every_frame_of_every_run_in_order() {
    let server = Server::start(Config::default()).await;
    for other in EACH {
        let (mut one, mut two, _) = server.pair((Over::Ws, other)).await;
        // More than everything between the two holds, in frames of every size.
        let frames: Vec<_> = (0..4_000_u32)
            .map(|at| {
                let len = [3, 60, 500, 9_000, 40_000][at as usize % 5];
                let mut payload = vec![at as u8; len];
                payload[..3].copy_from_slice(&at.to_be_bytes()[1..]);
                Frame::new(Lane::Reliable, &payload)
            })
            .collect();
        let bytes: Vec<_> = frames.iter().flat_map(on_the_wire).collect();
        let send = async {
            let (first, rest) = bytes.split_at(bytes.len() / 3);
            socket(&mut one).write_all(first).await.unwrap();
            socket(&mut one).write_all(rest).await.unwrap();
        };
        let take = async {
            for (at, frame) in frames.iter().enumerate() {
                if at % 1_000 == 500 {
                    // What waits is copied meanwhile, and cut anywhere.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                assert_eq!(two.recv().await, *frame, "{at}");
            }
        };
        tokio::join!(send, take);
    }
}

/// All legs of a thread read into the same memory.
#[tokio::test]
async fn what_one_session_sends_reaches_no_other() {
    let server = Server::start(Config::default()).await;
    let mut pairs = Vec::new();
    for _ in 0..8 {
        pairs.push(server.pair((Over::Ws, Over::Ws)).await);
    }
    for round in 0..50_u8 {
        // Long ones leave their bytes behind for short ones, and for those of which a part is still to come.
        let mut sent = Vec::new();
        for (at, (one, ..)) in (0..).zip(&mut pairs) {
            let mark = round.wrapping_mul(8).wrapping_add(at);
            let frame = reliable(mark, [60_000, 3, 900, 5_000][usize::from(at + round) % 4]);
            let bytes = on_the_wire(&frame);
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            socket(one).write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            sent.push((frame, rest.to_vec()));
        }
        for ((one, ..), (_, rest)) in pairs.iter_mut().zip(&sent) {
            socket(one).write_all(rest).await.unwrap();
        }
        for ((_, two, _), (frame, _)) in pairs.iter_mut().zip(&sent) {
            assert_eq!(two.recv().await, *frame);
        }
    }
}

/// Whose allocations are counted.
pub fn of_this_thread() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// The relay runs on a thread whose allocations are counted; the peers use sockets of the system on another
/// one.
#[test]
fn frames_between_websockets_cost_no_allocation_each() {
    const ROUNDS: usize = 200;
    const FRAMES: usize = 50;
    let runtime = of_this_thread();
    let (one, two, _server) = runtime.block_on(async {
        let server = Server::start(Config::default()).await;
        let (one, two, _) = server.pair((Over::Ws, Over::Ws)).await;
        (one, two, server)
    });
    let std_socket = |peer: Peer| {
        let Peer::Ws(ws) = peer else {
            unreachable!("a WebSocket was asked for")
        };
        let _guard = runtime.enter();
        let socket = ws.into_inner().into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        socket
    };
    let (mut one, mut two) = (std_socket(one), std_socket(two));
    let (told, done) = tokio::sync::oneshot::channel();
    let peers = std::thread::spawn(move || {
        let frame = on_the_wire(&reliable(1, 63));
        let batch = frame.repeat(FRAMES);
        // A server's head is four bytes shorter.
        let mut got = vec![0; (frame.len() - 4) * FRAMES];
        for _ in 0..ROUNDS {
            one.write_all(&batch).unwrap();
            two.read_exact(&mut got).unwrap();
        }
        assert_eq!(Bytes::copy_from_slice(&got[..2]), &[0x82, 64][..]);
        told.send(()).unwrap();
        (one, two)
    });
    let cost = allocation_counter::measure(|| runtime.block_on(done).unwrap());
    peers.join().unwrap();
    let frames = (ROUNDS * FRAMES) as u64;
    assert!(
        cost.count_total < frames / 100,
        "{cost:?} for {frames} frames"
    );
}

/// What is asked for: not what the allocator makes of it, and without the HTTP of a server.
#[test]
fn an_idle_pair_over_websockets_holds_a_few_kibibytes() {
    const PAIRS: usize = 32;
    let runtime = of_this_thread();
    let server = runtime.block_on(Server::start(Config::default()));
    let attach = |pairs: usize| {
        runtime.block_on(async {
            let mut sockets = Vec::new();
            for _ in 0..pairs {
                let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
                one.send(reliable(1, 60_000)).await;
                assert_eq!(two.recv().await, reliable(1, 60_000));
                for peer in [one, two] {
                    let Peer::Ws(ws) = peer else {
                        unreachable!("a WebSocket was asked for")
                    };
                    // The buffers of the client are not the question.
                    sockets.push(ws.into_inner().into_std().unwrap());
                }
            }
            sockets
        })
    };
    let warm = attach(1);
    let mut sockets = Vec::with_capacity(2 * PAIRS);
    let cost = allocation_counter::measure(|| sockets.extend(attach(PAIRS)));
    let each = cost.bytes_current / PAIRS as i64;
    assert!(each < 5 * 1024, "{each} bytes each: {cost:?}");
    drop((warm, sockets));
}
