//! A direct connection of the model, with an end at each peer: it connects once both ends hold each other's newest
//! description.

use std::time::Duration;

use bytes::Bytes;

use super::Dice;
use super::network::{Parcel, Wire};
use crate::direct::{Channel, Connection, IceCandidate, Input, SessionDescription};
use crate::time::Moment;

#[derive(Default)]
pub(super) struct Direct {
    ends: [Option<End>; 2],
    /// From the initiator, and from the joiner.
    pub(super) wires: [Wire; 2],
    /// No connection can be made.
    pub(super) blocked: bool,
    /// The connection swallows everything.
    pub(super) silent: bool,
    generations: u32,
    /// How many connections were made.
    pub(super) made: u64,
}

struct End {
    attempt: u64,
    /// The generation of this end's ICE; 0 before it was described.
    local: u32,
    /// The generation of the other end's ICE, as it was told.
    remote: u32,
    negotiation: Negotiation,
    /// The generations that were tried last.
    tried: (u32, u32),
    /// The shell knows that the channel is open.
    open: bool,
    inbox: Vec<(Moment, Input)>,
}

/// `RTCPeerConnection.signalingState`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Negotiation {
    Stable,
    HasLocalOffer,
    HasRemoteOffer,
}

impl Direct {
    pub(super) fn make(&mut self, who: usize, attempt: u64) -> Result<(), String> {
        if self.ends[who].is_some() {
            return Err(format!("{who} makes a second direct connection"));
        }
        self.wires[1 - who].cut();
        self.ends[who] = Some(End {
            attempt,
            local: 0,
            remote: 0,
            negotiation: Negotiation::Stable,
            tried: (0, 0),
            open: false,
            inbox: Vec::new(),
        });
        Ok(())
    }

    /// Makes an offer or an answer, and gathers candidates.
    pub(super) fn describe(
        &mut self,
        who: usize,
        attempt: u64,
        step: Step,
        now: Moment,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let end = self.end(who, attempt)?;
        let (is_fresh, is_offer) = match step {
            Step::Offer { restart } => (restart || end.local == 0, true),
            Step::Answer => (end.local == 0 || end.tried != (0, 0), false),
        };
        let fits = is_offer != (end.negotiation == Negotiation::HasRemoteOffer);
        if !fits || dice.once_in(60) {
            end.tell(Input::Failed, now, dice);
            return Ok(());
        }
        end.negotiation = match is_offer {
            true => Negotiation::HasLocalOffer,
            false => Negotiation::Stable,
        };
        if is_fresh {
            self.generations += 1;
        }
        let generation = self.generations;
        let end = self.end(who, attempt)?;
        if is_fresh {
            end.local = generation;
        }
        let description = SessionDescription {
            r#type: if is_offer { "offer" } else { "answer" }.into(),
            sdp: end.local.to_string(),
        };
        end.tell(Input::Described(description), now, dice);
        for number in 0..dice.below(3) {
            let candidate = IceCandidate {
                candidate: format!("{} {number}", end.local),
                ..IceCandidate::default()
            };
            end.tell(Input::Candidate(candidate), now, dice);
        }
        self.try_to_connect(now, dice);
        Ok(())
    }

