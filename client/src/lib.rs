//! A native peer of PeerSox.
//!
//! ```no_run
//! use peersox_client::{Message, Options, Peer, Server, Trust};
//! use peersox_core::channel::Priority;
//!
//! # async fn example() -> Result<(), peersox_client::Error> {
//! let server = Server::connect("http://localhost:3000", Trust::default()).await?;
//! let created = server.create_pairing().await?;
//! println!("type this on the other device: {}", created.nameplate);
//!
//! let mut peer = Peer::attach(server, created.pairing, Options::default()).await?;
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
//! the leg breaks, and carries [`Channel`]s whose messages survive that. One task drives each peer;
//! the handles talk to it and may be dropped at any time.

mod attach;
mod channel;
mod driver;
mod error;
mod leg;
mod peer;
mod server;
mod tls;

pub use attach::Choice;
pub use channel::{Channel, Receiver, Sender};
pub use error::Error;
pub use leg::Transport;
pub use peer::{Event, Options, Peer, Presence, Status};
pub use peersox_core::channel::{Chunk, Kind, Message};
pub use server::{Created, Pairing, PairingEvent, Server, State};
pub use tls::Trust;
