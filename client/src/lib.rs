//! A native peer of PeerSox.
//!
//! ```no_run
//! use peersox_client::{Message, Options, Peer, Proof, Server, Trust};
//! use peersox_core::channel::Priority;
//! use peersox_core::code::{Code, Words};
//!
//! # async fn example() -> Result<(), peersox_client::Error> {
//! let server = Server::connect("http://localhost:3000", Trust::default()).await?;
//! let created = server.create_pairing().await?;
//! // The server knows the digits; the words are the secret of the two devices.
//! let words = Words::random(2, &mut rand_core::OsRng);
//! let code = Code { nameplate: created.nameplate, words };
//! println!("type this on the other device: {code}");
//!
//! let (proof, options) = (Proof::Code(code), Options::default());
//! let mut peer = Peer::attach(server, created.pairing, proof, options).await?;
//! peer.connected().await?;
//! let mut chat = peer.open("chat", Priority::Interactive).await?;
//! chat.send(Message::Text("hello".into())).await?;
//! while let Some(message) = chat.recv().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Server`] is the control plane: it creates, joins, restores and revokes pairings. A [`Peer`]
//! is one endpoint at work: it attaches to the relay over QUIC or WebSocket, attaches again when
//! the leg breaks, and carries [`Channel`]s whose messages survive that. Everything between the two
//! peers is sealed with keys that follow from their code, or from the [`Secured::secret`] that an
//! earlier code brought. One task drives each peer; the handles talk to it and may be dropped at any
//! time.

mod attach;
mod channel;
mod driver;
mod error;
mod leg;
mod peer;
mod platform;
mod rpc;
mod server;
mod tls;

pub use attach::Choice;
pub use channel::{Channel, Receiver, Sender};
pub use error::Error;
pub use leg::Transport;
pub use peer::{Event, Options, Peer, Presence, Proof, Secured, Status};
pub use peersox_core::channel::{Chunk, Kind, Message};
pub use platform::Proxies;
pub use server::{Created, Pairing, PairingEvent, Server, State};
pub use tls::Trust;
