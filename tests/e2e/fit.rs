//! Commands that do not belong together: both end at once, and both say what to run instead.

use futures_util::future::join_all;
use peersox_client::{Options, Proof, Server as Control, Trust};

use crate::client::code;
use crate::harness::{Peer, Server, signal, soon};

const SEND: &[&str] = &["send", "/bin/true"];
const RECEIVE: &[&str] = &["receive", "-y", "-o", "/tmp"];
const CONNECT: &[&str] = &["connect"];
const PING: &[&str] = &["ping"];
const PAIR: &[&str] = &["pair", "--save", "other"];
const LISTEN: &[&str] = &["forward", "--listen", "127.0.0.1:0"];
const TARGET: &[&str] = &["forward", "--target", "127.0.0.1:9"];

/// Who shows the code, who types it, and what would have belonged to the first here and to the second there.
const UNFIT: &[(&[&str], &[&str], &str, &str)] = &[
    (SEND, CONNECT, "receive", "connect"),
    (SEND, PING, "receive", "ping"),
    (SEND, LISTEN, "receive", "forward --target HOST:PORT"),
    (CONNECT, RECEIVE, "connect", "send"),
    (CONNECT, LISTEN, "connect", "forward --target HOST:PORT"),
    (PING, RECEIVE, "ping", "send"),
    (PING, CONNECT, "ping", "connect"),
    (PING, PAIR, "ping", "pair --save NAME"),
    (PING, TARGET, "ping", "forward --listen 127.0.0.1:PORT"),
    (LISTEN, RECEIVE, "forward --target HOST:PORT", "send"),
    (
        LISTEN,
        LISTEN,
        "forward --target HOST:PORT",
        "forward --target HOST:PORT",
    ),
    (
        TARGET,
        TARGET,
        "forward --listen 127.0.0.1:PORT",
        "forward --listen 127.0.0.1:PORT",
    ),
    (PAIR, RECEIVE, "pair --save NAME", "send"),
];

#[tokio::test]
async fn commands_that_do_not_fit_say_so_on_both_sides() {
    let server = Server::start(&[]).await;
    let url = server.url();
    let folder = tempfile::tempdir().unwrap();
    let devices = [("PEERSOX_DEVICES", folder.path().to_str().unwrap())];
    for some in UNFIT.chunks(4) {
        join_all(
            some.iter()
                .map(async |(shows, types, fits_there, fits_here)| {
                    let row = format!("{shows:?} and {types:?}");
                    let mut first = Peer::start_with(&url, shows, &devices);
                    let code = first.code().await;
                    let second =
                        Peer::start_with(&url, &[types, &[code.as_str()][..]].concat(), &devices);
                    for (side, end) in [("shows", first.end().await), ("types", second.end().await)]
                    {
                        let (exit, said) = end;
                        assert_eq!(exit, 2, "{row}, {side}: {said}");
                        let (here, there) = match side {
                            "shows" => (fits_here, fits_there),
                            _ => (fits_there, fits_here),
                        };
                        let advice =
                            format!("run `peersox {here}` here, or `peersox {there}` there");
                        assert!(said.contains(&advice), "{row}, {side}: {said}");
                    }
                }),
        )
        .await;
    }
}

/// A device that only one side has saved is of no use to anybody.
#[tokio::test]
async fn a_pairing_that_is_broken_off_saves_no_device() {
    let server = Server::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let control = Control::connect(&server.url(), Trust::default()).await;
    let control = control.unwrap();
    let created = control.create_pairing().await.unwrap();
    let code = code(&created.nameplate, "tulip-ember");
    let typed = code.canonical();
    let devices = [("PEERSOX_DEVICES", folder.path().to_str().unwrap())];
    let pair = ["pair", "--save", "half", &typed];
    let mut pairs = Peer::start_with(&server.url(), &pair, &devices);
    // It names no command, as a page: it has to be waited for until a person presses a button there.
    let options = Options {
        agent: "My phone".into(),
        ..Options::default()
    };
    let proof = Proof::Code(code);
    let peer = peersox_client::Peer::attach(control, created.pairing, proof, options);
    let peer = peer.await.unwrap();
    soon(peer.connected()).await.unwrap();
    assert_eq!(peer.secured().unwrap().agent, pairs_agent());
    pairs.event("waiting_for_page").await;
    let saved = folder.path().join("half.json");
    assert!(saved.exists());
    signal(&pairs.child, "INT");
    assert_eq!(pairs.end().await.0, 130);
    assert!(!saved.exists());
}

fn pairs_agent() -> String {
    format!("{} (pair)", peersox_client::AGENT)
}
