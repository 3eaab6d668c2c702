//! A channel between a guest and its holder: the two ends of one connection of the Unix socket.

use peersox_client::{Channel, Chunk, Error, ResetCode};
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::lasting;
use super::wire::{self, Answer, Fault, Frame};
use crate::signals::spawn_goodbye;

/// The halves of a connection.
pub(super) type Line = (BufReader<OwnedReadHalf>, OwnedWriteHalf);

/// Carries a channel between the other side and a guest.
pub(super) async fn lend(channel: Result<Channel, Error>, (mut line, mut write): Line) {
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => {
            let _ = wire::tell(&mut write, &Answer::Fault(Fault::from(&error))).await;
            return;
        }
    };
    let answer = match lasting::purpose(channel.name()) == channel.name() {
        true => Answer::Here,
        false => Answer::Row(channel.name().to_owned()),
    };
    let (sender, mut receiver) = channel.split();
    if wire::tell(&mut write, &answer).await.is_err() {
        let _ = sender.reset(wire::GUEST_KILLED).await;
        return;
    }
    let (answers, mut answered) = mpsc::channel(1);
    let inward = async {
        loop {
            let done = match wire::read(&mut line).await {
                Ok(Some(Frame::Piece(chunk))) => sender.send_chunk(chunk).await,
                Ok(Some(Frame::Finish)) => sender.finish().await,
                Ok(Some(Frame::Flushed)) => match sender.flushed().await {
                    Ok(()) => {
                        let _ = answers.send(Frame::Flushed).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Ok(Some(Frame::Reset(code))) => sender.reset(code).await,
                // Dropping the channel does what is right: it has ended, or is reset.
                Ok(Some(Frame::Done)) => return,
                Ok(Some(Frame::Fault(_))) | Err(_) | Ok(None) => {
                    let _ = sender.reset(wire::GUEST_KILLED).await;
                    return;
                }
            };
            if let Err(error) = done {
                let _ = answers.send(Frame::Fault(Fault::from(&error))).await;
                // The other direction ends the connection.
                std::future::pending::<()>().await;
            }
        }
    };
    let outward = async {
        let mut finished = false;
        loop {
            let frame = tokio::select! {
                Some(answer) = answered.recv() => answer,
                chunk = receiver.recv_chunk(), if !finished => match chunk {
                    Ok(Some(chunk)) => Frame::Piece(chunk),
                    Ok(None) => {
                        finished = true;
                        Frame::Finish
                    }
                    Err(error) => Frame::Fault(Fault::from(&error)),
                },
            };
            if wire::write(&mut write, &frame).await.is_err() {
                let _ = sender.reset(wire::GUEST_KILLED).await;
                return;
            }
            if matches!(frame, Frame::Fault(_)) {
                return;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
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

/// The guest's end.
pub(super) fn halves((mut line, mut write): Line, alive: mpsc::Sender<()>) -> (Sender, Receiver) {
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
