//! The machine: what an application asks of it. Its other faces are `receive` and `send`; all use `account`.

mod account;
mod receive;
mod send;
mod stall;

use std::time::Duration;

use bytes::Bytes;

use self::stall::Stall;
use super::inbox::Inbox;
use super::link::Link;
use super::numbered::Numbered;
use super::outbox::Outbox;
use super::wire::Packer;
use super::wire::head::{self, Head};
use super::{
    ChannelId, Chunk, Config, Event, Instance, Limits, MAX_NAME_BYTES, OpenError, Packed, Priority,
    ResetCode, SendError,
};
use crate::role::Role;
use crate::short::pop_front;
use crate::time::Moment;

/// All channels between this peer and the other one.
///
/// Its memory is bounded: received and unread bytes by [`Config::limits`], bytes to send by the
/// peer's window and one message more per channel.
pub struct Mux {
    config: Config,
    role: Role,
    packer: Packer,
    link: Link,
    peer: Limits,
    /// Grows when the peer restarts, so that old [`ChannelId`]s name nothing.
    generation: u32,
    channels: Numbered<Channel>,
    /// Channels this side has reset and the peer has not confirmed.
    resets: Vec<Resetting>,
    /// How many channels this side has opened, and how many of them it announced on this path.
    opened: u32,
    announced: u32,
    /// How many channels the peer has opened.
    seen: u32,
    sending: Sending,
    acking: Acking,
    closing: Closing,
    stall: Stall,
    ping: Option<Ping>,
    pings: u64,
    rtt: Option<Duration>,
    events: Vec<Event>,
    stats: Stats,
    now: Moment,
}

/// Counts of odd turns, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items sent again.
    pub replayed: u64,
    /// Items received again and dropped.
    pub duplicates: u64,
    /// Records of another pair of processes, dropped.
    pub stale: u64,
    /// Times an item was missing, so that the path was begun anew.
    pub gaps: u64,
    /// Datagrams dropped for want of room or of their channel.
    pub dropped_datagrams: u64,
}

struct Channel {
    outbox: Outbox,
    inbox: Inbox,
    priority: Priority,
    /// It is among those that are ready.
    queued: bool,
    /// [`SendError::Full`] was said.
    wants_room: bool,
    /// [`Event::Readable`] was said and not everything read since.
    told: bool,
    /// See [`Mux::abandon`].
    abandoned: bool,
}

struct Resetting {
    wire: u32,
    code: ResetCode,
    /// It is to be said, for the first time or again.
    due: bool,
}

#[derive(Default)]
struct Sending {
    /// Channels with something to send, the most urgent first; one fragment per turn.
    ready: Vec<(Priority, u32)>,
    /// Cost of what was sent and not acknowledged, over all channels.
    in_flight: usize,
    /// The same with what is queued.
    pending: usize,
    /// A channel waits for the window of all channels together.
    total_full: bool,
    /// How many channels want room.
    waiting: usize,
    datagrams: Vec<Packed>,
    pong: Option<u64>,
    /// Few: the shell sends after each record, and [`Violation::Flood`](super::Violation) bounds them.
    reset_acks: Vec<u32>,
}

#[derive(Default)]
struct Acking {
    now: bool,
    deadline: Moment,
    /// Last acknowledgements of channels that are forgotten: how many items.
    late: Vec<(u32, u64)>,
    /// Cost of what is buffered, over all channels, and of what is consumed but not acknowledged.
    buffered: usize,
    unacked: usize,
}

#[derive(Default)]
struct Closing {
    wanted: bool,
    goodbye_due: bool,
    goodbye_said: bool,
    answer_due: bool,
    closed: bool,
    /// The peer restarted before it had everything.
    lost: bool,
}

struct Ping {
    token: u64,
    sent: Option<Moment>,
}

impl Mux {
    /// Outgoing datagrams that may wait for the shell.
    const DATAGRAMS: usize = 64;

