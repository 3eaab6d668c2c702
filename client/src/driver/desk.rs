//! What the handles wait for: one place per channel, answered when the machine says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use peersox_core::channel::{ChannelId, Chunk, Event, Mux, ResetCode, SendError};
use tokio::sync::{mpsc, oneshot};

use super::{Command, Reply};
use crate::Error;
use crate::channel::Channel;

pub(super) struct Desk {
    commands: mpsc::WeakSender<Command>,
    offers: mpsc::Sender<Channel>,
    max_message: usize,
    places: HashMap<ChannelId, Place>,
    pings: VecDeque<Reply<Duration>>,
    /// Resolves for each channel whose handles were all dropped.
    drops: FuturesUnordered<BoxFuture<'static, ChannelId>>,
}

/// Who waits for what at one channel.
#[derive(Default)]
struct Place {
    /// In the order of their arrival. Each belongs to a call that waits, so calls bound it.
    sends: VecDeque<(Chunk, Reply<()>)>,
    read: Option<Reply<Option<Chunk>>>,
    read_datagram: Option<Reply<Bytes>>,
    flushed: Flush,
    /// The peer will send no more, and everything was read.
    drained: bool,
    /// This side finished.
    finished: bool,
    /// The channel is gone, and why.
    ended: Option<Fate>,
}

/// Why a channel is gone.
#[derive(Clone)]
enum Fate {
    /// The other peer is another process than before.
    Restarted,
    /// Whatever this says.
    Reset(String),
}

impl Fate {
    fn error(&self) -> Error {
        match self {
            Self::Restarted => Error::PeerRestarted,
            Self::Reset(why) => Error::Reset(why.clone()),
        }
    }
}

#[derive(Default)]
enum Flush {
    #[default]
    Unknown,
    Awaited(Reply<()>),
    Done,
}

impl Desk {
    pub(super) fn new(
        commands: mpsc::WeakSender<Command>,
        offers: mpsc::Sender<Channel>,
        max_message: usize,
    ) -> Self {
        let places = HashMap::new();
        let (pings, drops) = (VecDeque::new(), FuturesUnordered::new());
        Self {
            commands,
            offers,
            max_message,
            places,
            pings,
            drops,
        }
    }

    /// The next channel whose handles were all dropped. Cancelling it loses nothing.
    pub(super) async fn dropped(&mut self) -> ChannelId {
        match self.drops.next().await {
            Some(id) => id,
            None => std::future::pending().await,
        }
    }

