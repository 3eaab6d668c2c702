//! A peer that speaks the transfer protocol with malice: it is paired, and sends whatever it likes.

use bytes::Bytes;
use futures_util::future::join_all;
use peersox_client::{
    Channel, Code, Message, Options, Peer, Priority, Proof, ResetCode, Server as Control, Trust,
};
use peersox_core::transfer::CHANNEL;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStderr;

use super::{FILE, Run};
use crate::client::code;
use crate::harness::{Server, binary, quiet, signal, soon};
use crate::terminal::is_plain;

/// What the peer offers: the path of a file, and its size.
type Offered = (&'static [&'static str], u64);

/// Text that moves a cursor, rings, and turns what people read around.
const TEXT: &str = "\u{1b}[2J\u{1b}[1Adone\r\u{202e}enod\u{9b}1A\u{7}";

fn offer(id: u8, entries: &[Offered]) -> Kind {
    let entry = |(path, size): &Offered| v1::TransferEntry {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        kind: v1::TransferEntryKind::File.into(),
        size: Some(*size),
        ..v1::TransferEntry::default()
    };
    Kind::Offer(v1::TransferOffer {
        transfer_id: vec![id; 16].into(),
        entries: entries.iter().map(entry).collect(),
        ..v1::TransferOffer::default()
    })
}

fn chunk(entry: u32, offset: u64, data: &'static [u8]) -> Kind {
    let data = Bytes::from_static(data);
    Kind::Chunk(v1::TransferChunk {
        entry,
        offset,
        data,
    })
}

fn end_of(entry: u32, data: &[u8]) -> Kind {
    let hash = blake3::hash(data).as_bytes().to_vec().into();
    Kind::EntryEnd(v1::TransferEntryEnd { entry, hash })
}

/// Sends a message; the other side may have hung up by now.
async fn say(channel: &Channel, kind: Kind) {
    let message = v1::TransferMessage { kind: Some(kind) };
    let bytes = Bytes::from(message.encode_to_vec());
    let _ = channel.send(Message::Binary(bytes)).await;
}

/// `peersox receive`, which stores in a folder of its own, and the peer that shows it the code.
struct Met {
    receiver: tokio::process::Child,
    peer: Peer,
    around: tempfile::TempDir,
}

impl Met {
    async fn start(server: &Server) -> Self {
        let control = Control::connect(&server.url(), Trust::default())
            .await
            .unwrap();
        let created = control.create_pairing().await.unwrap();
        let text = code(&created.nameplate, "tulip-ember");
        let typed = text.canonical().to_string();
        let (proof, options) = (Proof::Code(text), Options::default());
        let peer = Peer::start(control, created.pairing, proof, options).unwrap();
        let around = tempfile::tempdir().unwrap();
        let out = around.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let mut command = tokio::process::Command::new(binary());
        command
            .args(["receive", &typed, "-y", "--wait", "20"])
            .args(["--server", &server.url(), "-o"])
            .arg(&out)
            .current_dir(&out)
            .env("HOME", around.path());
        let command = quiet(&mut command).stdin(std::process::Stdio::null());
        let receiver = command.spawn().unwrap();
        soon(peer.connected()).await.unwrap();
        Self {
            receiver,
            peer,
            around,
        }
    }
}

/// How a command ended, and every path below the folder around the one that it stores in.
async fn found(receiver: tokio::process::Child, around: &tempfile::TempDir) -> (Run, Vec<String>) {
    let ended = soon(receiver.wait_with_output()).await.unwrap();
    let run = Run {
        code: ended.status.code().unwrap_or(-1),
        stdout: ended.stdout,
        stderr: ended.stderr,
    };
    let mut found = Vec::new();
    list(around.path(), around.path(), &mut found);
    (run, found)
}

/// Plays a tale to `peersox receive`, and waits for its end.
async fn receive_from(server: &Server, tale: impl AsyncFnOnce(Peer)) -> (Run, Vec<String>) {
    let met = Met::start(server).await;
    let ended = found(met.receiver, &met.around);
    tokio::join!(ended, soon(tale(met.peer))).0
}

fn list(root: &std::path::Path, folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() {
            list(root, &path, found);
        }
    }
    found.sort();
}

