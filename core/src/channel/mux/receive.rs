//! What arrives: records from the peer, and news of the path.

use bytes::Bytes;

use super::{Channel, Mux};
use crate::channel::config::ITEM_COST;
use crate::channel::inbox::Arrival;
use crate::channel::item::Item;
use crate::channel::link::Heard;
use crate::channel::wire::head::{self, Head};
use crate::channel::wire::{Reader, check_fragment, name};
use crate::channel::{Event, Open, Priority, ResetCode, Violation};
use crate::time::Moment;

impl Mux {
    /// A path is there, or the one that was there lost something: both peers greet each other, and
    /// then replay what the other lacks.
    pub fn path_up(&mut self, now: Moment) {
        self.tick(now);
        self.stall.asking = false;
        self.link.begin();
    }

    /// There is no path. Everything is kept.
    pub fn path_down(&mut self, now: Moment) {
        self.tick(now);
        self.link.end();
        self.sending.datagrams.clear();
    }

    /// Records take another path from now on, at once: everything unacknowledged is sent again there.
    ///
    /// What the old path still delivers does no harm. Without a connection this is
    /// [`Mux::path_up`].
    pub fn switch_path(&mut self, now: Moment) {
        self.tick(now);
        if !self.link.is_open() {
            self.link.begin();
            return;
        }
        self.link.announce();
        self.replay(None);
    }

    /// Something the peer sent may be lost, for instance because another leg than the one in use was
    /// replaced: asks for it again. What this side sends is not disturbed.
    pub fn resync(&mut self, now: Moment) {
        self.tick(now);
        if self.link.is_open() {
            self.link.announce();
        }
    }

    /// Takes a record from the reliable lane.
    ///
    /// # Errors
    /// [`Violation`] if the peer breaks the rules; give it up then.
    pub fn handle_record(&mut self, mut bytes: Bytes, now: Moment) -> Result<(), Violation> {
        self.tick(now);
        if bytes.len() > self.config.limits.max_record as usize {
            return Err(Violation::RecordTooLarge);
        }
        if let Some((&head::OPEN, fields)) = bytes.split_first() {
            return self.on_open(&Open::decode(fields)?);
        }
        let head = Head::split_off(&mut bytes)?;
        if self.link.tag() != Some(head.tag) {
            self.stats.stale += 1;
            return Ok(());
        }
        self.stall.heard(bytes.len(), self.now);
        let (wire, number) = (head.channel, head.number);
        match head.kind {
            head::ACK => self.on_ack(&bytes)?,
            head::PING => self.sending.pong = Some(number),
            head::PONG => self.on_pong(number),
            head::GOODBYE => self.on_goodbye(),
            head::GOODBYE_ACK if self.closing.goodbye_said => self.closed(true),
            head::GOODBYE_ACK => {}
            head::RESET => self.on_reset(wire, ResetCode(head.code()))?,
            head::RESET_ACK => self.forget_reset(wire),
            head::CHANNEL => self.on_channel(wire, head.priority()?, name(&bytes)?)?,
            head::FINISH => self.on_item(wire, number, Item::end())?,
            head::DATAGRAM => return Err(Violation::UnknownType),
            kind => {
                let (_, last) = head::of_data(kind);
                check_fragment(&bytes, last)?;
                self.on_item(wire, number, Item { kind, bytes })?;
            }
        }
        // An honest peer cannot fill a queue that the shell empties after each record.
        let many = 16 + 16 * self.config.limits.max_channels as usize;
        let debts = self.resets.len() + self.sending.reset_acks.len() + self.acking.late.len();
        if self.events.len() > many || debts > many {
            return Err(Violation::Flood);
        }
        Ok(())
    }

    /// Takes a record from the datagram lane. Anything odd is dropped: datagrams have no guarantees.
    pub fn handle_datagram(&mut self, mut bytes: Bytes) {
        let tag = self.link.tag();
        let head = Head::split_off(&mut bytes).ok();
        let known = head.filter(|head| head.kind == head::DATAGRAM && tag == Some(head.tag));
        let wire = known.map_or(u32::MAX, |head| head.channel);
        let channel = self.channels.get_mut(wire);
        match channel.and_then(|channel| channel.inbox.push_datagram(bytes)) {
            Some(true) => {
                let event = Event::DatagramReadable(self.id(wire));
                self.events.push(event);
            }
            Some(false) => {}
            None => self.stats.dropped_datagrams += 1,
        }
    }

