//! Which pairs of networks have a direct path, and that all others get on by the relay.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;

use super::{Device, Lab, Network};
use crate::harness::{Peer, noise};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Direct,
    Relay,
}

/// The path of each pair, in the order of [`Network::ALL`], each pair once: `d` is direct, `r` the relay.
///
/// There are three reasons for `r`. A symmetric NAT gives each destination another port, and one that is
/// port-restricted lets that port in only after it has sent there. UDP may be blocked. The two may have no
/// family in common.
const PATHS: [&str; 10] = [
    "d d d d d r d d d d", // Open
    "  d d d d r r d d d", // FullCone
    "    d r d r r d d d", // PortRestricted
    "      r r r r r r r", // Symmetric
    "        d r r d d d", // Double
    "          r r r r r", // UdpBlocked
    "            d r r r", // V6Only
    "              d d d", // DeadV6
    "                d d", // Lan
    "                  d", // Hairpin
];

/// The path that a pair should find.
pub fn expected(one: Network, other: Network) -> Path {
    let place = |network| {
        let place = Network::ALL.iter().position(|it| *it == network);
        place.expect("all are there")
    };
    let (one, other) = (place(one), place(other));
    match PATHS[one.min(other)].as_bytes()[2 * one.max(other)] {
        b'd' => Path::Direct,
        b'r' => Path::Relay,
        _ => panic!("each pair has its path"),
    }
}

/// The path to which a peer goes over, if that is what this event tells.
pub fn path(event: &Value) -> Option<Path> {
    if event["event"] != "path" {
        return None;
    }
    match event["kind"].as_str() {
        Some("direct") => Some(Path::Direct),
        Some("relay") => Some(Path::Relay),
        _ => panic!("{event} names no path"),
    }
}

/// Every pair of networks, eight at a time, with one server.
#[tokio::test]
async fn direct_or_relay() {
    let Some(mut lab) = Lab::new() else { return };
    let devices = Network::ALL.map(|network| (lab.device(network), lab.device(network)));
    let server = lab.serve(&[]).await;
    let url = lab.url();
    let pairs = (0..devices.len()).flat_map(|one| (one..devices.len()).map(move |two| (one, two)));
    let judged = pairs.map(async |(one, two)| {
        let (here, there) = (&devices[one].0, &devices[two].1);
        let wrong = judge(&url, here, there).await.err();
        wrong.map(|wrong| format!("{:?} and {:?}: {wrong}", here.network, there.network))
    });
    let judged = futures_util::stream::iter(judged).buffer_unordered(8);
    let wrong: Vec<_> = judged.filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

/// Lets two devices find their path, and one send a file to the other; says what is wrong.
async fn judge(url: &str, here: &Device, there: &Device) -> Result<(), String> {
    let expected = expected(here.network, there.network);
    let rounds = match expected {
        Path::Direct => "600",
        Path::Relay => "30",
    };
    let mut one = here.peer(url, &["ping"]);
    let code = one.code().await;
    let mut two = there.peer(url, &["ping", &code, "-n", rounds, "-i", "100"]);
    match expected {
        // Neither has to go on once both are there.
        Path::Direct => {
            let both = async { tokio::join!(becomes_direct(&mut one), becomes_direct(&mut two)) };
            let found = tokio::time::timeout(FINDING, both).await;
            if found != Ok((true, true)) {
                return Err("no direct path".to_owned());
            }
        }
        // What is not found in the time of all rounds, is not found.
        Path::Relay => {
            for peer in [&mut one, &mut two] {
                let paths: Vec<_> = peer.rest().await.iter().filter_map(path).collect();
                if paths.is_empty() || paths.contains(&Path::Direct) {
                    return Err(format!("the paths are {paths:?}"));
                }
            }
            let ends = (one.end().await, two.end().await);
            if (ends.0.0, ends.1.0) != (0, 0) {
                return Err(format!("they end with {ends:?}"));
            }
        }
    }
    file_arrives(url, here, there).await
}

/// Whether a peer goes over to a direct path before it ends.
async fn becomes_direct(peer: &mut Peer) -> bool {
    while let Some(event) = peer.event_or_end("path").await {
        if path(&event) == Some(Path::Direct) {
            return true;
        }
    }
    false
}

/// Sends a file of some megabytes, directly where there has to be such a path: these commands fail without.
pub async fn file_arrives(url: &str, here: &Device, there: &Device) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (file, into) = (folder.path().join("file"), folder.path().join("into"));
    let sent = noise(FILE, 7);
    std::fs::write(&file, &sent).expect("there is room");
    let (from, to) = (
        file.to_str().expect("a text"),
        into.to_str().expect("a text"),
    );
    let way: &[&str] = match expected(here.network, there.network) {
        Path::Direct => &["--path", "direct"],
        Path::Relay => &[],
    };
    let mut sender = here.peer(url, &[&["send", from], way].concat());
    let code = sender.code().await;
    let receiver = there.peer(url, &[&["receive", "-y", &code, "-o", to], way].concat());
    let ends = (receiver.end().await, sender.end().await);
    if (ends.0.0, ends.1.0) != (0, 0) {
        return Err(format!("the file does not arrive: {ends:?}"));
    }
    let arrived = std::fs::read(into.join("file")).map_err(|error| error.to_string())?;
    if arrived == sent {
        Ok(())
    } else {
        Err("another file arrives".to_owned())
    }
}

/// How long a pair may look for a direct path, while seven others do the same.
const FINDING: Duration = Duration::from_secs(20);

/// Bytes of the file that each pair sends.
pub const FILE: usize = 4_000_000;
