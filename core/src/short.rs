//! Short queues: vectors of a few values as a rule and some thousand at most, the oldest first.
//!
//! Taking the first moves the others, which costs less than it sounds. A ring buffer's bookkeeping is
//! compiled anew for each kind of value, and a page downloads every copy.

/// Takes the oldest.
pub(crate) fn pop_front<T>(queue: &mut Vec<T>) -> Option<T> {
    (!queue.is_empty()).then(|| queue.remove(0))
}
