use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Makes a queue from the browser's callbacks to one task.
///
/// It has no bound: a browser cannot be told to wait. What is pushed after the receiver is dropped is
/// dropped, too.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(RefCell::new(Shared {
        items: VecDeque::new(),
        waiting: None,
        is_read: true,
    }));
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    items: VecDeque<T>,
    waiting: Option<Waker>,
    is_read: bool,
}

/// What callbacks hold.
pub(crate) struct Sender<T>(Rc<RefCell<Shared<T>>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    pub(crate) fn push(&self, item: T) {
        let mut shared = self.0.borrow_mut();
        if shared.is_read {
            shared.items.push_back(item);
        }
        let waiting = shared.waiting.take();
        drop(shared);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// What the task holds.
pub(crate) struct Receiver<T>(Rc<RefCell<Shared<T>>>);

impl<T> Receiver<T> {
    /// The next item. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> T {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// An item, if one is there.
    pub(crate) fn try_next(&mut self) -> Option<T> {
        self.0.borrow_mut().items.pop_front()
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<T> {
        let mut shared = self.0.borrow_mut();
        if let Some(item) = shared.items.pop_front() {
            return Poll::Ready(item);
        }
        shared.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.is_read = false;
        let items = std::mem::take(&mut shared.items);
        drop(shared);
        drop(items);
    }
}
