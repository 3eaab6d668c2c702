//! Datagrams of one size that leave in one call of the system (generic segmentation offload).

use std::collections::VecDeque;

/// Datagrams that wait to be sent, in order.
#[derive(Default)]
pub(super) struct Trains {
    waiting: VecDeque<Train>,
}

/// Datagrams of the same size, but that the last one may be shorter.
pub(super) struct Train {
    pub(super) bytes: Vec<u8>,
    size: usize,
}

impl Trains {
    /// Adds a datagram to a train of this many at most, or begins another one.
    pub(super) fn push(&mut self, datagram: &[u8], longest: usize) {
        if let Some(last) = self.waiting.back_mut()
            && last.bytes.len().is_multiple_of(last.size)
            && last.bytes.len() / last.size < longest
            && datagram.len() <= last.size
        {
            last.bytes.extend_from_slice(datagram);
        } else {
            self.waiting.push_back(Train {
                bytes: datagram.to_vec(),
                size: datagram.len().max(1),
            });
        }
    }

    pub(super) fn first(&self) -> Option<&Train> {
        self.waiting.front()
    }

    pub(super) fn pop(&mut self) {
        self.waiting.pop_front();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Train {
    /// The size of its datagrams, if there are many.
    pub(super) fn segment(&self) -> Option<usize> {
        (self.bytes.len() > self.size).then_some(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_datagram_of_a_train_is_shorter() {
        let mut trains = Trains::default();
        for size in [100, 100, 100, 100, 100, 40, 40, 100, 1] {
            trains.push(&vec![1; size], 4);
        }
        let mut all = Vec::new();
        while let Some(train) = trains.first() {
            all.push((train.bytes.len(), train.segment()));
            trains.pop();
        }
        assert_eq!(
            all,
            [
                (400, Some(100)),
                (140, Some(100)),
                (40, None),
                (101, Some(100))
            ]
        );
    }
}
