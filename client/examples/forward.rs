//! Carries TCP connections to a port of this machine over to an address that the other side reaches.
//!
//! ```text
//! program ── TCP ──► 127.0.0.1:8022 ══ a channel for each connection ══ there ── TCP ──► 127.0.0.1:22
//!
//! make serve                                                      # a server on port 3000
//! cargo run -p peersox-client --example forward -- listen 8022    # here; it shows a code
//! cargo run -p peersox-client --example forward -- connect 481920-tulip-ember 127.0.0.1:22    # there
//! ```
//!
//! Then `ssh -p 8022 127.0.0.1` here. Ctrl-C on either side ends both.
//! `PEERSOX_SERVER=https://p.example` names another server.

use std::error::Error;
use std::process::ExitCode;

use peersox_client::{Channel, Message, Priority};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::program::{exit, meet};

#[path = "shared/program.rs"]
mod program;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["listen", port] => listen(port).await,
        ["connect", code, target] => connect(code, target).await,
        _ => Err("usage: forward listen PORT | forward connect CODE HOST:PORT".into()),
    };
    exit(ended)
}

async fn listen(port: &str) -> Result<(), Box<dyn Error>> {
    // Before anybody types a code: a port that is taken is known at once.
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?)).await?;
    let peer = meet(None).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Further connections wait in the kernel's queue.
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let channel = peer.open("tcp", Priority::Normal).await?;
                connections.spawn(carry(accepted?.0, channel));
            }
            Some(carried) = connections.join_next() => report(carried?),
            ended = peer.ended() => return Ok(ended?),
            interrupted = tokio::signal::ctrl_c() => break interrupted?,
        }
    }
    connections.shutdown().await;
    Ok(peer.close().await?)
}

async fn connect(code: &str, target: &str) -> Result<(), Box<dyn Error>> {
    let mut peer = meet(Some(code)).await?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = peer.accept(), if connections.len() < MAX_CONNECTIONS => {
                let Some(channel) = accepted else {
                    return Ok(peer.ended().await?);
                };
                connections.spawn(dial(target.to_owned(), channel));
            }
            Some(carried) = connections.join_next() => report(carried?),
            interrupted = tokio::signal::ctrl_c() => break interrupted?,
        }
    }
    connections.shutdown().await;
    Ok(peer.close().await?)
}

async fn dial(target: String, channel: Channel) -> Result<(), Broken> {
    // A failure drops the channel: the program on the other side sees its connection end.
    carry(TcpStream::connect(target).await?, channel).await
}

/// Joins a TCP connection and a channel until both directions have ended.
async fn carry(stream: TcpStream, channel: Channel) -> Result<(), Broken> {
    let (mut read, mut write) = stream.into_split();
    let (sender, mut receiver) = channel.split();
    let outward = async {
        loop {
            let mut bytes = vec![0; 16 << 10];
            let len = read.read(&mut bytes).await?;
            if len == 0 {
                return Ok::<(), Broken>(sender.finish().await?);
            }
            bytes.truncate(len);
            sender.send(Message::Binary(bytes.into())).await?;
        }
    };
    let inward = async {
        while let Some(Message::Binary(bytes)) = receiver.recv().await? {
            write.write_all(&bytes).await?;
        }
        Ok::<(), Broken>(write.shutdown().await?)
    };
    tokio::try_join!(outward, inward).map(drop)
}

fn report(carried: Result<(), Broken>) {
    if let Err(why) = carried {
        eprintln!("a connection broke: {why}");
    }
}

type Broken = Box<dyn Error + Send + Sync>;

/// At a time. Further ones wait.
const MAX_CONNECTIONS: usize = 64;