    /// Forgets a channel that nobody holds any more.
    pub(super) fn abandon(&mut self, id: ChannelId, mux: &mut Mux) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        if place.ended.is_none() && !(place.finished && place.drained) {
            mux.reset(id, ResetCode::CANCELLED);
        }
    }

    pub(super) fn serve(&mut self, command: Command, mux: &mut Mux) {
        match command {
            Command::Open {
                name,
                priority,
                reply,
            } => {
                let opened = mux.open(&name, priority);
                let channel = opened.map_err(|error| Error::Reset(error.to_string()));
                answer(
                    reply,
                    channel.and_then(|id| self.place(id, name).ok_or(Error::Gone)),
                );
            }
            Command::Send {
                channel,
                chunk,
                patient,
                reply,
            } => {
                let Some(place) = self.places.get_mut(&channel) else {
                    return gone(reply);
                };
                if let Some(why) = &place.ended {
                    return answer(reply, Err(why.error()));
                }
                if !patient {
                    let full = !place.sends.is_empty();
                    let sent = if full {
                        Err(SendError::Full)
                    } else {
                        mux.try_send(channel, chunk)
                    };
                    let refused = |error| match error {
                        SendError::Full => Error::Full,
                        error => Error::Reset(error.to_string()),
                    };
                    return answer(reply, sent.map_err(refused));
                }
                place.sends.push_back((chunk, reply));
                place.send(channel, mux);
            }
            Command::SendDatagram {
                channel,
                datagram,
                reply,
            } => {
                let sent = mux.try_send_datagram(channel, &datagram);
                answer(
                    reply,
                    match sent {
                        // Lost rather than late, as datagrams are.
                        Ok(()) | Err(SendError::NoPath | SendError::Full) => Ok(()),
                        Err(SendError::TooLarge) => Err(Error::DatagramTooLarge {
                            len: datagram.len(),
                            max: mux.max_datagram(),
                        }),
                        Err(error) => Err(Error::Reset(error.to_string())),
                    },
                );
            }
            Command::Read { channel, reply } => {
                let Some(place) = self.places.get_mut(&channel) else {
                    return gone(reply);
                };
                place.read = Some(reply);
                place.read(channel, mux);
            }
            Command::ReadDatagram { channel, reply } => {
                let Some(place) = self.places.get_mut(&channel) else {
                    return gone(reply);
                };
                place.read_datagram = Some(reply);
                place.read_datagram(channel, mux);
            }
            Command::Finish { channel, reply } => {
                let Some(place) = self.places.get_mut(&channel) else {
                    return gone(reply);
                };
                if let Some(why) = &place.ended {
                    return answer(reply, Err(why.error()));
                }
                place.finished = true;
                let finished = mux.finish(channel);
                answer(
                    reply,
                    finished.map_err(|error| Error::Reset(error.to_string())),
                );
            }
            Command::Flushed { channel, reply } => {
                let Some(place) = self.places.get_mut(&channel) else {
                    return gone(reply);
                };
                match (&place.flushed, &place.ended) {
                    (Flush::Done, _) => answer(reply, Ok(())),
                    (_, Some(why)) => answer(reply, Err(why.error())),
                    (Flush::Unknown | Flush::Awaited(_), None) => {
                        place.flushed = Flush::Awaited(reply);
                    }
                }
            }
            Command::Reset {
                channel,
                code,
                reply,
            } => {
                mux.reset(channel, code);
                if let Some(place) = self.places.get_mut(&channel) {
                    place.end(Fate::Reset("this side reset the channel".into()));
                }
                answer(reply, Ok(()));
            }
            Command::Ping { reply } => {
                self.pings.push_back(reply);
                mux.ping();
            }
            // The driver keeps this one for itself.
            Command::Close => {}
        }
    }

    /// Handles an event that concerns handles.
    pub(super) fn hear(&mut self, event: Event, mux: &mut Mux) {
        match event {
            Event::Opened { channel, name, .. } => {
                let offer = self.place(channel, name);
                if offer.is_none_or(|offer| self.offers.try_send(offer).is_err()) {
                    self.places.remove(&channel);
                    mux.reset(channel, ResetCode::REFUSED);
                }
            }
            Event::Readable(id) => self.with(id, |place| place.read(id, mux)),
            Event::DatagramReadable(id) => self.with(id, |place| place.read_datagram(id, mux)),
            Event::Writable(id) => self.with(id, |place| place.send(id, mux)),
            Event::Finished(id) => self.with(id, |place| {
                place.drained = true;
                place.read(id, mux);
            }),
            Event::Flushed(id) => self.with(id, |place| {
                if let Flush::Awaited(reply) = std::mem::replace(&mut place.flushed, Flush::Done) {
                    answer(reply, Ok(()));
                }
            }),
            Event::Reset { channel, code } => self.with(channel, |place| {
                let why = format!("the other side reset the channel (code {})", code.0);
                place.end(Fate::Reset(why));
            }),
            Event::Pong(rtt) => {
                if let Some(reply) = self.pings.pop_front() {
                    answer(reply, Ok(rtt));
                }
            }
            // The driver handles these before asking the desk.
            Event::Connected | Event::PeerRestarted | Event::Closed { .. } => {}
        }
    }

    /// Ends every channel because the other peer lost them.
    pub(super) fn restarted(&mut self) {
        for place in self.places.values_mut() {
            place.end(Fate::Restarted);
        }
    }

    /// Answers everybody who still waits.
    pub(super) fn end(&mut self, verdict: &Result<(), Error>) {
        let why = verdict
            .as_ref()
            .err()
            .map_or("the connection was closed".into(), Error::to_string);
        for place in self.places.values_mut() {
            place.end(Fate::Reset(why.clone()));
        }
        for reply in self.pings.drain(..) {
            answer(reply, Err(Error::Reset(why.clone())));
        }
    }

    /// Makes the place and the handles of a channel; `None` if nobody could use them.
    fn place(&mut self, id: ChannelId, name: String) -> Option<Channel> {
        let commands = self.commands.upgrade()?;
        let (held, released) = oneshot::channel::<()>();
        self.drops.push(Box::pin(async move {
            let _ = released.await;
            id
        }));
        self.places.insert(id, Place::default());
        Some(Channel::new(
            id,
            name,
            commands,
            Arc::new(held),
            self.max_message,
        ))
    }

    fn with(&mut self, id: ChannelId, then: impl FnOnce(&mut Place)) {
        if let Some(place) = self.places.get_mut(&id) {
            then(place);
        }
    }
}

impl Place {
    fn send(&mut self, id: ChannelId, mux: &mut Mux) {
        while let Some((chunk, reply)) = self.sends.pop_front() {
            // Whoever waited has given up: then nothing is sent.
            if reply.is_closed() {
                continue;
            }
            match mux.try_send(id, chunk.clone()) {
                Ok(()) => answer(reply, Ok(())),
                Err(SendError::Full) => {
                    self.sends.push_front((chunk, reply));
                    return;
                }
                Err(error) => answer(reply, Err(Error::Reset(error.to_string()))),
            }
        }
    }

    fn read(&mut self, id: ChannelId, mux: &mut Mux) {
        let Some(reply) = self.read.take() else {
            return;
        };
        // A receiver that was dropped must not swallow what another could read.
        if reply.is_closed() {
            return;
        }
        if let Some(chunk) = mux.read(id) {
            answer(reply, Ok(Some(chunk)));
        } else if self.drained {
            answer(reply, Ok(None));
        } else if let Some(why) = &self.ended {
            answer(reply, Err(why.error()));
        } else {
            self.read = Some(reply);
        }
    }

    fn read_datagram(&mut self, id: ChannelId, mux: &mut Mux) {
        let Some(reply) = self.read_datagram.take() else {
            return;
        };
        if let Some(datagram) = mux.read_datagram(id) {
            answer(reply, Ok(datagram));
        } else if let Some(why) = &self.ended {
            answer(reply, Err(why.error()));
        } else {
            self.read_datagram = Some(reply);
        }
    }

    fn end(&mut self, fate: Fate) {
        let why = self.ended.get_or_insert(fate).clone();
        for (_, reply) in self.sends.drain(..) {
            answer(reply, Err(why.error()));
        }
        if let Some(reply) = self.read.take() {
            answer(
                reply,
                if self.drained {
                    Ok(None)
                } else {
                    Err(why.error())
                },
            );
        }
        if let Some(reply) = self.read_datagram.take() {
            answer(reply, Err(why.error()));
        }
        if let Flush::Awaited(reply) = std::mem::take(&mut self.flushed) {
            answer(reply, Err(why.error()));
        }
    }
}

/// Answers a call; a caller that gave up is not an error.
fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    let _ = reply.send(result);
}

fn gone<T>(reply: Reply<T>) {
    answer(reply, Err(Error::Gone));
}
