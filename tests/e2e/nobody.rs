//! Nobody in between: neither the network nor the server's own memory holds what two peers say.

use std::io::Read as _;
use std::io::{Seek as _, SeekFrom};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use crate::gate::Gate;
use crate::harness::{Peer, Server, signal, soon};

/// What nobody in between may ever hold: not a word that is likely by chance.
const PLAINTEXT: &[u8] = b"the heron lands at midnight, bring the brass key";

#[tokio::test]
async fn neither_a_recording_nor_the_servers_memory_holds_plaintext_or_words() {
    let server = Server::start(&[]).await;
    let gate = Gate::to(server.port).await;
    // One peer over the recorded WebSocket, one over QUIC: what the server decrypts of QUIC is in its
    // memory.
    let mut initiator = Peer::start(&gate.url(), &["connect", "--transport", "ws"]);
    let code = initiator.code().await;
    let (nameplate, words) = code.split_once('-').unwrap();
    let mut joiner = Peer::start(&server.url(), &["connect", &code, "--transport", "quic"]);
    joiner.event("connected").await;

    // Much of it, so that buffers of all kinds have seen it, and still in flight when memory is read.
    let mut stdin = initiator.stdin.take().unwrap();
    let many = PLAINTEXT.repeat(20_000);
    soon(stdin.write_all(&many)).await.unwrap();
    let mut stdout = joiner.stdout.take().unwrap();
    let mut got = vec![0; many.len()];
    soon(stdout.read_exact(&mut got)).await.unwrap();
    assert!(got == many);

    let memory = memory(&server.child);
    let recorded = gate.recorded();
    assert!(recorded.len() > many.len(), "{} bytes", recorded.len());

    // What must be found, or the search proves nothing: the subprotocol crossed the proxy in the
    // clear, the digits are known to the server, both peers hold the text, and the joiner the words
    // on its command line. The initiator wipes its words; whether a copy outlives them is chance.
    let [initiator, joiner] = [&initiator, &joiner].map(|peer| self::memory(&peer.child));
    assert!(holds(&initiator, PLAINTEXT));
    assert!(holds(&joiner, PLAINTEXT) && holds(&joiner, words.as_bytes()));
    assert!(holds(&recorded, b"peersox.v1"));
    assert!(holds(&memory, b"peersox.v1"));
    assert!(holds(&recorded, nameplate.as_bytes()));

    for (place, bytes) in [("the recording", &recorded), ("the memory", &memory)] {
        assert!(!holds(bytes, PLAINTEXT), "{place} holds the plaintext");
        assert!(!holds(bytes, words.as_bytes()), "{place} holds {words}");
        assert!(!holds(bytes, code.as_bytes()), "{place} holds the code");
    }
    drop(stdin);
}

/// Everything that a process can write to, at one moment: heap, stacks, what it has read from files
/// and sockets.
pub fn memory(process: &Child) -> Vec<u8> {
    let pid = process.id().unwrap();
    signal(process, "STOP");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let at = |hex| u64::from_str_radix(hex, 16).unwrap();
        let (from, to) = (at(from), at(to));
        memory.seek(SeekFrom::Start(from)).unwrap();
        // Pages that were never touched, or belong to a device, cannot be read: nothing is there.
        let _ = (&memory).take(to - from).read_to_end(&mut all);
    }
    assert!(
        all.len() > 1 << 20,
        "only {} bytes could be read",
        all.len()
    );
    all
}

pub fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let starts = haystack
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == first);
    let mut starts = starts.map(|(at, _)| &haystack[at..]);
    starts.any(|rest| rest.starts_with(needle))
}
