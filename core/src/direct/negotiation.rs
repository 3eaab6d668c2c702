//! What the other side describes: which offers are taken, and which answers were asked for.

use super::carrier::Half;
use super::{Action, Attempt, Carrier, Direct, SessionDescription};
use crate::role::Role;
use crate::time::Moment;

impl Direct {
    /// Takes a description of the other side, if it is one for this side.
    pub(super) fn take_description(&mut self, number: u64, it: SessionDescription, now: Moment) {
        match self.carrier_of(&it) {
            Some((carrier, Half::Offer)) if self.carrier.takes(carrier) => {
                self.take_offer(number, carrier, it, now);
            }
            Some((carrier, Half::Answer)) => self.take_answer(number, carrier, it),
            // The other side looks for a direct path, and waits for an offer that it can take.
            _ if self.due != Moment::NEVER => self.due = now,
            _ => {}
        }
    }

    /// What a description is. If it is of this side's first carrier, the other side has that.
    fn carrier_of(&mut self, description: &SessionDescription) -> Option<(Carrier, Half)> {
        let known = Carrier::of(&description.r#type);
        if known.is_some_and(|(carrier, _)| carrier == self.carrier) {
            self.offers = self.carrier;
        }
        known
    }

    fn take_offer(
        &mut self,
        number: u64,
        carrier: Carrier,
        offer: SessionDescription,
        now: Moment,
    ) {
        let ours = self.attempt.as_ref();
        let is_known = ours.is_some_and(|it| it.number == number);
        if is_known && ours.is_some_and(|it| it.carrier != carrier) {
            return;
        }
        // A side that offers another carrier has dropped the offer of this one.
        let glare = ours.is_some_and(|it| it.is_unanswered() && it.carrier == carrier);
        if number == self.given_up || (!is_known && glare && self.role == Role::Initiator) {
            return;
        }
        if !is_known {
            if let Some(path) = self.path() {
                self.actions.push(Action::Down(path));
            }
            self.stop();
            self.begin(number, carrier, false, now);
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.take(true);
            self.actions.push(Action::Accept(number, offer));
        }
    }

    fn take_answer(&mut self, number: u64, carrier: Carrier, answer: SessionDescription) {
        let is_asked =
            |it: &&mut Attempt| it.number == number && it.awaits_answer && it.carrier == carrier;
        if let Some(attempt) = self.attempt.as_mut().filter(is_asked) {
            attempt.awaits_answer = false;
            attempt.take(false);
            self.actions.push(Action::Accept(number, answer));
        }
    }
}
