//! Devices that find each other again without a code, and transfers that outlive their processes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Peer, Server, noise, signal};

/// Two devices that are paired for good: the folder of each, in which it calls the other `other`.
pub struct Paired {
    server: Server,
    pub dir: tempfile::TempDir,
}

impl Paired {
    pub async fn new() -> Self {
        let server = Server::start(&[]).await;
        let dir = tempfile::tempdir().unwrap();
        let paired = Self { server, dir };
        let mut a = paired.start("a", &["pair", "--save", "other"]);
        let code = a.code().await;
        let mut b = paired.start("b", &["pair", &code, "--save", "other"]);
        let phrases = [a.event("secured").await, b.event("secured").await];
        assert_eq!(phrases[0]["phrase"], phrases[1]["phrase"]);
        assert!(phrases[0]["phrase"].as_str().unwrap().split(' ').count() == 3);
        a.event("saved").await;
        b.event("saved").await;
        assert_eq!(a.end().await, (0, String::new()));
        assert_eq!(b.end().await, (0, String::new()));
        paired
    }

    /// Runs a command on one of the two devices.
    pub fn start(&self, device: &str, args: &[&str]) -> Peer {
        let devices = self.dir.path().join(device);
        Peer::start_with(
            &self.server.url(),
            args,
            &[("PEERSOX_DEVICES", text(&devices))],
        )
    }
}

#[tokio::test]
async fn saved_devices_meet_without_a_code_in_both_directions() {
    let paired = Paired::new().await;
    for device in ["a", "b"] {
        let file = paired.dir.path().join(device).join("other.json");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let file = paired.dir.path().join("file");
    fs::write(&file, noise(300_000, 1)).unwrap();
    // Who shows the code and who sends are two things.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let into = paired.dir.path().join(format!("into-{to}"));
        let sender = paired.start(from, &["send", "--to", "other", text(&file)]);
        let args = ["receive", "-y", "--from", "other", "-o", text(&into)];
        let receiver = paired.start(to, &args);
        assert_eq!(receiver.end().await, (0, String::new()));
        assert_eq!(sender.end().await, (0, String::new()));
        assert!(fs::read(into.join("file")).unwrap() == noise(300_000, 1));
    }
}

#[tokio::test]
async fn either_side_of_a_transfer_is_killed_and_started_again() {
    let paired = Paired::new().await;
    let file = paired.dir.path().join("file");
    let content = noise(60_000_000, 2);
    fs::write(&file, &content).unwrap();
    let send = ["send", "--to", "other", text(&file)];
    for victim in ["receiver", "sender"] {
        let into = paired.dir.path().join(victim);
        let receive = ["receive", "-y", "--from", "other", "-o", text(&into)];
        let mut sender = paired.start("a", &send);
        let mut receiver = paired.start("b", &receive);
        // The first report is of the beginning; by the second, a part is on the disk.
        receiver.event("progress").await;
        receiver.event("progress").await;
        // Only the victim is started again: the other one notices by itself.
        if victim == "receiver" {
            signal(&receiver.child, "KILL");
            receiver.end().await;
            receiver = paired.start("b", &receive);
            sender.event("offered_again").await;
        } else {
            signal(&sender.child, "KILL");
            sender.end().await;
            sender = paired.start("a", &send);
            receiver.event("waiting").await;
        }
        let done = receiver.event("done").await;
        assert!(done["resumed"].as_u64().unwrap() > 0, "{victim}: {done}");
        assert_eq!(receiver.end().await, (0, String::new()), "{victim}");
        assert_eq!(sender.end().await, (0, String::new()), "{victim}");
        assert!(fs::read(into.join("file")).unwrap() == content, "{victim}");
    }
}

#[tokio::test]
async fn a_forgotten_device_is_gone_for_both() {
    let paired = Paired::new().await;
    let mut list = paired.start("a", &["devices"]);
    let listed = String::from_utf8(list.output().await).unwrap();
    assert!(
        listed.contains("other") && listed.contains("offline"),
        "{listed}"
    );

    let forget = paired.start("a", &["forget", "other"]);
    assert_eq!(forget.end().await, (0, String::new()));
    let (exit, said) = paired
        .start("a", &["connect", "--with", "other"])
        .end()
        .await;
    assert_eq!(exit, 7, "{said}");
    assert!(said.contains("no device called other"), "{said}");

    let (exit, said) = paired
        .start("b", &["connect", "--with", "other"])
        .end()
        .await;
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("peersox forget other"), "{said}");
    let mut list = paired.start("b", &["devices"]);
    let listed = String::from_utf8(list.output().await).unwrap();
    assert!(listed.contains("gone"), "{listed}");
}

#[tokio::test]
async fn a_name_is_taken_once_and_known_before_a_code_is_shown() {
    let paired = Paired::new().await;
    let (exit, said) = paired.start("a", &["pair", "--save", "other"]).end().await;
    assert_eq!(exit, 7, "{said}");
    assert!(said.contains("saved already"), "{said}");
    let (exit, said) = paired.start("a", &["pair", "--save", "../x"]).end().await;
    assert_eq!(exit, 2, "{said}");
}

#[tokio::test]
async fn a_device_that_does_not_return_is_waited_for_as_long_as_asked() {
    let paired = Paired::new().await;
    let args = ["connect", "--with", "other", "--wait", "1"];
    let (exit, said) = paired.start("a", &args).end().await;
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("did not appear"), "{said}");
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
