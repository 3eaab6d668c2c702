//! Who waits for room, what is owed in acknowledgements, and when a channel is over.

use super::Mux;
use crate::channel::config::ITEM_COST;
use crate::channel::inbox::Inbox;
use crate::channel::{ChannelId, Event, ResetCode};

impl Mux {
    pub(super) fn finish_wire(&mut self, wire: u32) {
        let Some(channel) = self.channels.get_mut(wire) else {
            return;
        };
        let before = channel.outbox.pending();
        channel.outbox.finish();
        self.sending.pending += channel.outbox.pending() - before;
        self.wake(wire);
    }

    /// Lets a channel wait for its turn, behind all of its priority, if it has something to send.
    pub(super) fn wake(&mut self, wire: u32) {
        let Some(channel) = self.channels.get_mut(wire) else {
            return;
        };
        if channel.outbox.has_more() && !channel.queued {
            channel.queued = true;
            let (priority, ready) = (channel.priority, &mut self.sending.ready);
            let at = ready.partition_point(|(other, _)| *other <= priority);
            ready.insert(at, (priority, wire));
        }
    }

    /// Accounts for bytes the application has taken, and decides when to acknowledge them.
    pub(super) fn consumed(&mut self, wire: u32, cost: usize) {
        self.acking.buffered -= cost;
        self.acking.unacked += cost;
        let Some(channel) = self.channels.get(wire) else {
            return;
        };
        let window = self.config.limits.window as usize;
        if self.lets_wait(&channel.inbox) || channel.inbox.unacked() >= window / 4 {
            self.acking.now = true;
        }
        self.ack_soon();
    }

    /// Three quarters of a window are outstanding: the sender waits, or soon will.
    fn lets_wait(&self, inbox: &Inbox) -> bool {
        let limits = &self.config.limits;
        let (window, total) = (limits.window as usize, limits.total as usize);
        inbox.outstanding() >= window / 4 * 3
            || self.acking.buffered + self.acking.unacked >= total / 4 * 3
    }

    pub(super) fn ack_soon(&mut self) {
        let deadline = self.now + self.config.ack_delay;
        self.acking.deadline = self.acking.deadline.min(deadline);
    }

    /// Consumes the end of the peer's direction if it is all that is left to read.
    pub(super) fn settle(&mut self, wire: u32) {
        let Some(channel) = self.channels.get_mut(wire) else {
            return;
        };
        if channel.inbox.settle() {
            self.consumed(wire, ITEM_COST);
            self.events.push(Event::Finished(self.id(wire)));
            self.forget_if_over(wire);
        }
    }

    /// Both directions ended: what remains is to acknowledge the peer's end.
    pub(super) fn forget_if_over(&mut self, wire: u32) {
        let Some(channel) = self.channels.get(wire) else {
            return;
        };
        if !channel.outbox.is_done() || !channel.inbox.is_finished() {
            return;
        }
        if let Some(consumed) = channel.inbox.news() {
            self.ack_late(wire, consumed);
        }
        self.drop_channel(wire);
    }

    /// Resets an abandoned channel whose time has come: see [`Mux::abandon`].
    pub(super) fn part(&mut self, wire: u32) {
        let Some(channel) = self.channels.get(wire).filter(|it| it.abandoned) else {
            return;
        };
        let blocks = channel.inbox.buffered() > 0 && self.lets_wait(&channel.inbox);
        if blocks || channel.outbox.is_done() {
            self.drop_channel(wire);
            self.say_reset(wire, ResetCode::CANCELLED);
        }
    }

    /// Acknowledges what was consumed of a channel that is forgotten.
    pub(super) fn ack_late(&mut self, wire: u32, consumed: u64) {
        let late = &mut self.acking.late;
        match late.iter_mut().find(|(known, _)| *known == wire) {
            Some((_, count)) => *count = consumed.max(*count),
            None => late.push((wire, consumed)),
        }
        self.ack_soon();
    }

    pub(super) fn drop_channel(&mut self, wire: u32) {
        let Some(channel) = self.channels.remove(wire) else {
            return;
        };
        self.sending.in_flight -= channel.outbox.in_flight();
        self.sending.pending -= channel.outbox.pending();
        self.sending.waiting -= usize::from(channel.wants_room);
        self.acking.buffered -= channel.inbox.buffered();
        self.acking.unacked -= channel.inbox.unacked();
        if channel.queued {
            self.sending.ready.retain(|(_, other)| *other != wire);
        }
        self.room();
    }

    /// Wakes who waits for room, after some became free.
    pub(super) fn room(&mut self) {
        if std::mem::take(&mut self.sending.total_full) {
            for wire in self.wires() {
                self.wake(wire);
            }
        }
        if self.sending.waiting == 0 {
            return;
        }
        let total_full = self.sending.pending >= self.peer.total as usize;
        let enough = self.peer.window as usize / 4 * 3;
        let generation = self.generation;
        for (wire, channel) in self.channels.iter_mut() {
            let pending = channel.outbox.pending();
            if channel.wants_room && pending < enough && !(total_full && pending > 0) {
                channel.wants_room = false;
                self.sending.waiting -= 1;
                let id = ChannelId { generation, wire };
                self.events.push(Event::Writable(id));
            }
        }
    }
}
