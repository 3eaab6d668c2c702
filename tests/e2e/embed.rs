//! The server inside another program: the example of `peersox-server`, as a process, with real peers.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::harness::{Peer, example, http_get, noise, quiet, signal, soon};

#[tokio::test]
async fn peers_meet_through_a_server_that_another_program_embeds() {
    let mut command = Command::new(example("embed"));
    command.arg("127.0.0.1:0").stdin(Stdio::null());
    let mut program = quiet(&mut command).spawn().expect("the example starts");
    let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let url = soon(lines.next_line()).await.expect("readable");
    let url = url.expect("it says where it is");
    let shop = url.strip_prefix("http://").expect("plain HTTP").to_owned();

    // Its routes, its fallback, and its middleware around PeerSox, too.
    for (path, status, body) in [
        ("/meetings", "200 OK", "0"),
        ("/nothing", "404 Not Found", "the shop has no such page\n"),
        ("/readyz", "200 OK", "ready\n"),
    ] {
        let told = http_get(&shop, path).await;
        assert!(
            told.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{told}"
        );
        assert!(told.contains("\r\nx-served-by: shop\r\n"), "{told}");
        assert!(told.ends_with(&format!("\r\n\r\n{body}")), "{told}");
    }

    let sent = noise(1_000_000, 1);
    for (met, transport) in [(1, "quic"), (2, "ws")] {
        let mut one = Peer::start(&url, &["connect", "--transport", transport]);
        let code = one.code().await;
        let mut two = Peer::start(&url, &["connect", &code, "--transport", transport]);
        let mut stdin = one.stdin.take().expect("piped");
        let (there, written) = tokio::join!(two.output(), async {
            let written = stdin.write_all(&sent).await;
            drop(stdin);
            written
        });
        written.expect("the peer reads its standard input");
        assert!(there == sent, "over {transport}");
        assert_eq!(
            (one.end().await.0, two.end().await.0),
            (0, 0),
            "over {transport}"
        );
        // Its store saw the code being redeemed.
        let told = http_get(&shop, "/meetings").await;
        assert!(told.ends_with(&format!("\r\n\r\n{met}")), "{told}");
    }

    // It ends as a server does: peers are told.
    let mut waits = Peer::start(&url, &["connect"]);
    waits.code().await;
    signal(&program, "INT");
    let status = soon(program.wait()).await.expect("it can be waited for");
    assert_eq!(status.code(), Some(0));
}
