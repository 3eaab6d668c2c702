//! What the handles wait for: one place per channel, answered when the machine says so.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use peersox_core::channel::{ChannelId, Chunk, Event, Mux, Priority, ResetCode, SendError};
use tokio::sync::mpsc;

use crate::command::{Command, Hold, Offer, Reply};
use crate::{Error, Side};

pub(super) struct Desk {
    /// Where channels go that the other side opens; `None` once the peer has ended.
    offers: Option<mpsc::Sender<Offer>>,
    places: HashMap<ChannelId, Place>,
    pings: VecDeque<Reply<Duration>>,
    /// Resolves for each channel whose handles were all dropped.
    drops: FuturesUnordered<BoxFuture<'static, ChannelId>>,
    /// Why the peer ended: the answer to all that is asked from then on.
    over: Option<Error>,
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
    /// The channel is gone, and why.
    ended: Option<Error>,
}

#[derive(Default)]
enum Flush {
    #[default]
    Unknown,
    Awaited(Reply<()>),
    Done,
}

impl Desk {
    pub(super) fn new(offers: mpsc::Sender<Offer>) -> Self {
        Self {
            offers: Some(offers),
            places: HashMap::new(),
            pings: VecDeque::new(),
            drops: FuturesUnordered::new(),
            over: None,
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
        self.places.remove(&id);
        mux.abandon(id);
    }

    pub(super) fn serve(&mut self, command: Command, mux: &mut Mux) {
        match command {
            Command::Open(name, priority, reply) => answer(reply, self.open(&name, priority, mux)),
            Command::Send(id, chunk, reply) => self.send(id, chunk, reply, mux),
            Command::TrySend(id, chunk, reply) => answer(reply, self.try_send(id, chunk, mux)),
            Command::SendDatagram(id, datagram, reply) => {
                answer(reply, self.send_datagram(id, &datagram, mux));
            }
            Command::Read(id, reply) => self.read(id, reply, mux),
            Command::ReadDatagram(id, reply) => self.read_datagram(id, reply, mux),
            Command::Finish(id, reply) => answer(reply, self.finish(id, mux)),
            Command::Flushed(id, reply) => self.flushed(id, reply),
            Command::Reset(id, code, reply) => answer(reply, self.reset(id, code, mux)),
            Command::Ping(reply) => self.ping(reply, mux),
            Command::Upgrade(reply) => answer(reply, self.still_on().map(|()| false)),
            // The driver keeps these for itself while it runs.
            Command::Wake | Command::Close | Command::HangUp => {}
        }
    }

    fn open(&mut self, name: &str, priority: Priority, mux: &mut Mux) -> Result<Hold, Error> {
        self.still_on()?;
        let id = mux.open(name, priority)?;
        Ok(self.place(id))
    }

    /// Sends as soon as there is room.
    fn send(&mut self, id: ChannelId, chunk: Chunk, reply: Reply<()>, mux: &mut Mux) {
        match self.usable(id) {
            Ok(place) => {
                place.sends.push_back((chunk, reply));
                place.send(id, mux);
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Sends if there is room now and nobody waits for it.
    fn try_send(&mut self, id: ChannelId, chunk: Chunk, mux: &mut Mux) -> Result<(), Error> {
        if !self.usable(id)?.sends.is_empty() {
            return Err(Error::Full);
        }
        Ok(mux.try_send(id, chunk)?)
    }

    fn send_datagram(
        &mut self,
        id: ChannelId,
        datagram: &Bytes,
        mux: &mut Mux,
    ) -> Result<(), Error> {
        self.usable(id)?;
        match mux.try_send_datagram(id, datagram) {
            // Lost rather than late, as datagrams are.
            Ok(()) | Err(SendError::NoPath | SendError::Full) => Ok(()),
            Err(SendError::TooLarge) => Err(Error::DatagramTooLarge {
                len: datagram.len(),
                max: mux.max_datagram(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there or comes. A channel that has ended is read to its end first.
    fn read(&mut self, id: ChannelId, reply: Reply<Option<Chunk>>, mux: &mut Mux) {
        match self.place_of(id) {
            Ok(place) => {
                place.read = Some(reply);
                place.read(id, mux);
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn read_datagram(&mut self, id: ChannelId, reply: Reply<Bytes>, mux: &mut Mux) {
        match self.place_of(id) {
            Ok(place) => {
                place.read_datagram = Some(reply);
                place.read_datagram(id, mux);
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn finish(&mut self, id: ChannelId, mux: &mut Mux) -> Result<(), Error> {
        self.usable(id)?;
        Ok(mux.finish(id)?)
    }

    fn flushed(&mut self, id: ChannelId, reply: Reply<()>) {
        let place = match self.place_of(id) {
            Ok(place) => place,
            Err(error) => return answer(reply, Err(error)),
        };
        match (&place.flushed, &place.ended) {
            (Flush::Done, _) => answer(reply, Ok(())),
            (_, Some(why)) => answer(reply, Err(why.clone())),
            (Flush::Unknown | Flush::Awaited(_), None) => place.flushed = Flush::Awaited(reply),
        }
    }

    fn reset(&mut self, id: ChannelId, code: ResetCode, mux: &mut Mux) -> Result<(), Error> {
        self.still_on()?;
        mux.reset(id, code);
        let by = Side::This;
        self.with(id, |place| place.end(&Error::Reset { by, code }));
        Ok(())
    }

    fn ping(&mut self, reply: Reply<Duration>, mux: &mut Mux) {
        if let Err(error) = self.still_on() {
            return answer(reply, Err(error));
        }
        self.pings.push_back(reply);
        mux.ping();
    }

    /// Handles an event that concerns handles.
    pub(super) fn hear(&mut self, event: Event, mux: &mut Mux) {
        match event {
            Event::Opened { channel, name, .. } => self.offer(channel, name, mux),
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
            Event::Reset { channel, code } => {
                let by = Side::Other;
                self.with(channel, |place| place.end(&Error::Reset { by, code }));
            }
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
            place.end(&Error::PeerRestarted);
        }
    }

    /// The peer has ended: answers everybody who still waits, and whoever asks from now on.
    pub(super) fn end(&mut self, why: &Error) {
        self.offers = None;
        for place in self.places.values_mut() {
            place.end(why);
        }
        for reply in self.pings.drain(..) {
            answer(reply, Err(why.clone()));
        }
        self.over = Some(why.clone());
    }

    /// Offers a channel of the other side to the application, which may have no room or no interest.
    fn offer(&mut self, id: ChannelId, name: String, mux: &mut Mux) {
        let hold = self.place(id);
        let offers = self.offers.as_ref();
        if offers.is_none_or(|offers| offers.try_send(Offer { name, hold }).is_err()) {
            self.places.remove(&id);
            mux.reset(id, ResetCode::REFUSED);
        }
    }

    /// Makes the place of a channel, which is kept for as long as the hold on it is.
    fn place(&mut self, id: ChannelId) -> Hold {
        let (hold, released) = Hold::new(id);
        self.drops.push(Box::pin(async move {
            let _ = released.await;
            id
        }));
        self.places.insert(id, Place::default());
        hold
    }

    fn still_on(&self) -> Result<(), Error> {
        self.over.clone().map_or(Ok(()), Err)
    }

    fn place_of(&mut self, id: ChannelId) -> Result<&mut Place, Error> {
        self.places.get_mut(&id).ok_or(Error::Gone)
    }

    /// The place of a channel that has not ended.
    fn usable(&mut self, id: ChannelId) -> Result<&mut Place, Error> {
        let place = self.place_of(id)?;
        match &place.ended {
            Some(why) => Err(why.clone()),
            None => Ok(place),
        }
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
                Err(error) => answer(reply, Err(error.into())),
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
            answer(reply, Err(why.clone()));
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
            answer(reply, Err(why.clone()));
        } else {
            self.read_datagram = Some(reply);
        }
    }

    /// Ends the channel, unless it has ended before, and answers everybody who waits at it.
    fn end(&mut self, why: &Error) {
        let why = &*self.ended.get_or_insert_with(|| why.clone());
        for (_, reply) in self.sends.drain(..) {
            answer(reply, Err(why.clone()));
        }
        if let Some(reply) = self.read.take() {
            answer(
                reply,
                if self.drained {
                    Ok(None)
                } else {
                    Err(why.clone())
                },
            );
        }
        if let Some(reply) = self.read_datagram.take() {
            answer(reply, Err(why.clone()));
        }
        if let Flush::Awaited(reply) = std::mem::take(&mut self.flushed) {
            answer(reply, Err(why.clone()));
        }
    }
}

/// Answers a call; a caller that gave up is not an error.
fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    let _ = reply.send(result);
}
