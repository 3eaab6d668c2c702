//! `peersox forward`: TCP connections to a port here, carried to a port over there.
//!
//! ```text
//! program ─ TCP ─► peersox forward --listen ══ a channel each ══ peersox forward --target ─ TCP ─► service
//! ```
//!
//! The side with `--target` chooses what can be reached, and the other side cannot ask for anything
//! else. Each connection is one channel `peersox.forward`, over a saved device a lasting one: bytes are
//! binary messages whose boundaries mean nothing, FINISH is the end of one direction, RESET a connection
//! that broke.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::BytesMut;
use peersox_client::{Chunk, Error};
use peersox_core::channel::{Priority, ResetCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::Forward;
use crate::fit::Command;
use crate::meet::{self, Way};
use crate::share::{Channel, Peer, Receiver, Sender};
use crate::terminal::Voice;

pub(crate) async fn run(args: Forward) -> anyhow::Result<()> {
    let voice = Voice::new(args.partner.remote.json);
    let way = Way::with(&args.partner);
    if let Some(listen) = args.listen {
        // Before anybody types a code: a port that is taken is known at once.
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            crate::failure::Failure::File(format!("cannot listen on {listen}: {error}"))
        })?;
        let listening = listener.local_addr()?;
        let mut peer = meet::meet(&args.partner.remote, way, Command::Listen, voice)
            .await?
            .peer;
        voice.say(
            &format!("connections to {listening} go to the other side; Ctrl-C ends it"),
            &json!({"event": "listening", "address": listening.to_string()}),
        );
        warn_of_a_page(&peer, voice);
        let absent = meet::absent(peer.status(), args.partner.remote.wait);
        return tokio::select! {
            served = accept_here(&mut peer, &listener, voice) => served,
            gone = absent => Err(gone),
        };
    }
    let target = args
        .target
        .context("neither --listen nor --target is given")?;
    let mut peer = meet::meet(&args.partner.remote, way, Command::Target, voice)
        .await?
        .peer;
    voice.say(
        &format!("connections from the other side go to {target}; Ctrl-C ends it"),
        &json!({"event": "serving", "target": target}),
    );
    warn_of_a_page(&peer, voice);
    let absent = meet::absent(peer.status(), args.partner.remote.wait);
    tokio::select! {
        served = accept_there(&mut peer, &target, voice) => served,
        gone = absent => Err(gone),
    }
}

/// Says that nothing will come of it if the other side is no program: another one than ours may forward, too.
fn warn_of_a_page(peer: &Peer, voice: Voice) {
    if peer.secured().is_some() && !peer.is_program() {
        voice.say(
            "the other side is no `peersox forward`; a page cannot forward",
            &json!({"event": "other_software"}),
        );
    }
}

/// Carries every connection that is accepted here.
async fn accept_here(peer: &mut Peer, listener: &TcpListener, voice: Voice) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // Further ones wait in the kernel's queue until one of these ends.
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            ended = peer.ended() => return Ok(ended?),
        };
        while connections.try_join_next().is_some() {}
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: what is there goes on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let opening = peer.open_lasting(CHANNEL, Priority::Normal).await?;
        tracing::debug!(%from, "connection");
        connections.spawn(async move {
            let permit = permit.ok().map(Arc::new);
            let outcome = match opening.done(permit.clone()).await {
                Ok(channel) => carry(stream, channel).await,
                Err(error) => {
                    let _ = stream.set_zero_linger();
                    Err(error.into())
                }
            };
            report(outcome, voice);
            drop(permit);
        });
    }
}

/// Connects every channel that the other side opens to the target.
async fn accept_there(peer: &mut Peer, target: &str, voice: Voice) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let Some(channel) = peer.accept(CHANNEL).await else {
            return Ok(peer.ended().await?);
        };
        while connections.try_join_next().is_some() {}
        // Dropping a channel that nobody serves refuses it.
        if channel.name() != CHANNEL {
            continue;
        }
        let target = target.to_owned();
        connections.spawn(async move {
            let connecting = TcpStream::connect(&target);
            let connected = match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected.map_err(|error| error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            match connected {
                Ok(stream) => report(carry(stream, channel).await, voice),
                Err(why) => {
                    let (sender, _) = channel.split();
                    let _ = sender.reset(UNREACHABLE).await;
                    voice.say(
                        &format!("cannot connect to {target}: {why}"),
                        &json!({"event": "unreachable", "target": target, "why": why}),
                    );
                }
            }
        });
    }
}

/// Joins a TCP connection and a channel until both directions have ended.
async fn carry(stream: TcpStream, channel: Channel) -> anyhow::Result<()> {
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (sender, receiver) = channel.split();
    let outcome = tokio::try_join!(outward(read, &sender), inward(receiver, write));
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = sender.reset(ResetCode::CANCELLED).await;
            Err(error)
        }
    }
}

async fn outward(mut read: OwnedReadHalf, sender: &Sender) -> anyhow::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        if read.read_buf(&mut buffer).await? == 0 {
            sender.finish().await?;
            // The channel ends in good order only if it is not dropped before.
            return Ok(sender.flushed().await?);
        }
        let chunk = Chunk::binary(buffer.split().freeze());
        sender.send_chunk(chunk).await?;
    }
}

async fn inward(mut receiver: Receiver, mut write: OwnedWriteHalf) -> anyhow::Result<()> {
    loop {
        match receiver.recv_chunk().await {
            Ok(Some(chunk)) => write.write_all(&chunk.bytes).await?,
            Ok(None) => return Ok(write.shutdown().await?),
            Err(error) => {
                // A broken connection must not look like one that ended: it is reset, not closed.
                let _ = write.as_ref().set_zero_linger();
                write.forget();
                return Err(error.into());
            }
        }
    }
}

fn report(outcome: anyhow::Result<()>, voice: Voice) {
    let Err(error) = outcome else { return };
    if !matches!(error.downcast_ref(), Some(Error::Gone)) {
        tracing::debug!(%error, "connection broke");
        voice.say("", &json!({"event": "broken", "why": error.to_string()}));
    }
}

/// The channel's name.
pub(crate) const CHANNEL: &str = "peersox.forward";

/// The target could not be reached.
const UNREACHABLE: ResetCode = ResetCode(16);

/// Below the 128 channels that a peer takes, so that one is left for another use.
const MAX_CONNECTIONS: usize = 120;

/// How much is read at a time: about what one record carries.
const PIECE: usize = 64 * 1024;

/// How long the target may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The pause after a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(100);
