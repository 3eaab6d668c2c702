//! A command over a saved device: a guest of the process that holds the leg.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use peersox_client::{Chunk, Error, Message, Priority, ResetCode, Status};
use peersox_core::channel::Assembler;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::place::Place;
use super::wire::{self, Answer, Asked, Fault, Frame, Request, Told};
use crate::args::{Remote, Transport};
use crate::argv;
use crate::failure::Failure;
use crate::saved::{Devices, Name};
use crate::signals::spawn_goodbye;
use crate::terminal::Voice;

/// A peer that a holder lends.
pub(crate) struct Peer {
    place: Arc<Place>,
    asks: mpsc::Sender<Ask>,
    status: watch::Receiver<Status>,
    end: watch::Receiver<Option<Result<(), Error>>>,
    /// Each channel holds a copy; `gone` ends with the last of them.
    alive: mpsc::Sender<()>,
    gone: mpsc::Receiver<()>,
}

enum Ask {
    Ping(oneshot::Sender<Duration>),
    Close,
}

/// Becomes a guest of the device's holder, which is started if there is none. Returns at once, whether or not
/// the device is there; events are said by `voice`.
pub(crate) async fn attach(
    devices: &Devices,
    name: &Name,
    remote: &Remote,
    voice: Voice,
) -> anyhow::Result<Peer> {
    let place = Arc::new(Place::of(devices, name));
    let line = arrive(&place, remote).await?;
    let (asks, asked) = mpsc::channel(1);
    let (stands, status) = watch::channel(Status::default());
    let (ends, end) = watch::channel(None);
    let visit = Visit {
        place: Arc::clone(&place),
        remote: remote.clone(),
        voice,
        asked,
        stands,
        pings: Vec::new(),
        closing: false,
    };
    spawn_goodbye(async move {
        let ended = visit.run(line).await;
        ends.send_replace(Some(ended));
    });
    let (alive, gone) = mpsc::channel(1);
    Ok(Peer {
        place,
        asks,
        status,
        end,
        alive,
        gone,
    })
}

impl Peer {
    /// Waits until messages flow.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut status = self.status.clone();
        tokio::select! {
            biased;
            Ok(_) = status.wait_for(|status| status.connected) => Ok(()),
            ended = self.ended() => ended.and(Err(Error::PeerDone)),
        }
    }

    pub(super) async fn open(
        &self,
        name: &str,
        priority: Priority,
    ) -> Result<(Sender, Receiver), Error> {
        let request = Request::Open {
            name: name.to_owned(),
            priority: priority as u8,
        };
        self.channel(&request).await
    }

    pub(super) async fn accept(&self, name: &str) -> Option<(Sender, Receiver)> {
        let name = name.to_owned();
        let request = Request::Accept { name };
        loop {
            let asked = tokio::select! {
                asked = self.channel(&request) => asked,
                _ = self.ended() => return None,
            };
            match asked {
                Ok(halves) => return Some(halves),
                // The holder is gone; the next one is asked.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    async fn channel(&self, request: &Request) -> Result<(Sender, Receiver), Error> {
        let asking = async {
            loop {
                match ask_for(&self.place, request).await {
                    Ok(Answered::Here(line, write)) => {
                        return Ok(halves(line, write, self.alive.clone()));
                    }
                    Ok(Answered::Not(fault)) => return Err(fault.into()),
                    // A holder is being started in place of one that was killed.
                    Err(_) => tokio::time::sleep(BREATH).await,
                }
            }
        };
        tokio::select! {
            asked = asking => asked,
            ended = self.ended() => Err(ended.err().unwrap_or(Error::Gone)),
        }
    }

    pub(super) async fn ping(&self) -> Result<Duration, Error> {
        loop {
            let (reply, round_trip) = oneshot::channel();
            if self.asks.send(Ask::Ping(reply)).await.is_err() {
                return Err(self.ended().await.err().unwrap_or(Error::Gone));
            }
            // Unanswered if the holder was killed meanwhile.
            if let Ok(round_trip) = round_trip.await {
                return Ok(round_trip);
            }
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(super) async fn ended(&self) -> Result<(), Error> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Err(Error::Gone)),
            Err(_) => Err(Error::Gone),
        }
    }

    pub(super) async fn close(mut self) -> Result<(), Error> {
        // The holder has to know of everything that was said over the channels before it parts.
        let (alive, _) = mpsc::channel(1);
        self.alive = alive;
        let _ = tokio::time::timeout(SETTLE, self.gone.recv()).await;
        let _ = self.asks.send(Ask::Close).await;
        self.ended().await
    }
}

/// The guest's own connection to the holder.
struct Visit {
    place: Arc<Place>,
    remote: Remote,
    voice: Voice,
    asked: mpsc::Receiver<Ask>,
    stands: watch::Sender<Status>,
    pings: Vec<(u64, oneshot::Sender<Duration>)>,
    closing: bool,
}

type Line = (BufReader<OwnedReadHalf>, OwnedWriteHalf);

