//! What a person answered to offers.

use std::collections::VecDeque;

use super::Offer;

/// Remembers what was agreed to by the [digest](Offer::digest) of the whole offer: the same offer after a
/// restart is not asked about twice, and nothing else takes its place.
///
/// It keeps the last 64 offers and forgets older ones, which are then asked about again.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    agreed: VecDeque<[u8; 32]>,
}

impl Consent {
    const MAX_AGREED: usize = 64;

    /// Whether this very offer was agreed to, and not declined or cancelled since.
    #[must_use]
    pub fn agreed(&self, offer: &Offer) -> bool {
        self.agreed.contains(&offer.digest())
    }

    /// Takes an answer; `false` also for an offer that was cancelled after it was agreed to.
    pub fn answer(&mut self, offer: &Offer, yes: bool) {
        let digest = offer.digest();
        self.agreed.retain(|it| *it != digest);
        if !yes {
            return;
        }
        if self.agreed.len() == Self::MAX_AGREED {
            self.agreed.pop_front();
        }
        self.agreed.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Entry, Kind, Limits, SafePath, TransferId};

    fn offer(name: &str, size: u64) -> Offer {
        let entry = Entry {
            path: SafePath::new(&[name]).unwrap(),
            kind: Kind::File,
            size: Some(size),
            modified: None,
            executable: false,
            mode: None,
            data_bytes: None,
        };
        Offer::new(
            TransferId::from_bytes([7; 16]),
            vec![entry],
            &Limits::default(),
        )
        .unwrap()
    }

    #[test]
    fn an_answer_is_for_one_offer_and_not_for_one_id() {
        let mut consent = Consent::default();
        let (photo, other) = (offer("photo.jpg", 1), offer(".bash_profile", 1));
        assert_eq!(photo.id(), other.id());
        assert!(!consent.agreed(&photo));
        consent.answer(&photo, true);
        assert!(consent.agreed(&photo) && !consent.agreed(&other));
        assert!(!consent.agreed(&offer("photo.jpg", 1 << 40)));
        consent.answer(&photo, false);
        assert!(!consent.agreed(&photo), "it was cancelled");
    }

    #[test]
    fn old_answers_are_forgotten() {
        let mut consent = Consent::default();
        for size in 0..1_000 {
            consent.answer(&offer("a", size), true);
        }
        assert_eq!(consent.agreed.len(), Consent::MAX_AGREED);
        assert!(consent.agreed(&offer("a", 999)) && !consent.agreed(&offer("a", 0)));
    }
}
