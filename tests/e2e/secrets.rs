//! Secrets stay where they belong: no log, whatever its level, holds one, and the server's memory holds none
//! of its peers'.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::Value;

use crate::harness::{Peer, Server, signal};
use crate::nobody::{holds, memory};

/// The forms in which bytes end up in a log: themselves, hexadecimal, base64, and `Debug` of bytes and of a
/// slice.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("hexadecimal", HEXLOWER.encode(secret)),
        ("upper hexadecimal", HEXUPPER.encode(secret)),
        ("base64", BASE64_NOPAD.encode(secret)),
        ("padded base64", BASE64.encode(secret)),
        ("URL base64", BASE64URL_NOPAD.encode(secret)),
        (
            "Debug of a slice",
            format!("{secret:?}").trim_matches(['[', ']']).to_owned(),
        ),
        ("Debug of bytes", secret.escape_ascii().to_string()),
    ];
    let mut forms: Vec<_> = texts.map(|(name, text)| (name, text.into_bytes())).into();
    forms.push(("bytes", secret.to_vec()));
    forms
}

#[tokio::test]
async fn logs_at_trace_and_the_servers_memory_hold_no_secret() {
    for transport in ["ws", "quic"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start(&["--log", "trace"]).await;
        let log = server.record();
        let start = |device: &str, args: &[&str]| {
            let devices = dir.path().join(device);
            let environment = [
                ("PEERSOX_DEVICES", devices.to_str().unwrap()),
                ("PEERSOX_LOG", "trace"),
            ];
            Peer::start_with(
                &server.url(),
                &[args, &["--transport", transport]].concat(),
                &environment,
            )
        };
        let mut initiator = start("a", &["pair", "--save", "other"]);
        let code = initiator.code().await;
        let mut joiner = start("b", &["pair", &code, "--save", "other"]);
        // Both are read at once: a log at trace fills a pipe that nobody reads, and then its writer waits.
        tokio::join!(initiator.event("saved"), joiner.event("saved"));
        let ends = tokio::join!(initiator.end(), joiner.end());
        let ((0, initiator), (0, joiner)) = ends else {
            panic!("{ends:?}");
        };
        // Saved devices come back by credential and secret, and are sent a ticket.
        let comes_back = |device| start(device, &["connect", "--with", "other"]);
        let ends = tokio::join!(comes_back("a").end(), comes_back("b").end());
        assert!(matches!(ends, ((0, _), (0, _))), "{ends:?}");
        let memory = memory(&server.child);
        signal(&server.child, "CONT");

        let mut secrets = vec![("words", code.split_once('-').unwrap().1.as_bytes().to_vec())];
        for device in ["a", "b"] {
            let file = std::fs::read(dir.path().join(device).join("other.json")).unwrap();
            let saved: Value = serde_json::from_slice(&file).unwrap();
            let bytes = |field: &str| {
                HEXLOWER
                    .decode(saved[field].as_str().unwrap().as_bytes())
                    .unwrap()
            };
            secrets.push(("pairing secret", bytes("secret")));
            // The first 16 bytes name the pairing; the other 32 are the secret.
            secrets.push(("credential", bytes("credential")[16..].to_vec()));
        }
        let server = log.end(server).await;
        // What must be found, or the search proves nothing.
        assert!(
            server.contains("TRACE") && joiner.contains("TRACE"),
            "{server}"
        );
        let logs = [
            ("server", &server),
            ("initiator", &initiator),
            ("joiner", &joiner),
        ];
        for (whose, log) in logs {
            for (name, secret) in &secrets {
                for (form, needle) in forms(secret) {
                    assert!(
                        !holds(log.as_bytes(), &needle),
                        "the {whose}'s log over {transport} holds the {name} as {form}"
                    );
                }
            }
            // Tickets are JSON Web Tokens; each begins with the encoding of `{"`.
            assert!(
                !log.contains("eyJ"),
                "the {whose}'s log over {transport} holds a ticket"
            );
        }
        for (name, secret) in secrets.iter().filter(|(name, _)| *name != "credential") {
            for (form, needle) in forms(secret) {
                assert!(
                    !holds(&memory, &needle),
                    "the server's memory holds the {name} as {form}"
                );
            }
        }
    }
}
