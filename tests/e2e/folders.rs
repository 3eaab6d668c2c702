//! What a folder is beside the bytes of its files arrives, too; and what cannot be sent or stored is said.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Peer, Server, noise, signal};

/// One thing below a folder: its path, mode, time of change in seconds, and its content or target.
type Found = (Vec<u8>, u32, i64, Vec<u8>);

#[tokio::test]
async fn a_folder_is_the_same_on_the_other_side() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("src");
    for below in ["deep/er", "many", "read-only"] {
        fs::create_dir_all(folder.join(below)).unwrap();
    }
    for name in [
        "a:b",
        "a_b",
        "*star",
        "x.",
        "nul",
        "tab\tand\u{1b}[1A",
        "deep/er/ünïcode",
    ] {
        fs::write(folder.join(name), noise(1_000, 1)).unwrap();
    }
    for number in 0..2_000_u64 {
        let path = folder.join(format!("many/{number}"));
        fs::write(path, noise(usize::try_from(number % 97).unwrap(), number)).unwrap();
    }
    let sparse = File::create(folder.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(b"not a hole", 700 << 20).unwrap();
    drop(sparse);
    symlink("deep/er/ünïcode", folder.join("link")).unwrap();
    symlink("../../a:b", folder.join("deep/er/up")).unwrap();
    symlink("gone", folder.join("dangling")).unwrap();
    for (name, mode) in [
        ("a:b", 0o600),
        ("a_b", 0o640),
        ("nul", 0o444),
        ("x.", 0o4755),
        ("deep", 0o700),
        ("read-only", 0o555),
    ] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.join(name), mode).unwrap();
    }
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    for name in ["a:b", "deep/er", "many", "sparse"] {
        File::open(folder.join(name))
            .unwrap()
            .set_modified(past)
            .unwrap();
    }

    let into = dir.path().join("into");
    let (sent, received) = send(&server, &folder, &into, &[]).await;
    assert_eq!((sent.0, received.0), (0, 0), "{} {}", sent.1, received.1);
    let (before, after) = (tree(&folder), tree(&into.join("src")));
    let names = |tree: &[Found]| tree.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for (before, mut after) in before.into_iter().zip(after) {
        if before.0 == b"x." {
            assert_eq!(after.1 & 0o7000, 0, "setuid does not travel");
            after.1 |= 0o4000;
        }
        let name = String::from_utf8_lossy(&before.0).into_owned();
        assert!(
            before == after,
            "{name}: {:o} {} {:o} {}",
            before.1,
            before.2,
            after.1,
            after.2
        );
    }
    let stored = fs::metadata(into.join("src/sparse")).unwrap();
    assert!(
        stored.blocks() * 512 < 8 << 20,
        "{} blocks",
        stored.blocks()
    );
    let file = File::open(into.join("src/sparse")).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(&mut bytes, 700 << 20).unwrap();
    assert_eq!(&bytes, b"not a hole");
}

#[tokio::test]
async fn names_that_are_no_utf8_arrive_apart_and_both_sides_are_told() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("l");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"\xff.txt")), b"1").unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"\xfe.txt")), b"2").unwrap();
    let into = dir.path().join("into");

    let mut sender = Peer::start(&server.url(), &["send", text(&folder)]);
    for _ in 0..2 {
        let renamed = sender.event("renamed").await;
        let from = renamed["from"].as_str().unwrap();
        let to = renamed["to"].as_str().unwrap();
        assert_eq!(from.replace("\\xf", "%F").to_uppercase(), to.to_uppercase());
    }
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    for _ in 0..2 {
        receiver.event("renamed").await;
    }
    assert_eq!((receiver.end().await.0, sender.end().await.0), (0, 0));
    assert_eq!(fs::read(into.join("l/%FF.txt")).unwrap(), b"1");
    assert_eq!(fs::read(into.join("l/%FE.txt")).unwrap(), b"2");
}

