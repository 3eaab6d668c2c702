//! What is sent, and when: greetings, then control, then acknowledgements, then data in fair turns.

use super::{Mux, Ping};
use crate::channel::item::Item;
use crate::channel::outbox::Taken;
use crate::channel::wire::head::{self, Head};
use crate::channel::wire::{Packer, Position};
use crate::channel::{Open, Packed};
use crate::short::pop_front;
use crate::time::Moment;

impl Mux {
    /// The next record for the reliable lane. Poll until there is nothing, or the path is full.
    pub fn poll_record(&mut self, now: Moment) -> Option<Packed> {
        self.tick(now);
        self.watch();
        if let Some(mut open) = self.link.poll(self.now, self.config.limits) {
            if self.link.is_acquainted(open.peer) {
                self.take_stock(&mut open);
            }
            return Some(self.packer.open(&open));
        }
        let tag = self.link.tag().filter(|_| self.link.is_open())?;
        self.next_control(tag)
            .or_else(|| self.next_ack(tag))
            .or_else(|| self.next_announcement(tag))
            .or_else(|| self.next_reset(tag))
            .or_else(|| self.next_data(tag))
            .or_else(|| self.next_goodbye(tag))
    }

    /// The next record for the datagram lane.
    pub fn poll_datagram(&mut self) -> Option<Packed> {
        pop_front(&mut self.sending.datagrams)
    }

    /// When to call [`Mux::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let link = self.link.timeout();
        if !self.link.is_open() {
            return link;
        }
        link.min(self.acking.deadline).min(self.stall.timeout())
    }

    /// Notes that time has passed; [`Mux::poll_record`] then gives what has become due.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.tick(now);
    }

    /// A record without a payload.
    fn pack(&mut self, kind: u8, tag: u32, channel: u32, number: u64) -> Packed {
        let head = Head::new(kind, tag, channel, number);
        self.packer.pack(&head, &[])
    }

    /// Says what there is of each channel.
    fn take_stock(&self, open: &mut Open) {
        open.opened = self.opened;
        open.seen = self.seen;
        for (channel, live) in self.channels.iter() {
            open.positions.push(Position {
                channel,
                next: live.inbox.next(),
                consumed: live.inbox.consumed(),
            });
        }
        for resetting in &self.resets {
            open.positions.push(Position {
                channel: resetting.wire,
                next: 0,
                consumed: 0,
            });
        }
    }

    fn next_control(&mut self, tag: u32) -> Option<Packed> {
        if let Some(token) = self.sending.pong.take() {
            return Some(self.pack(head::PONG, tag, 0, token));
        }
        if let Some(Ping {
            token,
            sent: sent @ None,
        }) = &mut self.ping
        {
            let token = *token;
            *sent = Some(self.now);
            return Some(self.pack(head::PING, tag, 0, token));
        }
        if std::mem::take(&mut self.closing.answer_due) {
            return Some(self.pack(head::GOODBYE_ACK, tag, 0, 0));
        }
        let channel = pop_front(&mut self.sending.reset_acks)?;
        Some(self.pack(head::RESET_ACK, tag, channel, 0))
    }

    fn next_ack(&mut self, tag: u32) -> Option<Packed> {
        if !self.acking.now && self.acking.deadline > self.now {
            return None;
        }
        self.acking.now = false;
        self.acking.deadline = Moment::NEVER;
        self.acking.unacked = 0;
        let mut some = false;
        self.packer.begin(&Head::new(head::ACK, tag, 0, 0));
        for (wire, channel) in self.channels.iter_mut() {
            if let Some(consumed) = channel.inbox.news() {
                self.packer.pair(wire, consumed);
                some = true;
            }
            channel.inbox.acknowledged();
        }
        for &(wire, consumed) in &self.acking.late {
            self.packer.pair(wire, consumed);
            some = true;
        }
        self.acking.late.clear();
        some.then(|| self.packer.end(&[]))
    }

    /// Channels are announced in the order of their numbers and before any data, so that a receiver
    /// can tell one it has forgotten from one it has not seen.
    fn next_announcement(&mut self, tag: u32) -> Option<Packed> {
        while self.announced < self.opened {
            let wire = self.announced * 2 + self.parity();
            self.announced += 1;
            if let Some(at) = self.resets.iter().position(|it| it.wire == wire) {
                return Some(self.reset_at(at, tag));
            }
            let Some(channel) = self.channels.get_mut(wire) else {
                continue;
            };
            if channel.outbox.next() > 0 {
                continue;
            }
            let packed = match channel.outbox.take(0, 0, 0) {
                Taken::Item(_, item) => {
                    let number = channel.priority as u64;
                    Some(pack_item(&mut self.packer, tag, wire, number, item))
                }
                Taken::Nothing | Taken::TotalFull => None,
            };
            self.wake(wire);
            if packed.is_some() {
                return packed;
            }
        }
        None
    }

    fn next_reset(&mut self, tag: u32) -> Option<Packed> {
        let at = self.resets.iter().position(|resetting| resetting.due)?;
        Some(self.reset_at(at, tag))
    }

    fn reset_at(&mut self, at: usize, tag: u32) -> Packed {
        let resetting = &mut self.resets[at];
        resetting.due = false;
        let (wire, code) = (resetting.wire, resetting.code.0);
        self.pack(head::RESET, tag, wire, code.into())
    }

    fn next_data(&mut self, tag: u32) -> Option<Packed> {
        let fragment = self.config.limits.fragment(&self.peer);
        let window = self.peer.window as usize;
        while let Some((_, wire)) = pop_front(&mut self.sending.ready) {
            let room = (self.peer.total as usize).saturating_sub(self.sending.in_flight);
            let Some(channel) = self.channels.get_mut(wire) else {
                continue;
            };
            channel.queued = false;
            let (in_flight, pending) = (channel.outbox.in_flight(), channel.outbox.pending());
            let packed = match channel.outbox.take(fragment, window, room) {
                Taken::Nothing => None,
                Taken::TotalFull => {
                    self.sending.total_full = true;
                    None
                }
                Taken::Item(sequence, item) => {
                    Some(pack_item(&mut self.packer, tag, wire, sequence, item))
                }
            };
            self.sending.in_flight += channel.outbox.in_flight() - in_flight;
            // Each fragment has an overhead of its own.
            self.sending.pending += channel.outbox.pending() - pending;
            if packed.is_some() {
                self.wake(wire);
                return packed;
            }
        }
        None
    }

    /// Everything of this side is consumed: the last word, after the acknowledgement of what this
    /// side has consumed, by which the peer knows what became of its own.
    fn next_goodbye(&mut self, tag: u32) -> Option<Packed> {
        let closing = &mut self.closing;
        if closing.wanted && !closing.closed && !closing.goodbye_said {
            let done = |channel: &super::Channel| channel.outbox.is_done();
            closing.goodbye_due = self.resets.is_empty() && self.channels.values().all(done);
        }
        if !closing.goodbye_due {
            return None;
        }
        self.acking.now = true;
        if let Some(ack) = self.next_ack(tag) {
            return Some(ack);
        }
        self.closing.goodbye_due = false;
        self.closing.goodbye_said = true;
        Some(self.pack(head::GOODBYE, tag, 0, 0))
    }
}

/// Packs an item from where it is kept until it is acknowledged. `number` is its sequence number, or the
/// priority of an announcement.
fn pack_item(packer: &mut Packer, tag: u32, wire: u32, number: u64, item: &Item) -> Packed {
    let head = Head::new(item.kind, tag, wire, number);
    packer.pack(&head, &item.bytes)
}
