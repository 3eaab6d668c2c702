//! What differs between targets: time, tasks, sockets, TLS and name resolution. Nothing outside this folder
//! names a socket, a timer, or a QUIC, WebSocket or TLS library.
//!
//! A platform offers the same names with the same meaning, and the driver uses no others:
//!
//! | name | what it does |
//! |---|---|
//! | [`Clock`] | says what time it is, and waits until a time |
//! | [`Wakes`] | tells that the program slept, is visible again, or has another network |
//! | [`Random`] | the system's random numbers |
//! | [`spawn`] | runs the driver |
//! | [`BoxFuture`] | a future of any kind; it is `Send` where there are threads |
//! | [`Legs`] | the transports of legs to relays: connects, sends, receives, hangs up |
//! | [`Direct`] | the connections of direct paths |
//! | [`Calls`], [`Http`], [`timeout`] | calls of the server: see [`rpc`](crate::rpc) |
//! | [`Dialer`], and natively `Proxies` | the way to servers and relays |
//! | [`Url`] | takes addresses apart |
//! | [`Trust`] | which servers to trust |
//!
//! A native one measures what its network lets through, too: `ask` and `relayed`.

use bytes::Bytes;
use peersox_core::attach::Ended;
use peersox_core::direct;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
use native as here;
#[cfg(target_arch = "wasm32")]
use web as here;

pub use here::Trust;
pub(crate) use here::{
    BoxFuture, Calls, Clock, Dialer, Direct, Http, Legs, Random, Url, Wakes, spawn, timeout,
};
#[cfg(not(target_arch = "wasm32"))]
pub use native::{Proxies, Relayed};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{ask, relayed, stun_server};

/// `Send` natively; every type in a page, which has one thread.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send> MaybeSend for T {}

/// `Send` natively; every type in a page, which has one thread.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeSend for T {}

/// What a leg reports.
#[derive(Debug)]
pub(crate) enum LegNews {
    /// Its transport is connected.
    Connected,
    /// One message of its transport.
    Frame(Bytes),
    /// There is room again, after [`Legs::has_room`] said that there is none.
    Room,
    /// It ended, or could not be connected. The text is what the transport says, for people.
    Ended(Ended, String),
}

/// What the connection of an attempt at a direct path reports.
#[derive(Debug)]
pub(crate) enum DirectNews {
    /// It is in another state, or a step is done.
    Input(direct::Input),
    /// One message of a data channel.
    Frame(Bytes),
    /// There is room again, after [`Direct::has_room`] said that there is none.
    Room,
}