    pub(super) fn tick(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    fn on_open(&mut self, open: &Open) -> Result<(), Violation> {
        let heard = self.link.hear(open)?;
        match heard {
            Heard::Nothing => return Ok(()),
            Heard::Resumed { .. } => {}
            Heard::Met => self.peer = open.limits,
            Heard::Restarted => {
                self.peer = open.limits;
                self.restart();
            }
        }
        self.replay(Some(open));
        match heard {
            Heard::Nothing | Heard::Resumed { connected: false } => {}
            Heard::Resumed { connected: true } if std::mem::take(&mut self.stall.asking) => {
                self.closing.goodbye_due |= self.closing.closed;
            }
            Heard::Resumed { connected: true } | Heard::Met | Heard::Restarted => {
                self.events.push(Event::Connected);
                // A peer that comes to a closed conversation is told so.
                self.closing.goodbye_due |= self.closing.closed;
            }
        }
        Ok(())
    }

    /// Nothing can be continued with another process.
    fn restart(&mut self) {
        // Without a close, the event below is how the application learns what it lost.
        let pending = self
            .channels
            .values()
            .any(|channel| !channel.outbox.is_flushed());
        self.closing.lost |= self.closing.wanted && pending;
        self.closing.goodbye_said = false;
        for wire in self.wires() {
            self.drop_channel(wire);
        }
        self.generation += 1;
        (self.opened, self.announced, self.seen) = (0, 0, 0);
        self.resets.clear();
        self.sending.reset_acks.clear();
        self.sending.datagrams.clear();
        self.acking.late.clear();
        self.events.push(Event::PeerRestarted);
    }

    /// Prepares to send again what the peer lacks; without its own word on that, everything.
    fn replay(&mut self, open: Option<&Open>) {
        let oldest = self
            .mine()
            .into_iter()
            .min()
            .map_or(u32::MAX, |wire| wire / 2);
        let seen = open.map_or(0, |open| open.seen);
        self.announced = self.announced.min(seen.max(oldest));
        for wire in self.wires() {
            let mine = self.is_mine(wire);
            let Some(channel) = self.channels.get_mut(wire) else {
                continue;
            };
            channel.inbox.ack_again();
            let before = channel.outbox.in_flight();
            let next = match open {
                Some(open) if wire / 2 < if mine { open.seen } else { open.opened } => {
                    let mut positions = open.positions.iter();
                    match positions.find(|position| position.channel == wire) {
                        // More than was sent would be a lie, and then nothing is freed.
                        Some(position) => {
                            let _ = channel.outbox.ack(position.consumed);
                            position.next
                        }
                        // It was there and is no more: everything was consumed.
                        None => {
                            channel.outbox.ack_all();
                            u64::MAX
                        }
                    }
                }
                // It has not seen the channel, or says nothing.
                Some(_) | None => 0,
            };
            self.stats.replayed += channel.outbox.rewind(next);
            self.freed(wire, before);
        }
        for resetting in &mut self.resets {
            resetting.due = true;
        }
        if let Some(ping) = &mut self.ping {
            ping.sent = None;
        }
        self.closing.goodbye_due |= self.closing.goodbye_said && !self.closing.closed;
        self.ack_soon();
        self.room();
    }

    fn on_ack(&mut self, pairs: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader::new(pairs);
        loop {
            let (wire, consumed) = (reader.channel(), reader.varint());
            reader.check()?;
            if let Some(channel) = self.channels.get_mut(wire) {
                let before = channel.outbox.in_flight();
                channel.outbox.ack(consumed)?;
                self.freed(wire, before);
            } else {
                self.check_known(wire)?;
            }
            if reader.rest.is_empty() {
                break;
            }
        }
        self.room();
        Ok(())
    }

    /// Accounts for what an acknowledgement took out of flight.
    fn freed(&mut self, wire: u32, before: usize) {
        let Some(channel) = self.channels.get(wire) else {
            return;
        };
        let freed = before - channel.outbox.in_flight();
        self.sending.in_flight -= freed;
        self.sending.pending -= freed;
        if freed > 0 {
            self.stall.advanced();
        }
        if freed > 0 && channel.outbox.is_done() {
            self.events.push(Event::Flushed(self.id(wire)));
        }
        self.wake(wire);
        self.forget_if_over(wire);
        self.part(wire);
    }

    fn on_pong(&mut self, token: u64) {
        let answered = self.ping.as_ref().filter(|ping| ping.token == token);
        if let Some(sent) = answered.and_then(|ping| ping.sent) {
            let rtt = self.now - sent;
            self.rtt = Some(rtt);
            self.ping = None;
            self.events.push(Event::Pong(rtt));
        }
    }

    /// The peer is done: it consumed nothing after what it has acknowledged.
    fn on_goodbye(&mut self) {
        self.closing.answer_due = true;
        let flushed = self
            .channels
            .values()
            .all(|channel| channel.outbox.is_flushed());
        self.closed(flushed);
    }

    fn closed(&mut self, flushed: bool) {
        if std::mem::replace(&mut self.closing.closed, true) {
            return;
        }
        self.closing.goodbye_due = false;
        for wire in self.wires() {
            self.drop_channel(wire);
        }
        self.resets.clear();
        self.events.push(Event::Closed {
            flushed: flushed && !self.closing.lost,
        });
    }

    fn on_reset(&mut self, wire: u32, code: ResetCode) -> Result<(), Violation> {
        if self.is_next(wire) {
            // It was reset before it was announced: nobody needs to know.
            self.seen += 1;
        } else if self.is_ahead(wire) {
            self.gap();
            return Ok(());
        }
        self.check_known(wire)?;
        if self.channels.contains(wire) {
            self.drop_channel(wire);
            self.events.push(Event::Reset {
                channel: self.id(wire),
                code,
            });
        }
        self.forget_reset(wire);
        if !self.sending.reset_acks.contains(&wire) {
            self.sending.reset_acks.push(wire);
        }
        Ok(())
    }

    fn forget_reset(&mut self, wire: u32) {
        self.resets.retain(|resetting| resetting.wire != wire);
    }

    fn on_channel(&mut self, wire: u32, priority: Priority, name: String) -> Result<(), Violation> {
        if self.is_mine(wire) {
            return Err(Violation::UnknownChannel);
        }
        if self.is_ahead(wire) {
            self.gap();
            return Ok(());
        }
        if !self.is_next(wire) {
            return self.on_item(wire, 0, Item::announcement(&name));
        }
        self.seen += 1;
        if self.closing.closed {
            return Ok(());
        }
        let theirs = self
            .channels
            .numbers()
            .filter(|wire| !self.is_mine(*wire))
            .count();
        if theirs >= self.config.limits.max_channels as usize {
            self.say_reset(wire, ResetCode::TOO_MANY);
            return Ok(());
        }
        let mut channel = Channel::new(priority);
        channel.inbox.skip_announcement();
        self.channels.insert(wire, channel);
        self.events.push(Event::Opened {
            channel: self.id(wire),
            name,
            priority,
        });
        if self.closing.wanted {
            self.finish_wire(wire);
        }
        self.ack_soon();
        Ok(())
    }

    fn on_item(&mut self, wire: u32, sequence: u64, item: Item) -> Result<(), Violation> {
        let cost = item.cost();
        let limits = &self.config.limits;
        // Each channel may exceed the total by one fragment. Which one did is not known here: after a
        // loss, items of several channels arrive in another order than they were first sent in.
        let excess = self.channels.len() * (limits.fragment(&self.peer) + ITEM_COST);
        let total_room = (limits.total as usize + excess).saturating_sub(self.acking.buffered);
        let Some(channel) = self.channels.get_mut(wire) else {
            return self.on_absent(wire, sequence);
        };
        let window = limits.window as usize;
        match channel.inbox.take(sequence, item, window, total_room)? {
            Arrival::Taken => {
                self.acking.buffered += cost;
                self.settle(wire);
                self.part(wire);
                self.tell_readable(wire);
            }
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                self.ack_soon();
            }
            Arrival::Gap => self.gap(),
        }
        Ok(())
    }

