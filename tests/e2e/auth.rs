//! Who may create codes: a server with `--auth` asks for a key, and joiners for nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, http_get, quiet, quiet_port, refuses, signal, soon};

/// A folder of secrets.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file for its owner alone; gives its path.
    fn put(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        write(&path, content);
        path.to_str().unwrap().to_owned()
    }
}

fn write(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

/// What `peersox key NAME` writes: the line of the list, and the key.
async fn new_key(name: &str) -> (String, String) {
    let mut command = Command::new(binary());
    command.args(["key", name]);
    let output = soon(quiet(&mut command).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    (text(output.stdout), text(output.stderr))
}

/// Tries to create a code with the key or token of this file; a code, or the exit code and what was said.
async fn create(server: &Server, file: Option<&str>) -> Result<Peer, (i32, String)> {
    let environment = file.map(|file| ("PEERSOX_AUTH_TOKEN_FILE", file));
    let mut peer = Peer::start_with(
        &server.url(),
        &["connect", "--wait", "30"],
        environment.as_slice(),
    );
    match peer.code_or_end().await {
        Some(_) => Ok(peer),
        None => Err(peer.end().await),
    }
}

/// The status of the refusal, as exit code 3 and a sentence with these words.
async fn is_refused(server: &Server, file: Option<&str>, words: &str) {
    let Err((exit, said)) = create(server, file).await else {
        panic!("{file:?} may create codes");
    };
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains(words), "{said}");
}

#[tokio::test]
async fn only_who_has_a_key_creates_codes_and_everybody_joins() {
    let folder = Folder::new();
    let (line, key) = new_key("ci").await;
    let (_, foreign) = new_key("ci").await;
    let keys = folder.put("keys", &format!("# who may\n{line} sessions=5\n"));
    let metrics = format!("127.0.0.1:{}", quiet_port());
    let options = ["--auth", "keys", "--auth-keys-file", &keys];
    let log = ["--log", "trace", "--metrics-listen", &metrics];
    let mut server = Server::start(&[&options[..], &log].concat()).await;
    let log = server.record();
    let (good, bad) = (folder.put("good", &key), folder.put("bad", &foreign));
    is_refused(&server, None, "only who has a key may create codes").await;
    is_refused(
        &server,
        Some(&bad),
        "the key is none that this server knows",
    )
    .await;

    let environment = [("PEERSOX_AUTH_TOKEN_FILE", good.as_str())];
    let mut one = Peer::start_with(&server.url(), &["connect"], &environment);
    let code = one.code().await;
    let mut two = Peer::start(&server.url(), &["connect", &code]);
    tokio::join!(one.event("connected"), two.event("connected"));
    assert_eq!(two.end().await.0, 0);
    assert_eq!(one.end().await.0, 0);

    let counted = http_get(&metrics, "/metrics").await;
    for expected in [
        r#"peersox_creations_total{outcome="ok"} 1"#,
        r#"peersox_creations_total{outcome="missing"} 1"#,
        r#"peersox_creations_total{outcome="unknown"} 1"#,
        r#"peersox_pairings_created_total{key="ci"} 1"#,
    ] {
        assert!(counted.contains(expected), "{expected}: {counted}");
    }
    let log = log.end(server).await;
    for secret in [&key, &foreign] {
        assert!(!log.contains(secret.as_str()), "a key is in the log");
    }
}

#[tokio::test]
async fn the_list_of_keys_is_read_again_and_a_bad_one_is_not_used() {
    let folder = Folder::new();
    let (first, first_key) = new_key("first").await;
    let (second, second_key) = new_key("second").await;
    let keys = folder.put("keys", &first);
    let mut server = Server::start(&["--auth", "keys", "--auth-keys-file", &keys]).await;
    let with = |name, key: &str| folder.put(name, key);
    let (first_key, second_key) = (with("first", &first_key), with("second", &second_key));
    drop(
        create(&server, Some(&first_key))
            .await
            .expect("the first key"),
    );

    folder.put("keys", &second);
    server.says("the list of keys was read again").await;
    drop(
        create(&server, Some(&second_key))
            .await
            .expect("the second key"),
    );
    is_refused(&server, Some(&first_key), "none that this server knows").await;

    folder.put("keys", "second nothing\n");
    signal(&server.child, "HUP");
    let said = server.says("the former list of keys stays in use").await;
    assert!(said.contains("line 1: behind the name"), "{said}");
    drop(
        create(&server, Some(&second_key))
            .await
            .expect("the second key"),
    );
}

#[tokio::test]
async fn flags_that_do_not_belong_together_are_refused() {
    let folder = Folder::new();
    let keys = folder.put("keys", "");
    let open = folder.put("open", "");
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    refuses(&[
        (&["--auth", "keys"], 2, "--auth-keys-file"),
        (&["--auth-keys-file", &keys], 2, "--auth keys"),
        (
            &["--auth", "keys", "--auth-keys-file", &open],
            7,
            "chmod 600",
        ),
        (
            &["--auth", "keys", "--auth-keys-file", "/nowhere"],
            7,
            "/nowhere",
        ),
    ])
    .await;
}

/// What a browser asks before a page may call with a key.
#[tokio::test]
async fn pages_of_allowed_origins_may_show_a_key() {
    let server = Server::start(&["--allow-origin", "https://app.example"]).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = "OPTIONS /peersox.v1.PairingService/CreatePairing HTTP/1.1\r\nhost: p.example\r\n\
                   origin: https://app.example\r\naccess-control-request-method: POST\r\n\
                   access-control-request-headers: authorization,content-type,x-grpc-web\r\n\
                   connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    soon(stream.read_to_string(&mut reply)).await.unwrap();
    let allowed = reply
        .lines()
        .find(|line| line.starts_with("access-control-allow-headers"));
    assert!(
        allowed.is_some_and(|line| line.contains("authorization")),
        "{reply}"
    );
}