impl Visit {
    /// Until the peer ends, or nobody needs it any more.
    async fn run(mut self, mut line: Line) -> Result<(), Error> {
        loop {
            if let Some(ended) = self.stay(line).await {
                return ended;
            }
            self.pings.clear();
            self.stands.send_replace(Status::default());
            if self.closing {
                return Err(Error::NotTaken);
            }
            let event = serde_json::json!({"event": "taken_over"});
            self.voice.say(
                "the process that held the connection is gone; another one takes over",
                &event,
            );
            line = arrive(&self.place, &self.remote)
                .await
                .map_err(|_| Error::Gone)?;
        }
    }

    /// Until the holder is gone, or, with the result, for ever.
    async fn stay(&mut self, (mut read, mut write): Line) -> Option<Result<(), Error>> {
        let (tells, mut told) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            while let Ok(Some(news)) = wire::hear::<Told>(&mut read).await {
                if tells.send(news).await.is_err() {
                    return;
                }
            }
        });
        let ended = loop {
            tokio::select! {
                ask = self.asked.recv(), if !self.closing => {
                    let said = match ask {
                        Some(Ask::Ping(reply)) => {
                            let id = self.pings.last().map_or(0, |(id, _)| id + 1);
                            self.pings.push((id, reply));
                            wire::tell(&mut write, &Asked::Ping { id }).await
                        }
                        Some(Ask::Close) => {
                            self.closing = true;
                            wire::tell(&mut write, &Asked::Close).await
                        }
                        None => {
                            let _ = wire::tell(&mut write, &Asked::Leave).await;
                            break Some(Ok(()));
                        }
                    };
                    // The reader notices as well that the holder is gone.
                    let _ = said;
                }
                news = told.recv() => match news {
                    Some(Told::Said { sentence, event }) => self.voice.say(&sentence, &event),
                    Some(Told::Stands { leg, presence, connected }) => {
                        self.stands.send_replace(wire::status(leg, presence, connected));
                    }
                    Some(Told::Pong { id, nanos }) => {
                        if let Some(at) = self.pings.iter().position(|it| it.0 == id) {
                            let _ = self.pings.swap_remove(at).1.send(Duration::from_nanos(nanos));
                        }
                    }
                    Some(Told::Ended { fault }) => {
                        break Some(fault.map_or(Ok(()), |fault| Err(fault.into())));
                    }
                    None => break None,
                },
            }
        };
        reader.abort();
        ended
    }
}

/// Connects to the holder; starts one if there is none.
async fn arrive(place: &Place, remote: &Remote) -> anyhow::Result<Line> {
    let arriving = async {
        let mut attempt = 0;
        loop {
            if let Ok(stream) = place.connect().await {
                let (read, mut write) = stream.into_split();
                if wire::tell(&mut write, &Request::Attach).await.is_ok() {
                    return Ok((BufReader::new(read), write));
                }
            }
            // Of several that are started at once, the lock lets one live; it may still be that of a holder
            // that ends.
            if attempt % START_AGAIN == 0 {
                start(place.name(), remote)?;
            }
            attempt += 1;
            tokio::time::sleep(BREATH).await;
        }
    };
    match tokio::time::timeout(wire::PATIENCE, arriving).await {
        Ok(arrived) => arrived,
        Err(_) => Err(Failure::Unreachable(format!(
            "another command uses {}, and does not share it",
            place.name()
        ))
        .into()),
    }
}

/// Starts a holder, which the signals of this terminal do not reach.
fn start(name: &Name, remote: &Remote) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["hold", &name.to_string()]);
    command.args(["--wait", &remote.wait.to_string(), "--transport"]);
    command.arg(match remote.transport {
        Transport::Auto => "auto",
        Transport::Quic => "quic",
        Transport::Ws => "ws",
    });
    if let Some(authority) = &remote.ca_cert {
        command.arg("--ca-cert").arg(absolute(authority)?);
    }
    let devices = Devices::of_this_user()?;
    command.env("PEERSOX_DEVICES", absolute(devices.folder())?);
    command.env_remove(argv::VARIABLE).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    // It is waited for, so that none is left behind as a zombie while this command goes on.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn absolute(path: &Path) -> std::io::Result<std::path::PathBuf> {
    std::path::absolute(path)
}

enum Answered {
    Here(BufReader<OwnedReadHalf>, OwnedWriteHalf),
    Not(Fault),
}