    fn tell_readable(&mut self, wire: u32) {
        let id = self.id(wire);
        let Some(channel) = self.channels.get_mut(wire) else {
            return;
        };
        if channel.inbox.buffered() > 0 && !std::mem::replace(&mut channel.told, true) {
            self.events.push(Event::Readable(id));
        }
    }

    /// An item of a channel this side has forgotten was consumed; of one not yet seen it is early.
    fn on_absent(&mut self, wire: u32, sequence: u64) -> Result<(), Violation> {
        if self.is_next(wire) || self.is_ahead(wire) {
            self.gap();
            return Ok(());
        }
        self.check_known(wire)?;
        let is_reset = self.resets.iter().any(|resetting| resetting.wire == wire);
        if !is_reset && !self.closing.closed {
            self.stats.duplicates += 1;
            self.ack_late(wire, sequence.saturating_add(1));
        }
        Ok(())
    }

    /// Something is missing, although a path loses nothing: begin it anew, and it is replayed.
    fn gap(&mut self) {
        if self.link.is_open() {
            self.stats.gaps += 1;
            self.link.begin();
        }
    }

    /// The number the peer's next channel must have.
    fn is_next(&self, wire: u32) -> bool {
        !self.is_mine(wire) && wire / 2 == self.seen
    }

    fn is_ahead(&self, wire: u32) -> bool {
        !self.is_mine(wire) && wire / 2 > self.seen
    }

    fn check_known(&self, wire: u32) -> Result<(), Violation> {
        let count = if self.is_mine(wire) {
            self.opened
        } else {
            self.seen
        };
        if wire / 2 < count {
            Ok(())
        } else {
            Err(Violation::UnknownChannel)
        }
    }
}