    /// Makes a machine without a path. Values of `config` out of range are pulled into it.
    ///
    /// `instance` is 16 random bytes, fresh for every `Mux`.
    #[must_use]
    pub fn new(config: Config, role: Role, instance: [u8; 16]) -> Self {
        let config = config.tamed();
        Self {
            config,
            role,
            packer: Packer::new(config.front, config.back),
            link: Link::new(Instance(instance)),
            peer: config.limits,
            generation: 0,
            channels: Numbered::default(),
            resets: Vec::new(),
            opened: 0,
            announced: 0,
            seen: 0,
            sending: Sending::default(),
            acking: Acking {
                deadline: Moment::NEVER,
                ..Acking::default()
            },
            closing: Closing::default(),
            stall: Stall::new(),
            ping: None,
            pings: 0,
            rtt: None,
            events: Vec::new(),
            stats: Stats::default(),
            now: Moment::default(),
        }
    }

    /// Opens a channel. It may be used at once; what is sent waits for the path.
    ///
    /// # Errors
    /// [`OpenError`] if the name or the number of channels is out of bounds, or after the close.
    pub fn open(&mut self, name: &str, priority: Priority) -> Result<ChannelId, OpenError> {
        if self.closing.wanted || self.closing.closed {
            return Err(OpenError::Closed);
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(OpenError::Name(name.len()));
        }
        // Channel numbers are below 2^30, half of them this side's.
        if self.mine().len() >= self.peer.max_channels as usize || self.opened >= 1 << 29 {
            return Err(OpenError::TooMany(self.peer.max_channels));
        }
        let wire = self.opened * 2 + self.parity();
        self.opened += 1;
        let mut channel = Channel::new(priority);
        channel.outbox.announce(name);
        self.sending.in_flight += channel.outbox.in_flight();
        self.sending.pending += channel.outbox.pending();
        self.channels.insert(wire, channel);
        Ok(self.id(wire))
    }

    /// Takes a chunk to send, whole, however large: it is cut when it is sent.
    ///
    /// # Errors
    /// [`SendError::Full`] if bytes of at least a window are pending already; then
    /// [`Event::Writable`] follows. The others are final.
    pub fn try_send(&mut self, id: ChannelId, chunk: Chunk) -> Result<(), SendError> {
        let total_full = self.sending.pending >= self.peer.total as usize;
        let window = self.peer.window as usize;
        let channel = self.channel(id).ok_or(SendError::Gone)?;
        let before = channel.outbox.pending();
        if before >= window || (total_full && before > 0) {
            if !std::mem::replace(&mut channel.wants_room, true) {
                self.sending.waiting += 1;
            }
            return Err(SendError::Full);
        }
        channel.outbox.push(chunk)?;
        let added = channel.outbox.pending() - before;
        self.sending.pending += added;
        self.wake(id.wire);
        Ok(())
    }

    /// Sends a datagram now or never.
    ///
    /// # Errors
    /// [`SendError::NoPath`], [`SendError::TooLarge`], [`SendError::Gone`], or [`SendError::Full`]
    /// if the shell does not keep up.
    pub fn try_send_datagram(&mut self, id: ChannelId, payload: &Bytes) -> Result<(), SendError> {
        self.channel(id).ok_or(SendError::Gone)?;
        if payload.len() > self.max_datagram() {
            return Err(SendError::TooLarge);
        }
        let tag = self
            .link
            .tag()
            .filter(|_| self.link.is_open())
            .ok_or(SendError::NoPath)?;
        if self.sending.datagrams.len() >= Self::DATAGRAMS {
            return Err(SendError::Full);
        }
        let head = Head::new(head::DATAGRAM, tag, id.wire, 0);
        let packed = self.packer.pack(&head, payload);
        self.sending.datagrams.push(packed);
        Ok(())
    }

    /// The largest payload of a datagram: type, tag and channel take nine bytes at most.
    #[must_use]
    pub fn max_datagram(&self) -> usize {
        self.config.max_datagram.saturating_sub(1 + 4 + 4)
    }

    /// Takes the next chunk, which thereby counts as consumed.
    ///
    /// Read until there is nothing: [`Event::Readable`] comes only after that.
    pub fn read(&mut self, id: ChannelId) -> Option<Chunk> {
        let channel = self.channel(id)?;
        let Some(chunk) = channel.inbox.read() else {
            channel.told = false;
            return None;
        };
        self.consumed(id.wire, super::config::ITEM_COST + chunk.bytes.len());
        self.settle(id.wire);
        Some(chunk)
    }

    /// The least channel that there may be: those below it are gone with the process that the peer was.
    #[must_use]
    pub const fn least(&self) -> ChannelId {
        ChannelId {
            generation: self.generation,
            wire: 0,
        }
    }

