//! Frames of a real leg with bytes changed, moved, left out and put in.
//!
//! A model at this end decodes the same bytes by `codec` and judges each frame as `docs/protocol.md` says. So
//! it knows which frames the relay looked at, and when the relay has to hang up.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use peersox_codec::length::{Piece, Splitter};
use peersox_codec::websocket::{Buffer, Decoder, Kind as Message, Token};
use peersox_core::frame::{Frame, Lane};
use peersox_core::notice::{self, Kind};
use peersox_core::role::Role;
use peersox_core::testing::Dice;
use peersox_proto::v1;
use tokio::time::timeout;

use super::legs::{Leg, Over, Session, client, encode};
use super::{Attacked, ROOM};
use crate::harness::{PATIENCE, noise, soon};

#[tokio::test]
async fn mutated_frames_of_a_websocket_end_their_leg_and_nothing_else() {
    flood(Over::WebSocket).await;
}

#[tokio::test]
async fn mutated_frames_of_quic_end_their_leg_and_nothing_else() {
    flood(Over::Quic).await;
}

/// So many at a time.
const WORKERS: usize = 8;
/// No leg sends more frames.
const FRAMES: usize = 40;
/// Tickets are good for five minutes.
const RENEWAL: Duration = Duration::from_secs(60);

async fn flood(over: Over) {
    let number = |name: &str, otherwise: u64| {
        let given = std::env::var(name).ok();
        given.map_or(otherwise, |it| it.parse().expect("a number"))
    };
    let frames = number("PEERSOX_MUTATED", 20_000);
    let seed = number("PEERSOX_SEED", 1);
    let attacked = Attacked::start(&[]).await;
    let sessions = join_all((0..WORKERS).map(|_| Session::open(&attacked.server))).await;
    let mut workers = Vec::new();
    for (at, session) in sessions.into_iter().enumerate() {
        let sink = soon(session.attach(Over::WebSocket, Role::Joiner)).await;
        workers.push((Worker::new(over, session, seed + at as u64), sink));
    }
    // What is judged in the first fifth shows what so many legs need by themselves.
    let judged = AtomicU64::new(0);
    let before = AtomicU64::new(0);
    let all = workers.iter_mut().map(async |(worker, sink)| {
        let attacks = async {
            while judged.load(Relaxed) < frames {
                let now = worker.leg(&attacked).await;
                let judged = judged.fetch_add(now, Relaxed) + now;
                let memory = attacked.memory();
                if judged <= frames / 5 {
                    before.fetch_max(memory, Relaxed);
                }
            }
        };
        // What the relay passes on is read.
        tokio::select! {
            () = attacks => {}
            () = async { while sink.next().await.is_some() {} } => panic!("the other peer lost its leg"),
        }
    });
    join_all(all).await;
    drop(workers);
    let grown = attacked.most() - before.load(Relaxed);
    let (judged, before) = (judged.load(Relaxed), before.load(Relaxed));
    eprintln!("{judged} mutated frames over {over:?}: {before} bytes, {grown} more at most");
    assert!(
        grown < ROOM,
        "{grown} bytes more for {judged} frames, seed {seed}"
    );
    attacked.end().await;
}

/// One leg after the other, in one session.
struct Worker {
    over: Over,
    session: Session,
    client: quinn::Endpoint,
    dice: Dice,
    renewed: Instant,
    refused: u32,
    seed: u64,
}