async fn ask_for(place: &Place, request: &Request) -> std::io::Result<Answered> {
    let (read, mut write) = place.connect().await?.into_split();
    wire::tell(&mut write, request).await?;
    let mut line = BufReader::new(read);
    match wire::hear(&mut line).await? {
        Some(Answer::Here) => Ok(Answered::Here(line, write)),
        Some(Answer::Fault(fault)) => Ok(Answered::Not(fault)),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The sending half of a channel. Once both are dropped the channel is reset, unless both directions have
/// ended.
pub(crate) struct Sender {
    frames: mpsc::Sender<Frame>,
    state: watch::Receiver<State>,
}

/// The receiving half of a channel.
pub(crate) struct Receiver {
    chunks: mpsc::Receiver<Chunk>,
    state: watch::Receiver<State>,
    assembler: Assembler,
    /// Keeps the connection while this half lives.
    _frames: mpsc::Sender<Frame>,
}

/// What is known of a channel.
#[derive(Clone, Debug, Default)]
struct State {
    flushed: bool,
    /// The other side has finished.
    finished: bool,
    fault: Option<Error>,
}

fn halves(
    mut line: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    alive: mpsc::Sender<()>,
) -> (Sender, Receiver) {
    let (frames, mut to_write) = mpsc::channel::<Frame>(1);
    let (arrives, chunks) = mpsc::channel(1);
    let (states, state) = watch::channel(State::default());
    let reader = tokio::spawn(async move {
        loop {
            let fault = match wire::read(&mut line).await {
                Ok(Some(Frame::Piece(chunk))) => {
                    // Once nobody reads, what comes until the holder's end is dropped.
                    let _ = arrives.send(chunk).await;
                    continue;
                }
                Ok(Some(Frame::Finish)) => {
                    states.send_modify(|state| state.finished = true);
                    continue;
                }
                Ok(Some(Frame::Flushed)) => {
                    states.send_modify(|state| state.flushed = true);
                    continue;
                }
                Ok(Some(Frame::Fault(fault))) => fault.into(),
                // The holder was killed, and its successor knows nothing of this channel.
                Ok(Some(Frame::Reset(_) | Frame::Done) | None) | Err(_) => Error::PeerRestarted,
            };
            states.send_modify(|state| state.fault = Some(fault));
            return;
        }
    });
    spawn_goodbye(async move {
        while let Some(frame) = to_write.recv().await {
            if wire::write(&mut write, &frame).await.is_err() {
                return;
            }
        }
        let _ = wire::write(&mut write, &Frame::Done).await;
        // The holder closes the connection when it has read so far.
        let _ = reader.await;
        drop(alive);
    });
    let sender = Sender {
        frames: frames.clone(),
        state: state.clone(),
    };
    let receiver = Receiver {
        chunks,
        state,
        assembler: Assembler::new(MAX_MESSAGE),
        _frames: frames,
    };
    (sender, receiver)
}

impl Sender {
    pub(super) async fn send_chunk(&self, chunk: Chunk) -> Result<(), Error> {
        self.write(Frame::Piece(chunk)).await
    }

    pub(super) async fn finish(&self) -> Result<(), Error> {
        self.write(Frame::Finish).await
    }

    pub(super) async fn flushed(&self) -> Result<(), Error> {
        self.write(Frame::Flushed).await?;
        let mut state = self.state.clone();
        let known = state.wait_for(|state| state.flushed || state.fault.is_some());
        match known.await {
            Ok(state) if state.flushed => Ok(()),
            Ok(state) => Err(state.fault.clone().unwrap_or(Error::Gone)),
            Err(_) => Err(Error::Gone),
        }
    }

    pub(super) async fn reset(&self, code: ResetCode) -> Result<(), Error> {
        self.write(Frame::Reset(code)).await
    }

    async fn write(&self, frame: Frame) -> Result<(), Error> {
        if let Some(fault) = self.state.borrow().fault.clone() {
            return Err(fault);
        }
        let written = self.frames.send(frame).await;
        let fault = || self.state.borrow().fault.clone();
        written.map_err(|_| fault().unwrap_or(Error::PeerRestarted))
    }
}

impl Receiver {
    pub(super) async fn recv(&mut self) -> Result<Option<Message>, Error> {
        loop {
            let Some(chunk) = self.recv_chunk().await? else {
                return Ok(None);
            };
            match self.assembler.push(chunk) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(unfit) => return Err(unfit.into()),
            }
        }
    }

    pub(super) async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let mut state = self.state.clone();
        let over = async {
            let known = state.wait_for(|state| state.finished || state.fault.is_some());
            match known.await {
                Ok(state) if state.finished => Ok(None),
                Ok(state) => Err(state.fault.clone().unwrap_or(Error::Gone)),
                Err(_) => Err(Error::Gone),
            }
        };
        // What arrived before the end is read first.
        tokio::select! {
            biased;
            Some(chunk) = self.chunks.recv() => Ok(Some(chunk)),
            over = over => match self.chunks.try_recv() {
                Ok(chunk) => Ok(Some(chunk)),
                Err(_) => over,
            },
        }
    }
}

/// The longest message that [`Receiver::recv`] collects, in bytes, as in `peersox_client`.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// How long the holder may take to read what was said over channels. A channel that is still open is not
/// waited for longer.
const SETTLE: Duration = Duration::from_secs(1);

/// After how many attempts to reach a holder another one is started: a second.
const START_AGAIN: u32 = 20;

/// The pause before the socket of a holder is tried again.
const BREATH: Duration = Duration::from_millis(50);