#[tokio::test]
async fn names_lead_nowhere_but_below_the_folder_that_was_chosen() {
    let server = Server::start(&[]).await;
    let names: [&[&str]; 12] = [
        &["..", "x"],
        &["a", "..", "..", "x"],
        &["/etc", "x"],
        &["/tmp/peersox-hostile-x"],
        &["../x"],
        &["..\\x"],
        &["", "x"],
        &[".", "x"],
        &["a\0b"],
        &["C:", "x"],
        &[TEXT],
        &[],
    ];
    let each = names.map(async |name| {
        let entries: [Offered; 1] = [(name, 3)];
        let (run, found) = receive_from(&server, async |peer| {
            let channel = peer.open(CHANNEL, Priority::Bulk).await.unwrap();
            say(&channel, offer(1, &entries)).await;
            say(&channel, chunk(0, 0, b"bad")).await;
            say(&channel, end_of(0, b"bad")).await;
            say(&channel, Kind::End(v1::TransferEnd {})).await;
            let _ = peer.ended().await;
        })
        .await;
        (name, run, found)
    });
    for (name, run, found) in join_all(each).await {
        assert!(run.is_plain(), "{name:?}: {:?}", run.said());
        let outside = |path: &&String| *path != "out" && !path.starts_with("out/");
        assert_eq!(found.iter().find(outside), None, "{name:?}: {found:?}");
    }
    assert!(!std::path::Path::new("/tmp/peersox-hostile-x").exists());
}

#[tokio::test]
async fn what_was_not_agreed_to_is_not_stored() {
    let server = Server::start(&[]).await;
    // Messages, and what may be there afterwards.
    let file: &[Offered] = &[(&["file"], 3)];
    let hidden: &[Offered] = &[(&[".bash_profile"], 3)];
    let huge: &[Offered] = &[(&["huge"], 1 << 63), (&["huger"], u64::MAX)];
    let tales: [(&str, Vec<Kind>); 7] = [
        ("chunks before any offer", vec![chunk(0, 0, b"bad")]),
        (
            "a file that was not offered",
            vec![offer(1, file), chunk(7, 0, b"bad"), end_of(7, b"bad")],
        ),
        (
            "more than was offered",
            vec![offer(1, file), chunk(0, 0, b"bad and more")],
        ),
        ("a gap", vec![offer(1, file), chunk(0, 1 << 40, b"bad")]),
        (
            "another hash",
            vec![offer(1, file), chunk(0, 0, b"bad"), end_of(0, b"good")],
        ),
        (
            "two offers on one channel",
            vec![
                offer(1, file),
                offer(1, hidden),
                chunk(0, 0, b"bad"),
                end_of(0, b"bad"),
            ],
        ),
        (
            "sizes without end",
            vec![offer(1, huge), chunk(0, 0, b"bad"), end_of(0, b"bad")],
        ),
    ];
    let each = tales.map(async |(what, kinds)| {
        let (run, found) = receive_from(&server, async |peer| {
            let channel = peer.open(CHANNEL, Priority::Bulk).await.unwrap();
            for kind in kinds {
                say(&channel, kind).await;
            }
            say(&channel, Kind::End(v1::TransferEnd {})).await;
            let _ = peer.ended().await;
        })
        .await;
        (what, run, found)
    });
    for (what, run, found) in join_all(each).await {
        assert_ne!(run.code, 0, "{what}: {}", run.said());
        assert!(run.is_plain(), "{what}: {:?}", run.said());
        let last = run.said().lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("peersox: "), "{what}: {}", run.said());
        // Parts of what was agreed to may wait for the transfer to go on.
        let stored = |path: &&String| *path != "out" && !path.starts_with("out/.peersox-part-");
        assert_eq!(found.iter().find(stored), None, "{what}: {found:?}");
    }
}

/// A sender, and what it says from now on, as it is.
struct Sender {
    child: tokio::process::Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Sender {
    /// Waits for its end; gives its exit code, and all that it said.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
        }
        (self.child.wait().await.unwrap().code(), said)
    }
}

async fn next_line(lines: &mut Lines<BufReader<ChildStderr>>) -> String {
    soon(lines.next_line()).await.unwrap().expect("a line")
}