impl Worker {
    fn new(over: Over, session: Session, seed: u64) -> Self {
        Self {
            over,
            session,
            client: client(Ipv4Addr::LOCALHOST),
            dice: Dice::new(seed),
            renewed: Instant::now(),
            refused: 0,
            seed,
        }
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.dice.below(end as u64)).unwrap()
    }

    /// Sends until the model says that the leg is over, or enough was sent. Answers how many mutated frames
    /// were judged.
    async fn leg(&mut self, attacked: &Attacked) -> u64 {
        if self.renewed.elapsed() > RENEWAL {
            self.session.renew(&attacked.server).await;
            self.renewed = Instant::now();
        }
        // Many addresses, so that no port is used again too early.
        let [a, b] = [self.below(250), self.below(250)];
        let from = Ipv4Addr::new(
            127,
            2,
            1 + u8::try_from(a).unwrap(),
            1 + u8::try_from(b).unwrap(),
        );
        let port = attacked.server.port;
        let mut leg = match self.over {
            Over::WebSocket => soon(Leg::connect(self.over, port, from)).await,
            Over::Quic => soon(Leg::connect_by(&self.client, port)).await,
        };
        let hello = self.session.hello(Role::Initiator).into_bytes();
        let mut judged = 0;
        if self.below(4) == 0 {
            let bytes = self.mutated(&hello);
            let mut model = Model::new(self.over);
            model.take(&bytes);
            leg.write(&bytes).await;
            if let Some(first) = model.frames.pop_front() {
                model.over |= !self.says_the_ticket(&first);
            }
            if model.is_over() {
                self.hung_up(&mut leg, &model).await;
            }
            return 1;
        }
        leg.send(&Frame::parse(hello).unwrap()).await;
        if soon(leg.next()).await.is_none() {
            // On a machine without a processor to spare a Hello may come too late.
            self.refused += 1;
            assert!(
                self.refused < 20,
                "good Hellos are refused, seed {}",
                self.seed
            );
            return 0;
        }
        let mut model = Model::new(self.over);
        for _ in 0..FRAMES {
            let frame = self.frame();
            let bytes = self.mutated(&frame.into_bytes());
            let is_taken = leg.write(&bytes).await;
            judged += 1;
            model.take(&bytes);
            if model.is_over() {
                self.hung_up(&mut leg, &model).await;
            }
            if model.is_over() || !is_taken {
                break;
            }
        }
        judged
    }

    /// Waits until the relay hangs up, as it has to.
    async fn hung_up(&self, leg: &mut Leg, model: &Model) {
        let ended = timeout(PATIENCE, leg.ended()).await;
        assert!(
            ended.is_ok(),
            "the leg lives on, seed {}: {model:?}",
            self.seed
        );
    }

    /// Whether this is a Hello with the right ticket. It may name another program than before.
    fn says_the_ticket(&self, frame: &Bytes) -> bool {
        let kind = |bytes: &Bytes| {
            let frame = Frame::parse(bytes.clone()).ok()?;
            let kind = notice::decode(frame.payload()).ok()??;
            (frame.lane() == Lane::Notice).then_some(kind)
        };
        let right = self.session.hello(Role::Initiator).into_bytes();
        match (kind(frame), kind(&right)) {
            (Some(Kind::Hello(said)), Some(Kind::Hello(right))) => {
                said.ticket == right.ticket && said.agent.len() <= 128
            }
            _ => false,
        }
    }

    /// A frame that a peer may send.
    fn frame(&mut self) -> Frame {
        let len = match self.below(20) {
            0 => 1_000,
            _ => self.below(100),
        };
        let payload = noise(len, self.dice.roll());
        match self.below(8) {
            0 => notice::encode(Kind::Ping(v1::Ping {
                nonce: self.dice.roll(),
            })),
            1 => Frame::new(Lane::Datagram, &payload),
            2 => Frame::new(Lane::Signal, &payload),
            _ => Frame::new(Lane::Reliable, &payload),
        }
    }

    /// A frame as its transport carries it, changed in one to three places, most of them at its beginning.
    fn mutated(&mut self, frame: &Bytes) -> Vec<u8> {
        let mut bytes = encode(self.over, frame);
        for _ in 0..1 + self.below(3) {
            let near = [bytes.len(), bytes.len().min(16)][self.below(2)];
            if near == 0 {
                break;
            }
            let at = self.below(near);
            let byte = self.dice.roll().to_le_bytes()[0];
            match self.below(8) {
                0..3 => bytes[at] = byte,
                3 => bytes[at] ^= 1 << (byte & 7),
                4 => bytes.insert(at, byte),
                5 => drop(bytes.remove(at)),
                6 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }
}

/// What the relay makes of a leg's bytes.
struct Model {
    decoder: Result<Decoder, Splitter>,
    rest: Vec<u8>,
    /// What was decoded and not judged.
    frames: VecDeque<Bytes>,
    over: bool,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { over, frames, .. } = self;
        write!(
            f,
            "over: {over}, frames: {frames:?}, and {:?}",
            Bytes::copy_from_slice(&self.rest)
        )
    }
}

impl Model {
    fn new(over: Over) -> Self {
        Self {
            decoder: match over {
                Over::WebSocket => Ok(Decoder::new(MAX_FRAME)),
                Over::Quic => Err(Splitter::new(MAX_FRAME, Lane::Reliable as u8)),
            },
            rest: Vec::new(),
            frames: VecDeque::new(),
            over: false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.decoder {
            Ok(decoder) => {
                self.rest.extend_from_slice(bytes);
                let mut buffer = Buffer::new(&mut self.rest);
                loop {
                    match decoder.next(&mut buffer) {
                        Ok(Some(Token::Message(Message::Binary, at))) => {
                            let frame = Bytes::copy_from_slice(buffer.payload(&at));
                            self.frames.push_back(frame);
                        }
                        Ok(Some(Token::Assembled(Message::Binary, frame))) => {
                            self.frames.push_back(frame)
                        }
                        Ok(Some(Token::Ping(_) | Token::Pong)) => {}
                        Ok(Some(Token::Message(..) | Token::Assembled(..) | Token::Close(_)))
                        | Err(_) => {
                            self.over = true;
                            break;
                        }
                        Ok(None) => break,
                    }
                }
                self.rest = buffer.rest().to_vec();
            }
            Err(splitter) => {
                splitter.push(Bytes::copy_from_slice(bytes));
                loop {
                    match splitter.split(MAX_FRAME) {
                        Ok(Some(Piece::Frame(frame))) => self.frames.push_back(frame),
                        Ok(Some(Piece::Run(run))) => self.frames.extend(run.into_frames()),
                        Ok(None) => break,
                        Err(_) => {
                            self.over = true;
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Whether the relay has to hang up.
    fn is_over(&mut self) -> bool {
        self.over |= !self.frames.iter().all(may_be_sent);
        if !self.over {
            self.frames.clear();
        }
        self.over
    }
}

/// Whether a relay passes a frame on, or answers it.
fn may_be_sent(frame: &Bytes) -> bool {
    let Ok(frame) = Frame::parse(frame.clone()) else {
        return false;
    };
    match frame.lane() {
        Lane::Notice => matches!(notice::decode(frame.payload()), Ok(Some(Kind::Ping(_)))),
        Lane::Reliable => true,
        Lane::Datagram => frame.len() <= 1_024,
        Lane::Signal => frame.len() <= 16_384,
    }
}

const MAX_FRAME: usize = 65_536;