#[tokio::test]
async fn what_links_lead_out_to_is_not_sent_and_both_sides_are_told() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), b"1").unwrap();
    symlink("/etc/passwd", folder.join("out")).unwrap();
    symlink("../secret", folder.join("up")).unwrap();
    let into = dir.path().join("into");

    let mut sender = Peer::start(&server.url(), &["send", text(&folder)]);
    for name in ["d/out", "d/up"] {
        let skipped = sender.event("skipped").await;
        assert!(
            skipped["what"].as_str().unwrap().contains(name),
            "{skipped}"
        );
    }
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    let offer = receiver.event("offer").await;
    assert_eq!(offer["left_out_count"], 2, "{offer}");
    assert_eq!((receiver.end().await.0, sender.end().await.0), (0, 0));
    assert_eq!(fs::read_dir(into.join("d")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_kernel_makes_up_arrives_whole() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    let (sent, received) = send(&server, Path::new("/proc/version"), &into, &[]).await;
    assert_eq!((sent.0, received.0), (0, 0), "{} {}", sent.1, received.1);
    let there = fs::read(into.join("version")).unwrap();
    assert_eq!(there, fs::read("/proc/version").unwrap());
}

#[tokio::test]
async fn a_named_pipe_is_a_stream() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let writer = tokio::task::spawn_blocking({
        let pipe = pipe.clone();
        move || fs::write(pipe, noise(700_000, 6)).unwrap()
    });
    let into = dir.path().join("into");
    let (sent, received) = send(&server, &pipe, &into, &["--name", "dump"]).await;
    assert_eq!((sent.0, received.0), (0, 0), "{} {}", sent.1, received.1);
    writer.await.unwrap();
    assert!(fs::read(into.join("dump")).unwrap() == noise(700_000, 6));
}

#[tokio::test]
async fn a_file_that_changes_while_it_waits_leaves_the_others() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("d");
    fs::create_dir(&folder).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let into = dir.path().join("into");
    let mut sender = Peer::start(&server.url(), &["send", text(&folder)]);
    let code = sender.code().await;
    fs::write(folder.join("b"), "longer than it was").unwrap();
    let receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    let (exit, said) = receiver.end().await;
    assert!(
        exit == 4 && said.contains("d/b") && said.contains("grew"),
        "{exit} {said}"
    );
    let (exit, said) = sender.end().await;
    assert!(
        exit == 7 && said.contains("d/b") && said.contains("grew"),
        "{exit} {said}"
    );
    assert_eq!(fs::read(into.join("d/a")).unwrap(), b"a");
    assert_eq!(fs::read(into.join("d/c")).unwrap(), b"c");
    assert!(!into.join("d/b").exists());
}

#[tokio::test]
async fn without_a_terminal_nothing_is_accepted_unless_told_to() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let hidden = dir.path().join(".ssh");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("authorized_keys"), b"key").unwrap();
    let into = dir.path().join("into");
    let mut sender = Peer::start(&server.url(), &["send", text(&hidden)]);
    let code = sender.code().await;
    let receive = ["receive", &code, "-o", text(&into)];
    let (exit, said) = Peer::start(&server.url(), &receive).end().await;
    assert!(exit == 2 && said.contains("-y"), "{exit} {said}");
    assert!(!into.exists());

    // Nor is a code spent where nothing can be stored.
    let nowhere = ["receive", "-y", &code, "-o", "/proc/nowhere"];
    let (exit, said) = Peer::start(&server.url(), &nowhere).end().await;
    assert!(exit == 7 && said.contains("/proc/nowhere"), "{exit} {said}");

    let mut receiver = Peer::start(&server.url(), &[&receive[..], &["-y"]].concat());
    let offer = receiver.event("offer").await;
    assert_eq!(offer["hidden"]["names"][0], ".ssh", "{offer}");
    assert_eq!(receiver.end().await, (0, String::new()));
    assert_eq!(sender.end().await, (0, String::new()));
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
}

#[tokio::test]
async fn an_interrupted_receiver_says_that_it_can_go_on() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, noise(80_000_000, 7)).unwrap();
    let into = dir.path().join("into");
    let mut sender = Peer::start(&server.url(), &["send", text(&file)]);
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    // The first report is of the beginning; by the second, a part is on the disk.
    receiver.event("progress").await;
    receiver.event("progress").await;
    signal(&receiver.child, "INT");
    let kept = receiver.event("kept").await;
    assert!(Path::new(kept["path"].as_str().unwrap()).is_dir(), "{kept}");
    assert_eq!(receiver.end().await.0, 130);
    drop(sender);
}

/// Sends and receives; gives how both ended.
async fn send(
    server: &Server,
    what: &Path,
    into: &Path,
    options: &[&str],
) -> ((i32, String), (i32, String)) {
    let arguments = [&["send", text(what)], options].concat();
    let mut sender = Peer::start(&server.url(), &arguments);
    let code = sender.code().await;
    let receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(into)]);
    let received = receiver.end().await;
    (sender.end().await, received)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn tree(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()) {
            let it = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            let content = if it.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                target.as_os_str().as_bytes().to_vec()
            } else if it.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if it.len() > 1 << 20 {
                it.len().to_le_bytes().to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            found.push((name.to_vec(), it.mode(), it.mtime(), content));
        }
    }
    let it = fs::metadata(root).unwrap();
    found.push((Vec::new(), it.mode(), it.mtime(), Vec::new()));
    found.sort();
    found
}
