use std::cell::RefCell;
use std::task::{Context, Waker};

/// Wakes every task that waits for a change. What changed, each of them looks at itself.
#[derive(Default)]
pub(crate) struct Notify(RefCell<Vec<Waker>>);

impl Notify {
    /// Has the task woken at the next change, once.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let mut waiting = self.0.borrow_mut();
        if !waiting.iter().any(|it| it.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
    }

    /// Tells of a change.
    pub(crate) fn notify(&self) {
        // A waker may register again at once: the list is not borrowed meanwhile.
        let waiting = self.0.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}
