//! The secret that tickets are signed with is replaced while a server runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Server, binary, http_get, noise, soon};
use crate::nodes::{Pair, Service, ask};

/// The public keys that a server shows, the one that signs first.
async fn keys(server: &Server) -> Vec<String> {
    let answer = http_get(&server.address(), "/.well-known/jwks.json").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let set: Value = serde_json::from_str(body).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["x"].as_str().unwrap().to_owned())
        .collect()
}

/// Writes a file of secrets: a byte for each, that all of it is.
fn write(path: impl AsRef<Path>, secrets: &[&str]) {
    let lines: Vec<_> = secrets.iter().map(|byte| byte.repeat(32)).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// Three steps, each at all nodes: the new secret is believed, then it signs, then the old one is forgotten.
/// Whoever is connected notices nothing, and whoever comes meets at any node.
#[tokio::test]
async fn the_secret_of_several_nodes_is_replaced_without_a_gap() {
    let service = Service::new();
    let mut controls = Vec::new();
    for name in ["one", "two"] {
        let socket = service.path(name);
        controls.push(service.control_with(0, &["--admin-socket", &socket]).await);
    }
    let relay = service.relay("only", &controls).await;
    let mut before = Pair::connect(&controls[0], &controls[1], "ws").await;
    let old = keys(&controls[0]).await;
    assert_eq!(keys(&controls[1]).await, old);

    for (secrets, believed) in [(&["3d", "5e"][..], 2), (&["5e", "3d"], 2), (&["5e"], 1)] {
        write(service.path("secret"), secrets);
        for (at, name) in ["one", "two"].into_iter().enumerate() {
            let said = ask(&service.path(name), &["rotate"]).await;
            assert!(said.contains("the secret is in use"), "{said}");
            assert_eq!(keys(&controls[at]).await.len(), believed);
            // One node has done it, and the other not yet.
            let mut meets = Pair::connect(&controls[0], &controls[1], "quic").await;
            meets.carry(&noise(50_000, 1)).await;
            meets.end().await;
        }
    }
    let new = keys(&controls[0]).await;
    assert_eq!(keys(&controls[1]).await, new);
    assert!(new.len() == 1 && new != old, "{old:?}, {new:?}");
    before.carry(&noise(50_000, 2)).await;
    assert!(before.was_unbroken().await);

    // What is not good is not used.
    write(service.path("secret"), &["5e", "6"]);
    let mut command = Command::new(binary());
    command.args(["rotate", "--admin-socket", &service.path("one")]);
    let refused = soon(command.output()).await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("line 2 is not 64"), "{said}");
    assert_eq!(keys(&controls[0]).await, new);
    drop(relay);
}

/// A server with a state file draws its secrets itself, and the next process has the latest.
#[tokio::test]
async fn a_secret_that_was_drawn_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name).to_str().unwrap().to_owned();
    let (state, socket) = (path("state"), path("admin"));
    let options = ["--state", &state, "--admin-socket", &socket];
    let server = Server::start(&options).await;
    let port = server.port;
    let mut before = Pair::connect(&server, &server, "ws").await;
    let first = keys(&server).await;
    let said = ask(&socket, &["rotate"]).await;
    assert!(said.contains("2 keys are believed"), "{said}");
    let second = keys(&server).await;
    assert_eq!(second[1..], first[..], "its tickets live on");
    let mut after = Pair::connect(&server, &server, "quic").await;
    for pair in [&mut before, &mut after] {
        pair.carry(&noise(50_000, 3)).await;
    }

    // Tickets of a former key are replaced by new ones.
    server.kill().await;
    let server = Server::start_at(port, &options).await;
    assert_eq!(keys(&server).await, second[..1]);
    for pair in [&mut before, &mut after] {
        pair.is_connected_again().await;
        pair.carry(&noise(50_000, 4)).await;
    }
    before.end().await;
    after.end().await;
}
