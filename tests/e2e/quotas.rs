//! What an account may hold: pairings, sessions and bytes.

use tokio::io::AsyncWriteExt as _;

use crate::auth::{Folder, new_key};
use crate::harness::{Peer, Server, http_get, noise, quiet_port, signal, soon};

/// A server with one key, whose account has a quota.
struct Metered {
    server: Server,
    metrics: String,
    /// The file with the key.
    key: String,
    _folder: Folder,
}

impl Metered {
    async fn start(quota: &str) -> Self {
        let folder = Folder::new();
        let (line, key) = new_key("ci").await;
        let keys = folder.put("keys", &format!("{line} {quota}\n"));
        let metrics = format!("127.0.0.1:{}", quiet_port());
        let options = ["--auth", "keys", "--auth-keys-file", &keys];
        let options = [&options[..], &["--metrics-listen", &metrics]].concat();
        Self {
            server: Server::start(&options).await,
            metrics,
            key: folder.put("key", &key),
            _folder: folder,
        }
    }

    /// A peer that creates a code on the account.
    fn creator(&self) -> Peer {
        let environment = [("PEERSOX_AUTH_TOKEN_FILE", self.key.as_str())];
        Peer::start_with(
            &self.server.url(),
            &["connect", "--wait", "20"],
            &environment,
        )
    }

    /// A peer that joins.
    fn joiner(&self, code: &str) -> Peer {
        Peer::start(&self.server.url(), &["connect", code, "--wait", "20"])
    }

    async fn pair(&self) -> (Peer, Peer) {
        let mut one = self.creator();
        let code = one.code().await;
        let mut two = self.joiner(&code);
        tokio::join!(one.event("connected"), two.event("connected"));
        (one, two)
    }

    /// Waits until a counter of the metrics is not 0 any more.
    async fn counts(&self, line: &str) {
        soon(async {
            let has = |text: String| {
                text.lines()
                    .any(|it| it.starts_with(line) && !it.ends_with(" 0"))
            };
            while !has(http_get(&self.metrics, "/metrics").await) {}
        })
        .await;
    }
}

#[tokio::test]
async fn an_account_has_as_many_pairings_as_it_may() {
    let metered = Metered::start("pairings=2").await;
    let (mut one, mut two) = (metered.creator(), metered.creator());
    one.code().await;
    two.code().await;
    let (exit, said) = metered.creator().end().await;
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("as many pairings as it may"), "{said}");
    metered
        .counts(r#"peersox_over_quota_total{quota="pairings"}"#)
        .await;
    // Who gives up withdraws the code.
    signal(&one.child, "INT");
    assert_eq!(one.end().await.0, 130);
    metered.creator().code().await;
}

#[tokio::test]
async fn an_account_has_as_many_sessions_as_it_may() {
    let metered = Metered::start("sessions=1").await;
    let (one, two) = metered.pair().await;
    let mut next = metered.creator();
    let code = next.code().await;
    metered
        .counts(r#"peersox_over_quota_total{quota="sessions"}"#)
        .await;
    let ((first, _), (second, _)) = tokio::join!(one.end(), two.end());
    assert_eq!((first, second), (0, 0));
    // What was refused tries again.
    let mut other = metered.joiner(&code);
    tokio::join!(next.event("connected"), other.event("connected"));
}

#[tokio::test]
async fn an_account_that_has_used_its_bytes_is_cut_off_until_the_next_day() {
    let metered = Metered::start("bytes=20M").await;
    let (mut one, mut two) = metered.pair().await;
    let reading = async { two.output().await };
    let (mut stdin, piece) = (one.stdin.take().unwrap(), noise(1_000_000, 1));
    let writing = async {
        // Until nobody reads any more.
        while stdin.write_all(&piece).await.is_ok() {}
    };
    let (taken, ()) = tokio::join!(reading, writing);
    assert!(taken.len() > 20_000_000, "{} were forwarded", taken.len());
    // It waits for as long as it is patient, for the server or for the other device.
    let (exit, said) = one.end().await;
    assert_eq!(exit, 5, "{said}");
    let (exit, said) = metered.creator().end().await;
    assert!(
        exit == 5 && said.contains("has used the bytes"),
        "{exit}: {said}"
    );
    let text = http_get(&metered.metrics, "/metrics").await;
    let bytes = text
        .lines()
        .find_map(|it| it.strip_prefix(r#"peersox_key_bytes_total{key="ci"} "#));
    let bytes: u64 = bytes
        .expect("the bytes of the key are counted")
        .parse()
        .unwrap();
    assert!(bytes >= taken.len() as u64, "{bytes}");
}
