//! One connection being made, in use, or being mended.

use super::{Carrier, IceCandidate};
use crate::connect::PathId;
use crate::time::Moment;

pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) carrier: Carrier,
    /// This side made the offer, and restarts ICE.
    pub(super) offered: bool,
    /// The reliable channel is open, or was.
    pub(super) open: bool,
    pub(super) path: Option<PathId>,
    /// Without a path by then it is given up.
    pub(super) until: Moment,
    /// The description of the other side was taken; its candidates wait for that.
    pub(super) described: bool,
    /// An offer of this side waits for its answer.
    pub(super) awaits_answer: bool,
    /// A description of the other side is being taken; true if it is an offer.
    pub(super) accepting: Option<bool>,
    pub(super) early: Vec<IceCandidate>,
    /// How many candidates came since the latest description of the other side.
    heard: usize,
    /// ICE is to be restarted once more, when the present offer is answered.
    pub(super) again: bool,
    /// The other side was told this side's description; this side's candidates wait for that.
    pub(super) announced: bool,
    pub(super) unsent: Vec<IceCandidate>,
    /// What waits for new servers, and until when.
    pub(super) step: Option<(Step, Moment)>,
}

/// A step that gathers candidates.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Offer { restart: bool },
    Answer,
}

impl Attempt {
    pub(super) fn new(number: u64, carrier: Carrier, offered: bool, until: Moment) -> Self {
        Self {
            number,
            carrier,
            offered,
            open: false,
            path: None,
            until,
            described: false,
            awaits_answer: false,
            accepting: None,
            early: Vec::new(),
            heard: 0,
            again: false,
            announced: false,
            unsent: Vec::new(),
            step: None,
        }
    }

    /// This side has offered, and the other one has said nothing to that.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.offered && !self.described
    }

    pub(super) fn timeout(&self) -> Moment {
        let until = match self.path {
            Some(_) => Moment::NEVER,
            None => self.until,
        };
        self.step.as_ref().map_or(until, |(_, at)| until.min(*at))
    }

    /// A description of the other side is to be taken, an offer or an answer.
    pub(super) fn take(&mut self, offer: bool) {
        self.accepting = Some(offer);
        self.heard = self.early.len();
    }

    /// A candidate of the other side: to be added now, or kept.
    pub(super) fn heard_candidate(&mut self, candidate: IceCandidate) -> Option<IceCandidate> {
        self.heard += 1;
        if self.heard > MAX_CANDIDATES {
            return None;
        }
        if self.described {
            return Some(candidate);
        }
        self.early.push(candidate);
        None
    }

    /// Keeps a candidate of this side until its description was told.
    pub(super) fn keep(&mut self, candidate: IceCandidate) {
        if self.unsent.len() < MAX_CANDIDATES {
            self.unsent.push(candidate);
        }
    }
}

/// Candidates for one description, per side. Each is checked with every address of the other side.
const MAX_CANDIDATES: usize = 64;
