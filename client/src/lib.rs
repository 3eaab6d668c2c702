//! A peer of PeerSox, in native programs and in pages: two devices, one short code, one encrypted connection.
//!
//! One device shows a code:
//!
//! ```no_run
//! # async fn here() -> Result<(), peersox_client::Error> {
//! use peersox_client::{Invite, Message, Options, Priority, Server, Step, Trust};
//!
//! let server = Server::connect("https://p.example", Trust::default()).await?;
//! let mut invite = Invite::new(server, 2, Options::default()); // two words, which the server never sees
//! let peer = loop {
//!     match invite.next().await? {
//!         Step::Show(code) => println!("{code}"),
//!         Step::Replaced(_, why) => println!("another code follows: {why}"),
//!         Step::Asked(_) => invite.answer(false), // only after Invite::confirm
//!         Step::Met(peer, _pairing) => break peer,
//!     }
//! };
//! let known = peer.secured(); // secret to store, phrase to compare
//! let chat = peer.open("chat", Priority::Interactive).await?;
//! chat.send(Message::Text("hello".into())).await?;
//! peer.close().await?; // once the other side has read everything
//! # Ok(())
//! # }
//! ```
//!
//! On the other device a person types it:
//!
//! ```no_run
//! # async fn there(typed: &str) -> Result<(), Box<dyn std::error::Error>> {
//! # use peersox_client::{Code, Options, Peer, Proof, Server, Trust};
//! # let server = Server::connect("https://p.example", Trust::default()).await?;
//! let code: Code = typed.parse()?;
//! let pairing = server.join_pairing(&code.nameplate).await?;
//! let mut peer = Peer::attach(server, pairing, Proof::Code(code), Options::default()).await?;
//! while let Some(mut channel) = peer.accept().await {
//!     while let Some(message) = channel.recv().await? {
//!         println!("{}: {message:?}", channel.name());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What one of them sends arrives at the other, also if the network breaks in between.
//! [The examples](https://github.com/peersox/peersox/tree/main/client/examples) are whole programs: a
//! chat, a file, forwarded TCP connections, datagrams.
//!
//! A [`Server`] is the control plane: it creates, joins, restores and revokes pairings. A [`Peer`]
//! is one endpoint at work: it attaches to the relay over QUIC or WebSocket, attaches again when
//! the leg breaks, and carries [`Channel`]s whose messages survive that. Everything between the two
//! peers is sealed with keys that follow from their code, or from the [`Secured::secret`] that an
//! earlier code brought. One task drives each peer; the handles talk to it and may be dropped at any
//! time.
//!
//! Every call that fails says why by a variant of [`Error`], and a channel says the same as
//! [`Peer::ended`]: nobody has to ask twice or to read a message's text.
//!
//! # Targets
//!
//! | | native | in a page (`wasm32-unknown-unknown`) |
//! |---|---|---|
//! | runs on | a runtime of tokio with IO and time | the page's thread, or a worker's, without a runtime |
//! | calls the server by | gRPC, or gRPC-Web where HTTP/2 does not pass | gRPC-Web by `fetch` |
//! | legs to the relay | QUIC, WebSocket | WebSocket |
//! | direct paths | QUIC, between addresses that ICE finds | WebRTC, but in a worker: [`Options::direct`] |
//! | proxies, [`Trust`] | chosen by the program | the browser's |
//! | measures its network | [`Server::survey`] | no |
//! | notices sleep | by itself | by itself |
//! | notices other networks | when told: [`Peer::wake`] | by itself |
//! | futures | are `Send` | stay on the thread: `wasm_bindgen_futures::spawn_local` runs them |
//!
//! The handles, [`Server`], [`Peer`], [`Channel`] and its halves, are `Send` on both. A page needs the
//! server's permission (`--allow-origin`) if the server does not serve it. `examples/web-chat.rs` is a whole
//! program for a page.

mod channel;
mod command;
mod driver;
mod error;
mod event;
mod invite;
mod options;
mod peer;
mod platform;
mod rpc;
mod server;
#[cfg(not(target_arch = "wasm32"))]
mod survey;

/// Handles are `Send` on every target.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Server>();
    is_send::<Peer>();
    is_send::<Channel>();
    is_send::<Sender>();
    is_send::<Receiver>();
};

pub use channel::{Channel, Receiver, Sender};
pub use error::{Error, NoLeg, Side};
pub use event::{Event, Presence, Secured, Status};
pub use invite::{Invite, Replaced, Step};
pub use options::{Choice, Options, Proof};
pub use peer::Peer;
pub use peersox_core::attach::{Cause, Transport};
pub use peersox_core::channel::{
    Chunk, Kind, Message, OpenError, Priority, ResetCode, SendError, Unfit, Violation,
};
pub use peersox_core::close::CloseReason;
pub use peersox_core::code::{Code, Nameplate, Words};
pub use peersox_core::connect::Kind as PathKind;
pub use peersox_core::direct::{Carrier, Mode as DirectMode, Why};
pub use peersox_core::id::PairingId;
#[cfg(not(target_arch = "wasm32"))]
pub use peersox_core::network::{Family, Mapping, Seen, Verdict};
pub use peersox_core::pairing::{Label, NotALabel};
pub use peersox_core::role::Role;
pub use peersox_core::secure::{Burnt, PairingSecret, Sas};
pub use peersox_core::time::Timestamp;
pub use peersox_core::trace::{NotATrace, TraceContext};
pub use platform::{MaybeSend, Trust};
#[cfg(not(target_arch = "wasm32"))]
pub use platform::{Proxies, Relayed};
/// The system's random numbers, for [`Words::random`].
pub use rand_core::OsRng;
pub use server::{Created, News, Pairing, PairingEvent, Server, State, Terms};
#[cfg(not(target_arch = "wasm32"))]
pub use survey::{NotAStunServer, StunServer, Survey};

/// Name and version of this software, told to servers and relays and, unless [`Options::agent`] says
/// otherwise, sealed to the other peer.
pub const AGENT: &str = concat!("peersox/", env!("CARGO_PKG_VERSION"));
