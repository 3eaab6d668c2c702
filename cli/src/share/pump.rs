//! Carries a [lasting](super::lasting) channel: over the present holder, and over the next one when this one
//! is killed.
//!
//! One task per channel owns the connection to the holder. It reads and writes at the same time, so that two
//! sides that both write never wait for each other.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use peersox_client::{Chunk, Error, Message, Priority, ResetCode, Side, Status};
use peersox_core::channel::Assembler;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::guest::{self, Answered, BREATH};
use super::lasting::{Flush, Item, Lasting, Out, PIECE, Row};
use super::lent::{self, Line};
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
    assembler: Assembler,
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
    /// Kept until the channel is over.
    pub(super) alive: mpsc::Sender<()>,
}

/// How it went over one channel of the row, or over one direction of it.
enum Course {
    /// This direction has ended in good order.
    Ended,
    /// There is nothing more to say.
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
            assembler: Assembler::new(lent::MAX_MESSAGE),
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
            let mut first = true;
            let fault = loop {
                match self.follow(line, &state, first).await {
                    Course::Lost => first = false,
                    Course::Broke(error) => break error,
                    Course::Ended | Course::Over => return,
                }
                match self.again().await {
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
        drop(self.alive);
    }

    /// Carries items over one channel of the row.
    async fn follow(&self, (mut read, mut write): Line, state: &State, first: bool) -> Course {
        let course = {
            let writing = pin!(write_all(&mut write, state));
            let reading = pin!(read_all(&mut read, state));
            let late = pin!(self.unheard(state, first));
            both(reading, writing, late).await
        };
        if matches!(course, Course::Over) {
            let _ = wire::write(&mut write, &Frame::Done).await;
            // The holder closes the connection when it has read so far.
            while let Ok(Some(_)) = wire::read(&mut read).await {}
        }
        course
    }

    /// Resolves if the other command does not answer over a channel that takes the place of another one.
    async fn unheard(&self, state: &State, first: bool) {
        // Who begins waits for as long as the other command takes to come.
        if !first {
            self.late().await;
            if !state.borrow().heard() {
                return;
            }
        }
        std::future::pending().await
    }

    /// The next channel of the row, once there is a holder that has it.
    async fn again(&self) -> Result<Line, Error> {
        let name = self.row.later();
        let request = match self.opens {
            Some(priority) => Request::Open {
                name,
                priority: priority as u8,
                row: None,
            },
            None => Request::Accept { name },
        };
        let asking = async {
            loop {
                match guest::ask_for(&self.place, &request).await {
                    Ok(Answered::Here(line, _)) => return Ok(line),
                    Ok(Answered::Not(Fault::PeerRestarted)) | Err(_) => {
                        tokio::time::sleep(BREATH).await;
                    }
                    Ok(Answered::Not(fault)) => return Err(fault.into()),
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
            () = self.late() => Err(Error::PeerRestarted),
        }
    }

    /// Resolves once the two devices were connected for a while without a break.
    async fn late(&self) {
        let mut status = self.status.clone();
        loop {
            if status.wait_for(|status| status.connected).await.is_err() {
                return;
            }
            let parted = status.wait_for(|status| !status.connected);
            if tokio::time::timeout(PATIENCE, parted).await.is_err() {
                return;
            }
        }
    }
}

/// Until both directions have ended in good order, or something else ends both.
async fn both(
    mut reading: Pin<&mut impl Future<Output = Course>>,
    mut writing: Pin<&mut impl Future<Output = Course>>,
    mut late: Pin<&mut impl Future<Output = ()>>,
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
                course
            }
            () = &mut late => Course::Broke(Error::PeerRestarted),
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
                Err(error) => Course::Broke(error),
            },
            Ok(Some(Frame::Finish)) if state.borrow().is_over() => Course::Ended,
            Ok(Some(Frame::Fault(Fault::PeerRestarted)) | None) | Err(_) => Course::Lost,
            Ok(Some(Frame::Fault(fault))) => match fault.into() {
                // Who used it there is gone, and nobody else can serve it.
                Error::Reset { code, .. } if code == wire::GUEST_KILLED => {
                    Course::Broke(Error::PeerRestarted)
                }
                error => Course::Broke(error),
            },
            Ok(Some(_)) => Course::Broke(unfit()),
        };
    }
}

fn take(assembler: &mut Assembler, chunk: Chunk, state: &State) -> Result<(), Error> {
    let Some(message) = assembler.push(chunk)? else {
        return Ok(());
    };
    let mut received = Ok(());
    let bytes = message.into_chunk().bytes;
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
        let known = state.wait_for(|state| state.heard() || state.fault().is_some());
        match known.await.map(|state| state.fault()) {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
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
    pub(super) async fn recv(&mut self) -> Result<Option<Message>, Error> {
        while let Some(chunk) = self.recv_chunk().await? {
            if let Some(message) = self.assembler.push(chunk)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

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
