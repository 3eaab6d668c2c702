//! Sends one file, and compares its BLAKE3 on the other side.
//!
//! ```text
//! make serve                                                      # a server on port 3000
//! cargo run -p peersox-client --example file -- send README.md    # here; it shows a code
//! cargo run -p peersox-client --example file -- receive 481920-tulip-ember /tmp/copy    # there
//! ```
//!
//! The channel `file` carries the length as text, then the bytes, then the hash as text; the receiver answers
//! `stored`. It never overwrites a file. `PEERSOX_SERVER=https://p.example` names another server.

use std::error::Error;
use std::process::ExitCode;

use peersox_client::{Message, Priority, Receiver, ResetCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::program::{exit, meet};

#[path = "shared/program.rs"]
mod program;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["send", path] => send(path).await,
        ["receive", code, path] => receive(code, path).await,
        _ => Err("usage: file send PATH | file receive CODE PATH".into()),
    };
    exit(ended)
}

async fn send(path: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let peer = meet(None).await?;
    let mut channel = peer.open("file", Priority::Bulk).await?;
    channel.send(Message::Text(length.to_string())).await?;
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        piece.truncate(read);
        hasher.update(&piece);
        channel.send(Message::Binary(piece.into())).await?;
    }
    let hash = hasher.finalize().to_string();
    channel.send(Message::Text(hash)).await?;
    if channel.recv().await? != Some(Message::Text("stored".into())) {
        return Err("the other side did not say that it stored the file".into());
    }
    Ok(peer.close().await?)
}

async fn receive(code: &str, path: &str) -> Result<(), Box<dyn Error>> {
    // Fails if the path is taken, before the code is spent.
    let file = File::create_new(path).await?;
    let received = receive_into(file, code).await;
    if received.is_err() {
        tokio::fs::remove_file(path).await?;
    }
    received
}

async fn receive_into(file: File, code: &str) -> Result<(), Box<dyn Error>> {
    let mut peer = meet(Some(code)).await?;
    let Some(channel) = peer.accept().await else {
        peer.ended().await?;
        return Err("the other side left before it sent a file".into());
    };
    let (sender, receiver) = channel.split();
    let stored = store(file, receiver).await;
    match &stored {
        Ok(()) => sender.send(Message::Text("stored".into())).await?,
        Err(_) => sender.reset(ResetCode::CANCELLED).await?,
    }
    peer.close().await?;
    stored
}

async fn store(mut file: File, mut receiver: Receiver) -> Result<(), Box<dyn Error>> {
    let Some(Message::Text(length)) = receiver.recv().await? else {
        return Err("the other side did not announce a length".into());
    };
    let mut left: usize = length.parse()?;
    let mut hasher = blake3::Hasher::new();
    let announced = loop {
        match receiver.recv().await? {
            Some(Message::Binary(piece)) if piece.len() <= left => {
                left -= piece.len();
                hasher.update(&piece);
                file.write_all(&piece).await?;
            }
            Some(Message::Text(hash)) if left == 0 => break hash,
            _ => return Err("the file is not as long as was announced".into()),
        }
    };
    file.flush().await?;
    if hasher.finalize().to_string() != announced {
        return Err("the bytes differ from those that were sent".into());
    }
    Ok(())
}

/// Bytes that are read from the file at a time.
const PIECE: usize = 64 << 10;
