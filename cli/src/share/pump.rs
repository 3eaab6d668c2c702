//! Carries a [lasting](super::lasting) channel: over the present holder, and over the next one when this one
//! is killed.
//!
//! One task per channel owns the connection to the holder. It reads and writes at the same time, so that two
//! sides that both write never wait for each other.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peersox_client::{Chunk, Error, Message, Priority, ResetCode, Side, Status};
use peersox_core::channel::Assembler;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::guest::{self, Answered, BREATH};
use super::lasting::{Flush, Item, Lasting, Out, PIECE, Row};
use super::lent::Line;
use super::place::Place;
use super::wire::{self, Fault, Frame, Request};
use crate::signals::spawn_goodbye;

/// The sending half of a lasting channel.
pub(crate) struct Sender {
    state: State,
    _used: mpsc::Sender<()>,
}

/// The receiving half of a lasting channel.
pub(crate) struct Receiver {
    state: State,
    _used: mpsc::Sender<()>,
}

type State = Arc<watch::Sender<Lasting>>;

/// What the task of a channel needs to come back after a holder was killed.
pub(super) struct Pump {
    pub(super) place: Arc<Place>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) end: watch::Receiver<Option<Result<(), Error>>>,
    pub(super) row: Row,
    /// The priority, at the side that opens the channels.
    pub(super) opens: Option<Priority>,
    /// Kept until the row is over.
    pub(super) alive: mpsc::Sender<()>,
    pub(super) permit: Option<Permit>,
}

/// What allows a command to have one channel more.
pub(crate) type Permit = Arc<OwnedSemaphorePermit>;

/// How it went.
enum Course {
    /// One direction of a channel has ended in good order.
    Ended,
    /// Nothing more is to be said over the whole row.
    Over,
    /// A holder was killed, here or there.
    Lost,
    Broke(Error),
}

impl Pump {
    /// Begins with the first channel of the row.
    pub(super) fn start(self, line: Line) -> (Sender, Receiver) {
        let state = State::new(watch::Sender::new(Lasting::default()));
        let (used, unused) = mpsc::channel(1);
        let sender = Sender {
            state: Arc::clone(&state),
            _used: used.clone(),
        };
        let receiver = Receiver {
            state: Arc::clone(&state),
            _used: used,
        };
        spawn_goodbye(self.run(line, state, unused));
        (sender, receiver)
    }

    async fn run(self, mut line: Line, state: State, mut unused: mpsc::Receiver<()>) {
        let let_go = async {
            unused.recv().await;
            state.send_modify(Lasting::let_go);
            std::future::pending::<()>().await;
        };
        let course = async {
            let fault = loop {
                match self.follow(line, &state).await {
                    Course::Lost => {}
                    Course::Broke(error) => break error,
                    Course::Ended | Course::Over => return,
                }
                match self.again(&state).await {
                    Ok(next) => line = next,
                    Err(error) => break error,
                }
                state.send_modify(Lasting::reconnect);
            };
            state.send_modify(|state| state.fail(fault));
        };
        tokio::select! {
            () = course => {}
            () = let_go => {}
        }
        drop((self.alive, self.permit));
    }

    /// Carries items over one channel of the row.
    async fn follow(&self, (mut read, mut write): Line, state: &State) -> Course {
        let course = {
            let writing = pin!(write_all(&mut write, state));
            let reading = pin!(read_all(&mut read, state));
            let refusing = pin!(self.refuse_late(state));
            both(reading, writing, refusing).await
        };
        if matches!(course, Course::Over) {
            let _ = wire::write(&mut write, &Frame::Done).await;
            // The holder closes the connection when it has read so far.
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        }
        course
    }

    /// Gives the row up if the other command has it, and does not answer over another channel of it.
    async fn refuse_late(&self, state: &State) {
        // Who begins waits for as long as the other command takes to come.
        if state.borrow().is_unheard() {
            self.late(state).await;
            if !state.borrow().heard() {
                refuse(state, Error::PeerRestarted);
            }
        }
        std::future::pending().await
    }

