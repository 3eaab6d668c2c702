//! `peersox connect`: standard input and output of two machines, joined.
//!
//! The initiator opens the channel `peersox.pipe`. What is read here is sent as binary messages;
//! text and binary messages that arrive are written as they are. The end of standard input ends
//! that direction only. The command ends when both directions have, and also when the other side
//! has finished and standard input is a terminal, where nobody would know to type an end.

use std::io::IsTerminal as _;
use std::pin::pin;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use peersox_client::{Chunk, Error};
use peersox_core::channel::Priority;
use peersox_core::role::Role;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::args::Connect;
use crate::failure;
use crate::fit::{Command, OTHER_COMMAND};
use crate::meet::{self, Way};
use crate::share::{Channel, Peer, Receiver, Sender};
use crate::terminal::Voice;

pub(crate) async fn run(args: Connect) -> anyhow::Result<()> {
    let voice = Voice::new(args.partner.remote.json);
    let way = Way::with(&args.partner);
    let met = meet::meet(&args.partner.remote, way, Command::Connect, voice).await?;
    let (mut peer, role) = (met.peer, met.pairing.role);
    let mut absent = pin!(meet::absent(peer.status(), args.partner.remote.wait));
    let opening = async {
        match role {
            Role::Initiator => {
                let opening = peer.open_lasting(CHANNEL, Priority::Interactive).await?;
                Ok(opening.done(None).await?)
            }
            Role::Joiner => accept(&mut peer, CHANNEL, Command::Connect).await,
        }
    };
    let channel = tokio::select! {
        channel = opening => channel?,
        gone = &mut absent => return Err(gone),
    };
    let (sender, receiver) = channel.split();
    tokio::select! {
        joined = join(&sender, receiver, peer.ended()) => joined?,
        gone = &mut absent => return Err(gone),
    }
    // Where nobody typed an end, the other side has to hear of one. Its window may be full.
    let _ = tokio::time::timeout(meet::FAREWELL, sender.finish()).await;
    drop(sender);
    peer.close().await?;
    voice.say("", &json!({"event": "closed"}));
    Ok(())
}

/// Copies both ways until both directions have ended, or the other side has closed the conversation:
/// then what it said is still written down, and standard input is not waited for.
async fn join(
    sender: &Sender,
    receiver: Receiver,
    closed: impl Future<Output = Result<(), Error>>,
) -> anyhow::Result<()> {
    let outgoing = async {
        match copy_in(sender).await {
            // The other side closed in good order: it has taken all that it wants.
            Err(error) if matches!(error.downcast_ref(), Some(Error::PeerDone)) => Ok(()),
            sent => sent,
        }
    };
    let mut incoming = pin!(copy_out(receiver));
    let mut outgoing = pin!(outgoing);
    let mut closed = pin!(closed);
    tokio::select! {
        sent = &mut outgoing => {
            sent?;
            return incoming.await;
        }
        received = &mut incoming => received?,
        closed = &mut closed => {
            closed?;
            return incoming.await;
        }
    }
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    tokio::select! {
        sent = outgoing => sent,
        closed = closed => Ok(closed?),
    }
}

/// Waits for the channel with this name. If a program opens a channel of a command that does not belong to
/// `ours`, both commands end with the same sentence; older programs do that. Other channels are dropped,
/// which refuses them. A page opens a pipe to a program that does not name its command, in case it reads one.
pub(crate) async fn accept(peer: &mut Peer, name: &str, ours: Command) -> anyhow::Result<Channel> {
    while let Some(channel) = peer.accept(name).await {
        if channel.name() == name {
            return Ok(channel);
        }
        if peer.is_program()
            && let Some(theirs) = Command::that_opens(channel.name())
            && let Err(fault) = ours.must_fit(theirs)
        {
            let (sender, _receiver) = channel.split();
            let _ = sender.reset(OTHER_COMMAND).await;
            // The other side ends when it hears of that, and this side waits for it to hear.
            let _ = tokio::time::timeout(meet::FAREWELL, peer.ended()).await;
            return Err(fault.into());
        }
        tracing::debug!(
            name = channel.name(),
            "channel refused: nobody serves it here"
        );
    }
    Err(peer.ended().await.err().unwrap_or(Error::PeerDone).into())
}

/// Sends what is read here, up to its end, and waits until the other side has read it.
async fn copy_in(sender: &Sender) -> anyhow::Result<()> {
    let mut stdin = tokio::io::stdin();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        let read = stdin
            .read_buf(&mut buffer)
            .await
            .context("cannot read standard input")?;
        if read == 0 {
            sender.finish().await?;
            return Ok(sender.flushed().await?);
        }
        sender
            .send_chunk(Chunk::binary(buffer.split().freeze()))
            .await?;
    }
}

async fn copy_out(mut receiver: Receiver) -> anyhow::Result<()> {
    let mut stdout = tokio::io::stdout();
    while let Some(chunk) = receiver.recv_chunk().await? {
        let bytes: Bytes = chunk.bytes;
        stdout.write_all(&bytes).await.map_err(failure::stdout)?;
        stdout.flush().await.map_err(failure::stdout)?;
    }
    Ok(())
}

/// The channel's name.
pub(crate) const CHANNEL: &str = "peersox.pipe";

/// How much is read at a time: about what one record carries.
const PIECE: usize = 64 * 1024;
