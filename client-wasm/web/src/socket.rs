//! One [`WebSocket`](https://websockets.spec.whatwg.org): binary messages out and in.
//!
//! ```text
//!   connect ─► opened ─► next … next ─► the end
//!                 └────────────────────────┘ it may end at any time
//! ```

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::Failure;
use crate::notify::Notify;
use crate::queue::{self, queue};
use crate::time::sleep;

/// Begins to connect to `url` (`ws:` or `wss:`), and asks for one subprotocol.
///
/// # Errors
///
/// `SyntaxError` for a URL or a subprotocol that the browser does not take, `SecurityError` for what the
/// page's security rules forbid.
pub fn connect(url: &str, subprotocol: &str) -> Result<(Sender, Receiver), Failure> {
    let socket = WebSocket::new_with_str(url, subprotocol)?;
    socket.set_binary_type(BinaryType::Arraybuffer);
    let state = Rc::new(State::default());
    let (news, came) = queue();
    let shared = Rc::new(Shared {
        _callbacks: Callbacks::new(&socket, &state, news),
        socket,
        state,
    });
    let sender = Sender(Rc::clone(&shared));
    Ok((sender, Receiver { shared, came }))
}

/// Why a WebSocket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The close code of the other side, or one of the browser's own (RFC 6455, section 7.4). None if the
    /// connection broke, or never came to be: the browser's 1006.
    pub code: Option<u16>,
    /// The words of the other side, for people. Often empty.
    pub reason: String,
}

/// The half that sends. The socket closes once all of it and the [`Receiver`] are dropped.
#[derive(Clone)]
pub struct Sender(Rc<Shared>);

impl Sender {
    /// Sends a binary message. The browser copies it, and takes whatever it is given: wait for
    /// [`Sender::room`] before.
    ///
    /// What is sent after the end is dropped, as every browser does.
    ///
    /// # Errors
    ///
    /// `InvalidStateError` as long as the socket is not open yet.
    pub fn send(&self, message: &[u8]) -> Result<(), Failure> {
        Ok(self.0.socket.send_with_u8_array(message)?)
    }

    /// Bytes that were sent and still wait in the browser.
    pub fn buffered_amount(&self) -> u32 {
        self.0.socket.buffered_amount()
    }

    /// Whether another message may be sent: less than 1 MiB waits in the browser.
    pub fn has_room(&self) -> bool {
        self.buffered_amount() < HIGH_WATER
    }

    /// Waits until [`Sender::has_room`], or until the socket is closing or closed.
    ///
    /// No browser says when it is: the amount is looked at every 8 ms, and whenever something arrives. In a
    /// page that nobody sees, timers ring once per second or less often.
    pub async fn room(&self) {
        self.falls_below(HIGH_WATER).await;
    }

    /// Waits until everything sent has left the browser, or until the socket is closed.
    pub async fn drained(&self) {
        self.falls_below(1).await;
    }

    /// Closes the socket, after what was sent before; with 1000, or with a code from 3000 to 4999 (RFC 6455,
    /// section 7.4.2). The [`Receiver`] tells when it is over. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// `InvalidAccessError` for other codes.
    pub fn close(&self, code: Option<u16>) -> Result<(), Failure> {
        let socket = &self.0.socket;
        Ok(match code {
            Some(code) => socket.close_with_code(code),
            None => socket.close(),
        }?)
    }

    async fn falls_below(&self, bytes: u32) {
        let Shared { socket, state, .. } = &*self.0;
        while state.end.borrow().is_none() && socket.buffered_amount() >= bytes {
            let mut look_again = pin!(sleep(LOOK_AGAIN));
            let mut was_polled = false;
            poll_fn(|context| {
                if std::mem::replace(&mut was_polled, true) {
                    return Poll::Ready(());
                }
                state.changed.register(context);
                look_again.as_mut().poll(context)
            })
            .await;
        }
    }
}

/// The half that receives. The socket closes once it and all of the [`Sender`] are dropped.
pub struct Receiver {
    shared: Rc<Shared>,
    came: queue::Receiver<Bytes>,
}

impl Receiver {
    /// Waits until messages may be sent. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The end, if there was no connection. A browser says nothing of the cause, on purpose.
    pub async fn opened(&mut self) -> Result<(), End> {
        let state = &self.shared.state;
        poll_fn(|context| {
            if state.is_opened.get() {
                return Poll::Ready(Ok(()));
            }
            state.poll_end(context).map(Err)
        })
        .await
    }

    /// The next message. One of text comes as one without bytes. Dropping the future loses nothing.
    ///
    /// Messages wait here without a bound: a browser has no way to make a server wait.
    ///
    /// # Errors
    ///
    /// The end, after the last message, and at every further call.
    pub async fn next(&mut self) -> Result<Bytes, End> {
        let Self { shared, came } = self;
        poll_fn(|context| match came.try_next() {
            Some(message) => Poll::Ready(Ok(message)),
            None => shared.state.poll_end(context).map(Err),
        })
        .await
    }
}

/// How often a crowded socket is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(8);

/// Bytes. A browser takes what it is given; this bounds what waits in it. Enough for 20 ms at 50 MB/s.
const HIGH_WATER: u32 = 1 << 20;

/// What callbacks write, and both halves read.
#[derive(Default)]
struct State {
    is_opened: Cell<bool>,
    end: RefCell<Option<End>>,
    /// Told after each change, and after each message.
    changed: Notify,
}

impl State {
    fn poll_end(&self, context: &Context<'_>) -> Poll<End> {
        if let Some(end) = &*self.end.borrow() {
            return Poll::Ready(end.clone());
        }
        self.changed.register(context);
        Poll::Pending
    }
}

/// What both halves own: the socket closes with the last of them.
struct Shared {
    socket: WebSocket,
    state: Rc<State>,
    /// The socket calls them until it is told not to, which happens before they are gone.
    _callbacks: Callbacks,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // It fails for codes that are not permitted only, and this is without.
        let _ = self.socket.close();
    }
}

/// They own nothing of the socket, so that nothing owns itself in a circle.
struct Callbacks {
    _open: Closure<dyn FnMut()>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Callbacks {
    fn new(socket: &WebSocket, state: &Rc<State>, news: queue::Sender<Bytes>) -> Self {
        let opened = Rc::clone(state);
        let open = Closure::<dyn FnMut()>::new(move || {
            opened.is_opened.set(true);
            opened.changed.notify();
        });
        let came = Rc::clone(state);
        let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            news.push(binary(&event));
            came.changed.notify();
        });
        let closed = Rc::clone(state);
        let close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            closed.end.replace(Some(End {
                code: Some(event.code()).filter(|code| *code != NOBODY_SAID),
                reason: event.reason(),
            }));
            closed.changed.notify();
        });
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        Self {
            _open: open,
            _message: message,
            _close: close,
        }
    }
}

/// The bytes of a message; none if it was text. One copy, out of the memory of JavaScript.
pub(crate) fn binary(event: &MessageEvent) -> Bytes {
    match event.data().dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Uint8Array::new(&buffer).to_vec().into(),
        Err(_) => Bytes::new(),
    }
}

/// A browser's close code for a connection that ended without one.
const NOBODY_SAID: u16 = 1006;