    /// The next channel of the row, once there is a holder that has it.
    async fn again(&self, state: &State) -> Result<Line, Error> {
        let met = state.borrow().met();
        let request = match self.opens {
            Some(priority) => Request::Open {
                name: match met {
                    true => self.row.later(),
                    false => self.row.first(),
                },
                priority: priority as u8,
                row: None,
            },
            None => Request::Accept {
                name: self.row.later(),
                lasting: true,
            },
        };
        let asking = async {
            loop {
                match guest::ask_for(&self.place, &request).await {
                    Ok(Answered::Here(line, _)) => return Ok(line),
                    Ok(Answered::Not(Fault::PeerRestarted)) => tokio::time::sleep(BREATH).await,
                    Ok(Answered::Not(fault)) => return Err(fault.into()),
                    Err(error) => guest::retry(&error).await?,
                }
            }
        };
        let mut end = self.end.clone();
        let ended = async {
            match end.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Err(error))) => error.clone(),
                Ok(_) => Error::PeerDone,
                Err(_) => Error::Gone,
            }
        };
        tokio::select! {
            line = asking => line,
            error = ended => Err(error),
            () = self.late(state), if met || self.opens.is_none() => Err(Error::PeerRestarted),
        }
    }

    /// Resolves once the two devices were connected for a while without a break.
    async fn late(&self, state: &State) {
        let mut status = self.status.clone();
        // Once all is said, only the other command may miss something.
        let patience = match state.borrow().is_over() {
            true => PATIENCE / 10,
            false => PATIENCE,
        };
        loop {
            if status.wait_for(|status| status.connected).await.is_err() {
                return;
            }
            let parted = status.wait_for(|status| !status.connected);
            if tokio::time::timeout(patience, parted).await.is_err() {
                return;
            }
        }
    }
}

/// Ends the row with this error here, and with a reset there.
fn refuse(state: &State, error: Error) {
    state.send_modify(|state| {
        state.fail(error);
        state.reset(ResetCode::REFUSED);
    });
}

/// Until both directions have ended in good order, or something else ends both.
async fn both(
    mut reading: Pin<&mut impl Future<Output = Course>>,
    mut writing: Pin<&mut impl Future<Output = Course>>,
    mut refusing: Pin<&mut impl Future<Output = ()>>,
) -> Course {
    let (mut read, mut written) = (false, false);
    while !(read && written) {
        let course = tokio::select! {
            course = &mut reading, if !read => {
                read = true;
                course
            }
            course = &mut writing, if !written => {
                written = true;
                match course {
                    // Why the holder hung up stands in what is still to be read.
                    Course::Lost if !read => continue,
                    course => course,
                }
            }
            () = &mut refusing => continue,
        };
        if !matches!(course, Course::Ended) {
            return course;
        }
    }
    Course::Over
}

async fn write_all(write: &mut OwnedWriteHalf, state: &State) -> Course {
    let mut changes = state.subscribe();
    loop {
        changes.borrow_and_update();
        let mut next = None;
        state.send_if_modified(|state| {
            next = state.next();
            false
        });
        let frame = match next {
            Some(Out::Message(bytes)) => Frame::Piece(Chunk::binary(bytes)),
            Some(Out::Reset(code)) => Frame::Reset(code),
            Some(Out::Finish) => Frame::Finish,
            Some(Out::Done) => return Course::Over,
            None => {
                // The sender of changes lives as long as this task.
                let _ = changes.changed().await;
                continue;
            }
        };
        if wire::write(write, &frame).await.is_err() {
            return Course::Lost;
        }
        if matches!(frame, Frame::Finish) {
            return Course::Ended;
        }
    }
}

