//! `peersox status URL`: nodes by the metrics that they serve.

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, quiet, quiet_port, soon};

/// What it prints about these nodes, on both streams, and its exit code.
async fn status(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(binary());
    quiet(command.arg("status").args(arguments));
    let output = soon(command.output()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[tokio::test]
async fn nodes_are_shown_by_their_metrics() {
    let at = format!("127.0.0.1:{}", quiet_port());
    let server = Server::start(&["--metrics-listen", &at]).await;
    let mut waiting = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let _code = waiting.code().await;
    let url = format!("http://{at}");
    let leg = async {
        loop {
            let (exit, said) = status(&[&url, "--json"]).await;
            assert_eq!(exit, 0, "{said}");
            let node: Value = serde_json::from_str(&said).unwrap();
            if node["relay"]["legs"]["websocket"] == 1.0 {
                return node;
            }
        }
    };
    let node = soon(leg).await;
    assert_eq!(node["role"], "all");
    assert_eq!(node["state"], "serving");
    assert_eq!(node["relay"]["sessions"], 1.0);
    assert_eq!(node["relay"]["live"], 0.0);

    // Another one is away: the table has both, and the code says so.
    let away = format!("127.0.0.1:{}", quiet_port());
    let (exit, said) = status(&[&url, &away]).await;
    assert_eq!(exit, 5, "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() > 3, "{said}");
    assert!(
        lines[1].starts_with(&at) && lines[1].contains("serving"),
        "{said}"
    );
    assert!(
        lines[2].starts_with(&away) && lines[2].contains("unreachable"),
        "{said}"
    );

    // What serves something else is no node.
    let (exit, said) = status(&[&server.url()]).await;
    assert_eq!(exit, 5, "{said}");
    for (arguments, expected) in [
        (&[][..], "--admin-socket"),
        (&["https://127.0.0.1:1"], "http://HOST:PORT"),
    ] {
        let (exit, said) = status(arguments).await;
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