    pub(super) fn accept(
        &mut self,
        who: usize,
        attempt: u64,
        description: &SessionDescription,
        now: Moment,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let end = self.end(who, attempt)?;
        let fits = match description.r#type.as_str() {
            "offer" => end.negotiation != Negotiation::HasLocalOffer,
            _ => end.negotiation == Negotiation::HasLocalOffer,
        };
        if !fits {
            end.tell(Input::Failed, now, dice);
            return Ok(());
        }
        end.remote = description.sdp.parse().unwrap_or(0);
        end.negotiation = match description.r#type.as_str() {
            "offer" => Negotiation::HasRemoteOffer,
            _ => Negotiation::Stable,
        };
        end.tell(Input::Accepted, now, dice);
        self.try_to_connect(now, dice);
        Ok(())
    }

    pub(super) fn add(&mut self, who: usize, attempt: u64) -> Result<(), String> {
        let end = self.end(who, attempt)?;
        match end.remote {
            0 => Err(format!("{who} adds a candidate before a description")),
            _ => Ok(()),
        }
    }

    /// This end is closed. The other one notices, if the connection carries.
    pub(super) fn close(
        &mut self,
        who: usize,
        attempt: u64,
        now: Moment,
        dice: &mut Dice,
    ) -> Result<(), String> {
        self.end(who, attempt)?;
        self.vanish(who, now, dice);
        Ok(())
    }

    pub(super) fn vanish(&mut self, who: usize, now: Moment, dice: &mut Dice) {
        let Some(gone) = self.ends[who].take() else {
            return;
        };
        self.wires[1 - who].cut();
        if dice.once_in(2) {
            self.wires[who].cut();
        }
        if let Some(other) = &mut self.ends[1 - who]
            && other.attempt == gone.attempt
            && other.tried != (0, 0)
            && !self.silent
        {
            other.tell(changed(Connection::Connected, Channel::Closed), now, dice);
        }
    }

    /// The connection, or its channel, ends at one end.
    pub(super) fn breaks(&mut self, who: usize, now: Moment, dice: &mut Dice) {
        let fate = match dice.below(3) {
            0 => changed(Connection::Connected, Channel::Closed),
            1 => changed(Connection::Failed, Channel::Open),
            _ => changed(Connection::Closed, Channel::Open),
        };
        if let Some(end) = self.ends[who].as_mut().filter(|end| end.open) {
            end.tell(fate, now, dice);
            self.wires.iter_mut().for_each(Wire::cut);
        }
    }

    /// The attempt whose channel is open at this end.
    pub(super) fn open(&self, who: usize) -> Option<u64> {
        let end = self.ends[who].as_ref().filter(|end| end.open)?;
        Some(end.attempt)
    }

    /// Whether what this end sends may arrive.
    pub(super) fn carries(&self, from: usize) -> bool {
        let attempt = |who: usize| Some(self.ends[who].as_ref()?.attempt);
        !self.silent && self.open(from).is_some() && attempt(from) == attempt(1 - from)
    }

    pub(super) fn next(&self, asleep: [bool; 2]) -> Option<Moment> {
        let awake = (0..2).filter(|who| !asleep[*who]);
        let all = awake.filter_map(|who| {
            let end = self.ends[who].as_ref()?;
            let news = end.inbox.first().map(|(at, _)| *at);
            let frame = self.wires[1 - who].next().filter(|_| end.open);
            news.into_iter().chain(frame).min()
        });
        all.min()
    }

    /// What an end has to report.
    pub(super) fn report(&mut self, who: usize, now: Moment) -> Option<(u64, Input)> {
        let end = self.ends[who].as_mut()?;
        if end.inbox.first()?.0 > now {
            return None;
        }
        let (_, input) = end.inbox.remove(0);
        end.open |= matches!(input, Input::Changed(_, Channel::Open));
        Some((end.attempt, input))
    }

    pub(super) fn arrive(&mut self, to: usize, now: Moment) -> Option<(u64, Bytes)> {
        let attempt = self.open(to)?;
        match self.wires[1 - to].arrive(now)? {
            Parcel::Frame(bytes) => Some((attempt, bytes)),
            Parcel::End(_) => None,
        }
    }

    fn try_to_connect(&mut self, now: Moment, dice: &mut Dice) {
        let [Some(a), Some(b)] = &mut self.ends else {
            return;
        };
        let pair = (a.local, b.local);
        let told = a.attempt == b.attempt && (a.remote, b.remote) == (b.local, a.local);
        if !told || pair.0 == 0 || pair.1 == 0 || a.tried == pair {
            return;
        }
        (a.tried, b.tried) = (pair, pair);
        let restarts = a.open || b.open;
        if self.blocked || (restarts && dice.once_in(3)) {
            let channel = |open: bool| {
                if open {
                    Channel::Open
                } else {
                    Channel::Pending
                }
            };
            for end in [a, b] {
                let input = changed(Connection::Failed, channel(end.open));
                if dice.once_in(2) {
                    end.tell(input, now + Duration::from_secs(dice.below(4)), dice);
                }
            }
            return;
        }
        self.silent = false;
        self.made += 1;
        for end in [a, b] {
            end.tell(changed(Connection::Connected, Channel::Open), now, dice);
        }
    }

    fn end(&mut self, who: usize, attempt: u64) -> Result<&mut End, String> {
        let end = self.ends[who].as_mut().filter(|it| it.attempt == attempt);
        end.ok_or_else(|| format!("{who} acts on a direct connection that is not there"))
    }
}

impl End {
    fn tell(&mut self, input: Input, now: Moment, dice: &mut Dice) {
        let before = self.inbox.last().map_or(now, |(at, _)| *at);
        let at = before.max(now + Duration::from_millis(1 + dice.below(40)));
        self.inbox.push((at, input));
    }
}

/// A step that gathers candidates.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Offer { restart: bool },
    Answer,
}

fn changed(connection: Connection, channel: Channel) -> Input {
    Input::Changed(connection, channel)
}