    /// Takes the next datagram. Read until there is nothing.
    pub fn read_datagram(&mut self, id: ChannelId) -> Option<Bytes> {
        self.channel(id)?.inbox.read_datagram()
    }

    /// Ends this side's direction after everything sent so far; the other direction goes on.
    ///
    /// [`Event::Flushed`] tells when the peer's application has consumed it all.
    ///
    /// # Errors
    /// [`SendError::Gone`] if there is no such channel. Finishing twice is no error.
    pub fn finish(&mut self, id: ChannelId) -> Result<(), SendError> {
        self.channel(id).ok_or(SendError::Gone)?;
        self.finish_wire(id.wire);
        Ok(())
    }

    /// Ends a channel at once in both directions; whatever is pending is dropped.
    pub fn reset(&mut self, id: ChannelId, code: ResetCode) {
        if self.channel(id).is_none() {
            return;
        }
        self.drop_channel(id.wire);
        self.say_reset(id.wire, code);
    }

    /// Lets go of a channel that the application uses no more.
    ///
    /// One that this side has finished is reset with [`ResetCode::CANCELLED`] once the peer has consumed
    /// what was said, or when it waits for room, which nobody makes here. Others are reset at once.
    pub fn abandon(&mut self, id: ChannelId) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        if !channel.outbox.is_finished() {
            return self.reset(id, ResetCode::CANCELLED);
        }
        channel.abandoned = true;
        self.part(id.wire);
    }

    /// Finishes every channel, waits until all of it is consumed, and says goodbye.
    ///
    /// [`Event::Closed`] follows. The peer may go on sending until then, and should be read from.
    /// A peer that hears the goodbye is closed as well.
    pub fn close(&mut self) {
        self.closing.wanted = true;
        for wire in self.wires() {
            self.finish_wire(wire);
        }
    }

    /// Asks for [`Event::Pong`], which takes as long as one record there and back.
    pub fn ping(&mut self) {
        self.pings += 1;
        self.ping = Some(Ping {
            token: self.pings,
            sent: None,
        });
    }

    /// The time the latest ping took, if there was one.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The next thing to know. Poll until there is nothing, after every call that changes something.
    pub fn poll_event(&mut self) -> Option<Event> {
        pop_front(&mut self.events)
    }

    /// Whether both peers know each other on the present path.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_open()
    }

    /// Whether the conversation is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closing.closed
    }

    /// Bytes handed over by [`Mux::try_send`] and not consumed by the peer, with 64 per item.
    #[must_use]
    pub fn pending(&self, id: ChannelId) -> Option<usize> {
        let known = id.generation == self.generation;
        self.channels
            .get(id.wire)
            .filter(|_| known)
            .map(|channel| channel.outbox.pending())
    }

    /// Whether the other side has taken everything that was sent, on every channel.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.sending.pending == 0 && !self.closing.lost
    }

    /// Bytes received and not read, over all channels, with 64 per item.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.acking.buffered
    }

    /// Counts of odd turns.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels
            .get_mut(id.wire)
            .filter(|_| id.generation == self.generation)
    }

    fn id(&self, wire: u32) -> ChannelId {
        ChannelId {
            generation: self.generation,
            wire,
        }
    }

    fn say_reset(&mut self, wire: u32, code: ResetCode) {
        let due = true;
        self.resets.push(Resetting { wire, code, due });
    }

    /// Channels this side opened which are not over.
    fn mine(&self) -> Vec<u32> {
        let mut wires = self.wires();
        for resetting in &self.resets {
            wires.push(resetting.wire);
        }
        wires.retain(|wire| self.is_mine(*wire));
        wires
    }

    /// The channels that are there now, to go through while some of them may end.
    fn wires(&self) -> Vec<u32> {
        self.channels.numbers().collect()
    }

    /// The initiator's channels are even, the joiner's odd.
    fn parity(&self) -> u32 {
        match self.role {
            Role::Initiator => 0,
            Role::Joiner => 1,
        }
    }

    fn is_mine(&self, wire: u32) -> bool {
        wire % 2 == self.parity()
    }
}

impl Channel {
    fn new(priority: Priority) -> Self {
        Self {
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            priority,
            queued: false,
            wants_room: false,
            told: false,
            abandoned: false,
        }
    }
}
