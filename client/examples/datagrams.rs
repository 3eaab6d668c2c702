//! Two peers send each other counted datagrams, as a game sends positions, and say how many arrived.
//!
//! ```text
//! make serve                                                                # a server on port 3000
//! cargo run -p peersox-client --example datagrams                           # here; it shows a code
//! cargo run -p peersox-client --example datagrams -- 481920-tulip-ember     # there, with that code
//! ```
//!
//! A datagram is lost rather than late. What has to arrive is a message: here, how many datagrams were sent.
//! `PEERSOX_SERVER=https://p.example` names another server.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use peersox_client::{Message, Peer, Priority, Receiver, Sender};

use crate::program::{exit, meet};

#[path = "shared/program.rs"]
mod program;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match arguments.as_slice() {
        [] => exchange(None).await,
        [code] => exchange(Some(code)).await,
        _ => Err("usage: datagrams [CODE]".into()),
    };
    exit(ended)
}

async fn exchange(code: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut peer = meet(code).await?;
    let opens = code.is_none();
    let mut positions = channel(&mut peer, opens, "positions").await?;
    let mut totals = channel(&mut peer, opens, "totals").await?;
    let sending = send(&positions.0, &totals.0);
    let receiving = receive(&mut positions.1, &mut totals.1);
    let ((), told) = tokio::try_join!(sending, receiving)?;
    println!("{told}");
    // The channels are dropped afterwards: each would be reset while the other side still reads.
    Ok(peer.close().await?)
}

/// The side that showed the code opens the channels, and the other side accepts them.
async fn channel(
    peer: &mut Peer,
    opens: bool,
    name: &str,
) -> Result<(Sender, Receiver), Box<dyn Error>> {
    if opens {
        return Ok(peer.open(name, Priority::Interactive).await?.split());
    }
    match peer.accept().await {
        Some(channel) if channel.name() == name => Ok(channel.split()),
        _ => Err(format!("the other side did not open the channel {name}").into()),
    }
}

async fn send(positions: &Sender, totals: &Sender) -> Result<(), Box<dyn Error>> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    for count in 0..DATAGRAMS {
        pace.tick().await;
        let datagram = count.to_be_bytes().to_vec();
        positions.send_datagram(datagram.into()).await?;
    }
    let total = DATAGRAMS.to_string();
    Ok(totals.send(Message::Text(total)).await?)
}

async fn receive(
    positions: &mut Receiver,
    totals: &mut Receiver,
) -> Result<String, Box<dyn Error>> {
    let (mut arrived, mut late, mut next) = (0, 0, 0);
    loop {
        // Neither of the two calls loses anything when the other one is ready first.
        tokio::select! {
            biased;
            datagram = positions.recv_datagram() => {
                let count = u32::from_be_bytes(datagram?.as_ref().try_into()?);
                arrived += 1;
                late += u32::from(count < next);
                next = next.max(count + 1);
            }
            total = totals.recv() => match total? {
                Some(Message::Text(total)) => {
                    return Ok(format!("{arrived} of {total} arrived, {late} of them late"));
                }
                _ => return Err("the other side did not say how many it sent".into()),
            },
        }
    }
}

const PER_SECOND: u32 = 60;

/// What two seconds take.
const DATAGRAMS: u32 = 2 * PER_SECOND;