/// A peer that joins `peersox send`, and takes its channel.
async fn join_sender(server: &Server) -> (Sender, Peer, Channel) {
    let mut command = tokio::process::Command::new(binary());
    command.args(["send", FILE, "--server", &server.url()]);
    let command = quiet(&mut command).stdin(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let typed: Code = loop {
        let line = next_line(&mut lines).await;
        if let Some(code) = line.strip_prefix("code: ") {
            break code.parse().unwrap();
        }
    };
    let sender = Sender { child, lines };
    let control = Control::connect(&server.url(), Trust::default())
        .await
        .unwrap();
    let joined = control.join_pairing(&typed.nameplate).await.unwrap();
    let (proof, options) = (Proof::Code(typed), Options::default());
    let mut peer = Peer::start(control, joined, proof, options).unwrap();
    let channel = soon(peer.accept()).await.unwrap();
    (sender, peer, channel)
}

#[tokio::test]
async fn words_of_a_receiver_are_no_commands_for_the_senders_terminal() {
    let server = Server::start(&[]).await;
    let long = TEXT.repeat(400);
    let refused = Kind::Decline(v1::TransferDecline {
        reason: v1::TransferDeclineReason::Refused.into(),
        text: long.clone(),
    });
    let cancelled = Kind::Cancel(v1::TransferCancel {
        code: v1::TransferCancelCode::SinkFailed.into(),
        text: long,
    });
    let nonsense = Kind::Accept(v1::TransferAccept {
        skipped: vec![u32::MAX; 1_000],
        ..v1::TransferAccept::default()
    });
    let early = Kind::Done(v1::TransferDone::default());
    for kind in [
        Some(refused),
        Some(cancelled),
        Some(nonsense),
        Some(early),
        None,
    ] {
        let (sender, peer, channel) = join_sender(&server).await;
        let kept = match kind.clone() {
            Some(kind) => {
                say(&channel, kind).await;
                Some(channel)
            }
            None => {
                let _ = channel.split().0.reset(ResetCode(77)).await;
                None
            }
        };
        let (status, said) = soon(sender.end()).await;
        let what = kind.is_some();
        assert_ne!(status, Some(0), "{what}: {said}");
        assert!(is_plain(&said), "{what}: {said:?}");
        assert!(said.len() < 8_000, "{what}: {said:?}");
        drop((kept, peer));
    }
}

#[tokio::test]
async fn a_sender_that_stalls_is_waited_for_and_let_go_at_one_key() {
    let server = Server::start(&[]).await;
    let half = [offer(1, &[(&["file"], 6)]), chunk(0, 0, b"bad")];
    let whole = [offer(1, &[(&["file"], 3)]), chunk(0, 0, b"bad")];
    let ended = [&whole[..], &[end_of(0, b"bad")]].concat();
    let tales: [(&str, Option<&[Kind]>); 6] = [
        ("no channel", None),
        ("no offer", Some(&[])),
        ("no data", Some(&half[..1])),
        ("half the data", Some(&half)),
        ("no end of the file", Some(&whole)),
        ("no end of the transfer", Some(&ended)),
    ];
    let each = tales.map(async |(what, kinds)| {
        let mut met = Met::start(&server).await;
        let mut lines = BufReader::new(met.receiver.stderr.take().unwrap()).lines();
        let mut channel = None;
        if let Some(kinds) = kinds {
            let channel = channel.insert(met.peer.open(CHANNEL, Priority::Bulk).await.unwrap());
            for kind in kinds {
                say(channel, kind.clone()).await;
            }
        }
        match &mut channel {
            Some(channel) if kinds != Some(&[]) => {
                let accepted = soon(channel.recv()).await.unwrap();
                assert!(accepted.is_some(), "{what}: it is accepted");
            }
            _ => {
                while next_line(&mut lines).await != "waiting for the other side to offer files" {}
            }
        }
        signal(&met.receiver, "INT");
        let (run, found) = found(met.receiver, &met.around).await;
        (what, run, found)
    });
    for (what, run, found) in join_all(each).await {
        assert_eq!(run.code, 130, "{what}: {}", run.said());
        let stored = |path: &&String| *path != "out" && !path.starts_with("out/.peersox-part-");
        assert_eq!(found.iter().find(stored), None, "{what}: {found:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_stalls_is_waited_for_and_let_go_at_one_key() {
    let server = Server::start(&[]).await;
    let accepted = Kind::Accept(v1::TransferAccept::default());
    // Without an answer, and with one but no thanks for what was sent.
    for (kind, until) in [
        (None, "waiting for the other side to accept"),
        (Some(accepted), ""),
    ] {
        let (mut sender, peer, channel) = join_sender(&server).await;
        let (says, mut hears) = channel.split();
        if let Some(kind) = kind {
            let message = v1::TransferMessage { kind: Some(kind) };
            let bytes = Bytes::from(message.encode_to_vec());
            says.send(Message::Binary(bytes)).await.unwrap();
            loop {
                let heard = soon(hears.recv()).await.unwrap().expect("a message");
                let Message::Binary(bytes) = heard else {
                    panic!("{heard:?} is no message of a transfer");
                };
                let message = v1::TransferMessage::decode(bytes).unwrap();
                if matches!(message.kind, Some(Kind::End(_))) {
                    break;
                }
            }
        }
        while !until.is_empty() && next_line(&mut sender.lines).await != until {}
        signal(&sender.child, "INT");
        let (status, said) = soon(sender.end()).await;
        assert_eq!(status, Some(130), "{said}");
        assert!(!said.contains("verified"), "{said}");
        drop(peer);
    }
}
