//! Direct paths that end, and begin again, while they carry something.

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::pairs::{Path, path};
use super::{Lab, Network};
use crate::harness::{Peer, noise, soon};

/// A transfer goes on by the relay when nothing comes directly any more, and is direct again afterwards.
#[tokio::test]
async fn a_transfer_outlives_its_direct_path() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    let here = lab.device(Network::PortRestricted);
    let there = lab.device(Network::Double);
    let folder = tempfile::tempdir().unwrap();
    let (file, into) = (folder.path().join("file"), folder.path().join("into"));
    let bytes = noise(200_000_000, 9);
    std::fs::write(&file, &bytes).unwrap();

    let url = lab.url();
    let mut sender = here.peer(&url, &["send", file.to_str().unwrap()]);
    let code = sender.code().await;
    let options = ["receive", "-y", &code, "-o", into.to_str().unwrap()];
    let mut receiver = there.peer(&url, &options);
    both_on(Path::Direct, &mut sender, &mut receiver).await;
    lab.block_direct(&here, &there);
    both_on(Path::Relay, &mut sender, &mut receiver).await;
    lab.unblock_direct(&here, &there);
    receiver.event("done").await;
    assert_eq!((receiver.end().await.0, sender.end().await.0), (0, 0));
    assert!(std::fs::read(into.join("file")).unwrap() == bytes);
    server.stop().await;
}

/// A direct path that was cut and works again is found again, however often.
#[tokio::test]
async fn a_direct_path_comes_back() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    let (here, there) = (
        lab.device(Network::Open),
        lab.device(Network::PortRestricted),
    );
    let mut one = here.peer(&lab.url(), &["ping"]);
    let code = one.code().await;
    let mut two = there.peer(&lab.url(), &["ping", &code, "-n", "100000", "-i", "10"]);
    both_on(Path::Direct, &mut one, &mut two).await;
    for _ in 0..2 {
        lab.block_direct(&here, &there);
        both_on(Path::Relay, &mut one, &mut two).await;
        lab.unblock_direct(&here, &there);
        both_on(Path::Direct, &mut one, &mut two).await;
    }
    server.stop().await;
}

/// Peers go on measuring when one of them gets other addresses, and are direct again.
#[tokio::test]
async fn a_pair_outlives_the_addresses_of_one() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    let url = lab.url();
    let here = lab.device(Network::PortRestricted);
    for network in [Network::Open, Network::FullCone, Network::PortRestricted] {
        let mut there = lab.device(network);
        let mut one = here.peer(&url, &["ping"]);
        let code = one.code().await;
        let mut two = there.peer(&url, &["ping", &code, "-n", "100000", "-i", "10"]);
        let stdout = two.stdout.take().expect("piped");
        let mut pongs = BufReader::new(stdout).lines();
        both_on(Path::Direct, &mut one, &mut two).await;
        lab.readdress(&mut there);
        both_on(Path::Direct, &mut one, &mut two).await;
        // More than can have come before.
        for _ in 0..200 {
            let pong = soon(pongs.next_line()).await.expect("readable");
            assert!(pong.is_some(), "{network:?}: it goes on");
        }
    }
    server.stop().await;
}

/// Waits until both go over to this path.
async fn both_on(expected: Path, one: &mut Peer, other: &mut Peer) {
    let on = async |peer: &mut Peer| while path(&peer.event("path").await) != Some(expected) {};
    tokio::join!(on(one), on(other));
}
