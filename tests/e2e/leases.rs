//! How long codes and pairings live, at a real server.

use std::time::{Duration, SystemTime};

use peersox_client::{
    Error, Options, Pairing, Peer, Proof, Server as Control, Terms, Timestamp, Trust,
};
use peersox_control::{File, Store as _};
use peersox_core::id::PairingId;
use peersox_core::pairing::Config;

use crate::client::code;
use crate::harness::{Peer as Command, Server, signal, soon};

const EPHEMERAL: Terms = Terms {
    confirm: false,
    label: None,
    secret_bits: 20,
    ephemeral: true,
};

async fn connect(server: &Server) -> Control {
    let control = Control::connect(&server.url(), Trust::default()).await;
    control.unwrap()
}

/// Pairs over real legs, says what is to be kept, and parts in good order.
async fn meet(control: &Control, keep: bool) -> Pairing {
    let created = control.create_pairing_on(&EPHEMERAL).await.unwrap();
    let joined = control.join_pairing_on(&created.nameplate, &EPHEMERAL);
    let joined = joined.await.unwrap();
    let attach = async |pairing: &Pairing| {
        let proof = Proof::Code(code(&created.nameplate, "tulip-ember"));
        let attached = Peer::attach(control.clone(), pairing.clone(), proof, Options::default());
        attached.await.unwrap()
    };
    let (a, b) = (attach(&created.pairing).await, attach(&joined).await);
    soon(a.connected()).await.unwrap();
    soon(b.connected()).await.unwrap();
    if keep {
        control.keep(&joined).await.unwrap();
    }
    let (closed, ended) = soon(async { tokio::join!(a.close(), b.ended()) }).await;
    closed.unwrap();
    ended.unwrap();
    created.pairing
}

/// Twenty meetings leave twenty pairings that are over in ten minutes, and one that was asked for.
#[tokio::test]
async fn meetings_leave_nothing_behind_that_nobody_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let server = Server::start(&["--state", path.to_str().unwrap()]).await;
    let control = connect(&server).await;
    let mut met = Vec::new();
    for at in 0..20 {
        met.push(meet(&control, at == 11).await);
    }
    assert!(server.stop().await.success());

    let now = Timestamp::from(SystemTime::now());
    let store = File::open(&path, &Config::default(), now).await.unwrap();
    for (minutes, expected) in [(5, 20), (11, 1), (6 * 24 * 60, 1), (8 * 24 * 60, 0)] {
        let then = now + Duration::from_secs(minutes * 60);
        let mut living = 0;
        for pairing in &met {
            living += usize::from(store.load(pairing.id, then).await.unwrap().is_some());
        }
        assert_eq!(living, expected, "after {minutes} minutes");
    }
}

/// The code of a command that waits works long after its first lease, and a killed one's does not.
#[tokio::test]
async fn a_code_lives_as_long_as_the_command_that_shows_it() {
    let ttl = Duration::from_secs(2);
    let server = Server::start(&["--code-ttl", "2"]).await;
    let control = connect(&server).await;
    let mut waits = Command::start(&server.url(), &["connect"]);
    // The end of a killed process is told by TCP at once, and by QUIC after half a minute of silence.
    let mut dies = Command::start(&server.url(), &["connect", "--transport", "ws"]);
    let (works, late) = (waits.code().await, dies.code().await);
    dies.event("attached").await;
    waits.event("attached").await;
    tokio::time::sleep(3 * ttl).await;
    signal(&dies.child, "KILL");
    soon(dies.child.wait()).await.unwrap();
    tokio::time::sleep(3 * ttl).await;
    let late = late.split('-').next().unwrap().parse().unwrap();
    let gone = control.join_pairing(&late).await;
    assert!(matches!(gone, Err(Error::CodeNotFound)), "{gone:?}");
    let mut joins = Command::start(&server.url(), &["connect", &works]);
    joins.event("connected").await;
    waits.event("connected").await;
}

/// What `pair --save` saves outlives its first use.
#[tokio::test]
async fn a_saved_device_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let server = Server::start(&["--state", path.to_str().unwrap()]).await;
    let start = |device: &str, args: &[&str]| {
        let devices = folder.path().join(device);
        let environment = [("PEERSOX_DEVICES", devices.to_str().unwrap())];
        Command::start_with(&server.url(), args, &environment)
    };
    let mut shows = start("a", &["pair", "--save", "other"]);
    let code = shows.code().await;
    let types = start("b", &["pair", &code, "--save", "other"]);
    assert_eq!(types.end().await.0, 0);
    assert_eq!(shows.end().await.0, 0);
    assert!(server.stop().await.success());

    let saved = std::fs::read(folder.path().join("a/other.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&saved).unwrap();
    let id: PairingId = serde_json::from_value(saved["pairing"].clone()).unwrap();
    let now = Timestamp::from(SystemTime::now());
    let store = File::open(&path, &Config::default(), now).await.unwrap();
    for (minutes, lives) in [(11, true), (6 * 24 * 60, true), (8 * 24 * 60, false)] {
        let then = now + Duration::from_secs(minutes * 60);
        let loaded = store.load(id, then).await.unwrap();
        assert_eq!(loaded.is_some(), lives, "after {minutes} minutes");
    }
}
