//! One configuration file: which value counts, what is wrong with it, and what a server would start with.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Server, binary, http_get, quiet, quiet_port, refuses, soon};
use crate::tls::Certificates;

/// A file in a folder of its own.
struct File(TempDir);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("peersox.toml")
    }

    fn name(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// What `--check-config` says of it, with more flags and variables: exit code and text.
    async fn checked(&self, flags: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
        let mut command = Command::new(binary());
        let name = self.name();
        command.args(["serve", "--config", &name, "--check-config"]);
        command.args(flags);
        quiet(&mut command).envs(environment.iter().copied());
        let output = soon(command.output()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }
}

#[tokio::test]
async fn a_server_starts_by_its_file() {
    let Certificates { cert, key, .. } = &Certificates::of_loopback();
    let port = quiet_port();
    let file = File::new(&format!(
        "listen = '127.0.0.1:{port}'\nno-quic = true\npublic-url = 'https://p.example'\n\
         tls-cert = '{cert}'\ntls-key = '{key}'\nhsts-max-age = 60\n"
    ));
    let mut command = Command::new(binary());
    quiet(command.args(["serve", "--config", &file.name()]));
    let mut server = Server::run(command, "https").await;
    assert!(
        server.said_before().contains("tls=true quic=false"),
        "{}",
        server.said_before()
    );
    // Its greeting names the public address; it listens at the other one.
    server.port = port;
    let redirected = http_get(&server.address(), "/x").await;
    assert!(redirected.starts_with("HTTP/1.1 308"), "{redirected}");
}

#[tokio::test]
async fn what_is_typed_or_set_stands_instead_of_the_file() {
    let file = File::new(
        "hold = 65536\nmax-frame = 4096\ndigits = 8\nno-stun = true\n\
         trust-proxy = ['10.0.0.0/8', '192.0.2.0/24']\n\
         allow-origin = ['https://a.example']\nproxy-protocol = true\n",
    );
    let name = file.name();
    let environment = [
        ("PEERSOX_HOLD", "70000"),
        ("PEERSOX_DIGITS", "9"),
        ("PEERSOX_NO_STUN", "false"),
        ("PEERSOX_ALLOW_ORIGIN", "https://b.example"),
    ];
    let flags = ["--digits", "7", "--trust-proxy=::1"];
    let (exit, said) = file.checked(&flags, &environment).await;
    assert_eq!(exit, 0, "{said}");
    for line in [
        "hold = 70000  # PEERSOX_HOLD".to_owned(),
        format!("max-frame = 4096  # {name}:2"),
        "digits = 7  # --digits".to_owned(),
        "no-stun = false  # PEERSOX_NO_STUN".to_owned(),
        "trust-proxy = [\"::1\"]  # --trust-proxy".to_owned(),
        "allow-origin = [\"https://b.example\"]  # PEERSOX_ALLOW_ORIGIN".to_owned(),
        format!("proxy-protocol = true  # {name}:7"),
        "role = \"all\"  # default".to_owned(),
    ] {
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    }
    // What it says is a file that says the same.
    let again = File::new(&said);
    let (exit, told) = again.checked(&[], &[]).await;
    assert_eq!(exit, 0, "{told}");
    let values = |said: &str| -> Vec<String> {
        let lines = said.lines().filter(|it| !it.contains(" = false "));
        lines
            .map(|it| it.split("  #").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&told), values(&said));
    // The environment may name the file, too.
    let mut command = Command::new(binary());
    quiet(command.args(["serve", "--check-config"])).env("PEERSOX_CONFIG", &name);
    let output = soon(command.output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("digits = 8  # "), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_named_by_file_line_and_key() {
    let missing = "/nowhere/peersox.toml";
    refuses(&[(&["--config", missing], 7, missing)]).await;
    for (text, flags, exit, words) in [
        (
            "\nlisen = '[::]:1'",
            &[][..],
            2,
            "peersox.toml, line 2: there is no key `lisen`; did you mean `listen`?",
        ),
        (
            "hold = 1",
            &[],
            2,
            "line 1: invalid value '1' for '--hold <BYTES>': 1 is not in 65536..=16777216",
        ),
        (
            "no-quic = 1",
            &[],
            2,
            "line 1: `no-quic` has to be true or false",
        ),
        // Flags that do not go together, though one is typed and one is written.
        (
            "acme = 'p.example'",
            &["--tls-cert=c", "--tls-key=k"],
            2,
            "peersox.toml says --acme",
        ),
        ("tls-cert = 'c.pem'", &[], 2, "--tls-key <FILE>"),
        ("role = 'relay'", &[], 2, "--control"),
        (
            "tls-cert = '/nowhere/c'\ntls-key = '/nowhere/k'",
            &[],
            7,
            "/nowhere/c",
        ),
        (
            "ice-server = 'turn:t.example'",
            &[],
            2,
            "--turn-secret-file",
        ),
        ("redis = 'redis://[x'", &[], 2, "the URL of Redis"),
    ] {
        let file = File::new(text);
        let (code, said) = file.checked(flags, &[]).await;
        assert!(
            code == exit && said.contains(words),
            "{text}: {code}: {said}"
        );
    }
}

#[tokio::test]
async fn a_password_in_a_file_is_for_its_owner_only_and_never_shown() {
    let file = File::new("redis = 'redis://user:hunter2@127.0.0.1:1'\n");
    std::fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
    let (exit, said) = file.checked(&[], &[]).await;
    assert_eq!(exit, 2, "{said}");
    assert!(
        said.contains("chmod 600") && !said.contains("hunter2"),
        "{said}"
    );
    std::fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
    let (exit, said) = file.checked(&[], &[]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.contains("redis = \"redis://user:…@127.0.0.1:1\""),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

/// A page that is open while the server is replaced asks for parts of its own version, by names that hold
/// their digest: it gets them, or nothing.
#[tokio::test]
async fn a_page_of_another_version_gets_no_part_of_this_one() {
    let server = Server::start(&[]).await;
    let page = http_get(&server.address(), "/").await;
    assert!(
        page.to_lowercase().contains("cache-control: no-cache"),
        "{page}"
    );
    let named = page.split('"').filter(|it| it.starts_with("assets/"));
    let parts: Vec<String> = named.map(|it| format!("/{it}")).collect();
    for part in &parts {
        let told = http_get_bytes(&server.address(), part).await;
        assert!(
            told.starts_with("HTTP/1.1 200") && told.contains("immutable"),
            "{part}: {told}"
        );
        let (name, ending) = part.rsplit_once('.').unwrap();
        let (name, digest) = name.split_at(name.len() - 12);
        assert!(digest.chars().all(|it| it.is_ascii_hexdigit()), "{part}");
        let other = format!("{name}000000000000.{ending}");
        let told = http_get(&server.address(), &other).await;
        assert!(told.starts_with("HTTP/1.1 404"), "{other}: {told}");
    }
    // Without browser tools there is the plain page, which has one part of each kind and no engine.
    assert!(!parts.is_empty() || page.contains("page.js"), "{page}");
}

/// The head of an answer whose body is no text.
async fn http_get_bytes(server: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    soon(stream.read_to_end(&mut told)).await.unwrap();
    String::from_utf8_lossy(&told).into_owned()
}
