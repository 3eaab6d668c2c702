//! Two terminals talk: what a person types on one side is printed on the other.
//!
//! ```text
//! make serve                                                          # a server on port 3000
//! cargo run -p peersox-client --example chat                          # here; it shows a code
//! cargo run -p peersox-client --example chat -- 481920-tulip-ember    # there, with that code
//! ```
//!
//! Either side ends the chat with Ctrl-D. `PEERSOX_SERVER=https://p.example` names another server.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use peersox_client::{Channel, Message, Priority, Receiver, Sender};
use tokio::sync::mpsc;

use crate::program::{exit, meet};

#[path = "shared/program.rs"]
mod program;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match arguments.as_slice() {
        [] => chat(None).await,
        [code] => chat(Some(code)).await,
        _ => Err("usage: chat [CODE]".into()),
    };
    exit(ended)
}

async fn chat(code: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut peer = meet(code).await?;
    // The side that showed the code opens the channel, and the other side accepts it.
    let channel = if code.is_none() {
        Some(peer.open("chat", Priority::Interactive).await?)
    } else {
        peer.accept().await
    };
    // A peer that ended before it accepted a channel says why below.
    if let Some(channel) = channel {
        talk(channel).await?;
    }
    Ok(peer.close().await?)
}

/// Carries lines both ways until one of the two sides has no more.
async fn talk(channel: Channel) -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = channel.split();
    tokio::select! {
        said = say(sender) => said,
        heard = hear(receiver) => heard,
    }
}

async fn say(sender: Sender) -> Result<(), Box<dyn Error>> {
    // Nothing interrupts a read of standard input, and a runtime that ends waits for its own threads.
    let (read, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if read.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        sender.send(Message::Text(line?)).await?;
    }
    Ok(sender.finish().await?)
}

async fn hear(mut receiver: Receiver) -> Result<(), Box<dyn Error>> {
    while let Some(message) = receiver.recv().await? {
        match message {
            Message::Text(line) => writeln!(std::io::stdout(), "{line}")?,
            Message::Binary(bytes) => eprintln!("{} bytes that are not text", bytes.len()),
        }
    }
    eprintln!("the other side left");
    Ok(())
}
