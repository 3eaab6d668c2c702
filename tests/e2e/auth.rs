//! Who may create codes: a server with `--auth` asks for a key or a token, and joiners for nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, http_get, quiet, quiet_port, refuses, signal, soon};

/// A folder of secrets.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file for its owner alone; gives its path.
    pub fn put(&self, name: &str, content: &str) -> String {
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
pub async fn new_key(name: &str) -> (String, String) {
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
    // Each ends when the other has nothing to say any more.
    let ((first, _), (second, _)) = tokio::join!(one.end(), two.end());
    assert_eq!((first, second), (0, 0));

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

/// An issuer of tokens, whose key set is served over HTTP while it is there.
struct Issuer {
    port: u16,
    served: Arc<Mutex<Option<String>>>,
}

/// A key of an issuer, and its `kid`.
struct IssuerKey(SigningKey, &'static str);

impl IssuerKey {
    fn new(byte: u8, name: &'static str) -> Self {
        Self(SigningKey::from_bytes(&[byte; 32]), name)
    }

    fn set(&self) -> String {
        let x = BASE64URL_NOPAD.encode(self.0.verifying_key().as_bytes());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": self.1, "use": "sig", "x": x});
        json!({ "keys": [key] }).to_string()
    }

    /// A token of this subject, which expires in so many seconds.
    fn token(&self, subject: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let expires = i64::try_from(now.unwrap().as_secs()).unwrap() + seconds;
        let header = json!({"alg": "EdDSA", "kid": self.1});
        let claims = json!({"iss": ISSUER, "aud": "peersox", "sub": subject, "exp": expires});
        let text = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

const ISSUER: &str = "https://id.example";

impl Issuer {
    async fn start(set: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(Some(set)));
        let present = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A request without a body fits one read.
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let set = present.lock().unwrap().clone();
                let (status, body) = match set {
                    Some(set) => ("200 OK", set),
                    None => ("503 Service Unavailable", String::new()),
                };
                let length = body.len();
                let reply = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { port, served }
    }

    fn serves(&self, set: Option<String>) {
        *self.served.lock().unwrap() = set;
    }
}

/// Starts a server that takes tokens of [`ISSUER`], whose keys are there.
async fn with_tokens(keys: &str) -> Server {
    let options = [
        "--auth",
        "jwt",
        "--auth-issuer",
        ISSUER,
        "--auth-audience",
        "peersox",
    ];
    Server::start(&[&options[..], &["--auth-jwks", keys]].concat()).await
}

#[tokio::test]
async fn tokens_of_an_issuer_create_codes_and_its_keys_may_be_replaced() {
    let folder = Folder::new();
    let token = |key: &IssuerKey, seconds| folder.put("token", &key.token("app|7", seconds));
    let (old, new) = (IssuerKey::new(1, "old"), IssuerKey::new(2, "new"));
    let issuer = Issuer::start(old.set()).await;
    let server = with_tokens(&format!("http://127.0.0.1:{}/jwks", issuer.port)).await;
    is_refused(&server, None, "only who has a token").await;
    is_refused(&server, Some(&token(&old, -60)), "it has expired").await;
    is_refused(&server, Some(&token(&new, 60)), "no key of its issuer").await;
    let old_token = token(&old, 60);
    drop(
        create(&server, Some(&old_token))
            .await
            .expect("a good token"),
    );

    // The newest keys are fetched once a token names one of them.
    issuer.serves(Some(new.set()));
    drop(
        create(&server, Some(&token(&new, 60)))
            .await
            .expect("the new key"),
    );
    is_refused(&server, Some(&token(&old, 60)), "no key of its issuer").await;
    // While the issuer is away, what it said before counts.
    issuer.serves(None);
    is_refused(&server, Some(&token(&old, 60)), "no key of its issuer").await;
    drop(
        create(&server, Some(&token(&new, 60)))
            .await
            .expect("the new key"),
    );
}

#[tokio::test]
async fn a_key_set_may_be_a_file_and_an_issuer_that_is_away_is_named() {
    let folder = Folder::new();
    let (old, new) = (IssuerKey::new(1, "old"), IssuerKey::new(2, "new"));
    let token = |key: &IssuerKey| folder.put("token", &key.token("app|7", 60));
    let set = folder.put("jwks", &old.set());
    let mut server = with_tokens(&set).await;
    drop(
        create(&server, Some(&token(&old)))
            .await
            .expect("a good token"),
    );
    folder.put("jwks", &new.set());
    server.says("the key set of the issuer was read").await;
    drop(
        create(&server, Some(&token(&new)))
            .await
            .expect("the new key"),
    );
    is_refused(&server, Some(&token(&old)), "no key of its issuer").await;

    let issuer = Issuer::start(String::new()).await;
    issuer.serves(None);
    let server = with_tokens(&format!("http://127.0.0.1:{}/jwks", issuer.port)).await;
    let environment = [("PEERSOX_AUTH_TOKEN_FILE", token(&old))];
    let environment = environment
        .each_ref()
        .map(|(name, file)| (*name, file.as_str()));
    let line = ["connect", "--wait", "1"];
    let (exit, said) = Peer::start_with(&server.url(), &line, &environment)
        .end()
        .await;
    assert!(
        exit == 5 && said.contains("cannot be fetched"),
        "{exit}: {said}"
    );
}

#[tokio::test]
async fn flags_that_do_not_belong_together_are_refused() {
    let folder = Folder::new();
    let keys = folder.put("keys", "");
    let open = folder.put("open", "");
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let jwt = [
        "--auth",
        "jwt",
        "--auth-issuer",
        "i",
        "--auth-audience",
        "a",
        "--auth-jwks",
    ];
    refuses(&[
        (&["--auth", "keys"], 2, "--auth-keys-file"),
        (&["--auth-keys-file", &keys], 2, "--auth keys"),
        (&["--auth-issuer", "i"], 2, "--auth jwt"),
        (&["--auth", "jwt"], 2, "--auth-issuer"),
        (
            &[&jwt[..], &["http://id.example/"]].concat(),
            2,
            "for this machine only",
        ),
        (&[&jwt[..], &[&keys]].concat(), 7, "no JSON Web Key Set"),
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