async fn read_all(read: &mut BufReader<OwnedReadHalf>, state: &State) -> Course {
    let mut assembler = Assembler::new(PIECE + 1);
    loop {
        return match wire::read(read).await {
            Ok(Some(Frame::Piece(chunk))) => match take(&mut assembler, chunk, state) {
                Ok(()) => continue,
                Err(error) => {
                    // The holder says when the channel is reset.
                    refuse(state, error);
                    continue;
                }
            },
            Ok(Some(Frame::Finish)) => match state.borrow().is_over() {
                true => Course::Ended,
                // The other command closes, and takes nothing more.
                false => Course::Broke(Error::PeerDone),
            },
            Ok(Some(Frame::Fault(Fault::PeerRestarted)) | None) | Err(_) => Course::Lost,
            Ok(Some(Frame::Fault(fault))) => match fault.into() {
                // Who used it there is gone, and nobody else can serve it.
                Error::Reset { code, .. } if code == wire::GUEST_KILLED => {
                    Course::Broke(Error::PeerRestarted)
                }
                error => Course::Broke(error),
            },
            Ok(Some(Frame::Flushed | Frame::Reset(_) | Frame::Done)) => continue,
        };
    }
}

fn take(assembler: &mut Assembler, chunk: Chunk, state: &State) -> Result<(), Error> {
    let Some(message) = assembler.push(chunk)? else {
        return Ok(());
    };
    let Message::Binary(bytes) = message else {
        return Err(unfit());
    };
    let mut received = Ok(());
    state.send_modify(|state| received = state.receive(&bytes));
    received.map_err(|_| unfit())
}

/// The other command does not keep to the rules.
const fn unfit() -> Error {
    Error::Reset {
        by: Side::This,
        code: ResetCode::REFUSED,
    }
}

impl Sender {
    pub(super) async fn send_chunk(&self, chunk: Chunk) -> Result<(), Error> {
        let Chunk {
            kind,
            mut bytes,
            last,
        } = chunk;
        loop {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let is_last = bytes.is_empty();
            // A short piece must not keep the large buffer that it was read into.
            let piece = match piece.len() < PIECE / 2 {
                true => Bytes::copy_from_slice(&piece),
                false => piece,
            };
            let piece = Chunk {
                kind,
                bytes: piece,
                last: last && is_last,
            };
            self.push(Item::Piece(piece)).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    pub(super) async fn finish(&self) -> Result<(), Error> {
        self.push(Item::Finish).await
    }

    /// Waits until the other command has taken all that was sent.
    pub(super) async fn flushed(&self) -> Result<(), Error> {
        self.state.send_modify(Lasting::ask);
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| state.flush() != Flush::Waits).await;
        match settled.map(|state| state.flush()) {
            Ok(Flush::Failed(error)) => Err(error),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Gone),
        }
    }

    pub(super) async fn reset(&self, code: ResetCode) -> Result<(), Error> {
        self.state.send_modify(|state| state.reset(code));
        Ok(())
    }

    /// Waits for the answer to the first channel.
    pub(super) async fn heard(&self) -> Result<(), Error> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| state.met() || state.fault().is_some());
        match known.await {
            Ok(state) if state.met() => Ok(()),
            Ok(state) => Err(state.fault().unwrap_or(Error::Gone)),
            Err(_) => Err(Error::Gone),
        }
    }

    async fn push(&self, item: Item) -> Result<(), Error> {
        let mut state = self.state.subscribe();
        let room = state.wait_for(|state| state.has_room() || state.fault().is_some());
        match room.await.map(|state| state.fault()) {
            Ok(None) => {}
            Ok(Some(error)) => return Err(error),
            Err(_) => return Err(Error::Gone),
        }
        self.state.send_modify(|state| state.push(item));
        Ok(())
    }
}

impl Receiver {
    pub(super) async fn recv_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| state.has_arrived() || state.fault().is_some());
        known.await.map(|_| ()).map_err(|_| Error::Gone)?;
        let mut taken = None;
        self.state.send_if_modified(|state| {
            taken = state.take();
            taken.is_some()
        });
        match taken {
            Some(Item::Piece(chunk)) => Ok(Some(chunk)),
            Some(Item::Finish) => Ok(None),
            // What arrived before the fault was taken first.
            None => Err(self.state.borrow().fault().unwrap_or(Error::Gone)),
        }
    }
}

/// For how long a command waits for the other one after the devices are connected again.
const PATIENCE: Duration = Duration::from_secs(10);
