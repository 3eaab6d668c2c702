//! Meeting the other device: showing a code and waiting, or typing one.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use peersox_client::{Choice, Error, Options, PairingEvent, Peer, Server, Trust};
use peersox_core::code::{Code, Words};
use rand_core::OsRng;
use serde_json::json;
use tokio::time::Instant;

use crate::args::{NewCode, Remote, Transport};
use crate::failure::Failure;
use crate::qr;
use crate::terminal::Voice;

/// Shows a code and waits until the other device has typed it and messages flow. A code that
/// expires is replaced by a new one until `--wait` is over.
///
/// `command` is what to type on the other device, before the code.
pub(crate) async fn initiate(
    remote: &Remote,
    new_code: &NewCode,
    command: &str,
    voice: Voice,
) -> anyhow::Result<Peer> {
    let server = server(remote).await?;
    let deadline = Instant::now() + Duration::from_secs(remote.wait);
    let meeting = async {
        loop {
            let created = server.create_pairing().await.context("cannot get a code")?;
            let words = Words::random(new_code.words.into(), &mut OsRng);
            let code = Code {
                nameplate: created.nameplate.clone(),
                words,
            };
            show(&code, &server, command, voice);

            let events = server.watch(&created.pairing).await?;
            let mut peer = Peer::attach(server.clone(), created.pairing, options(remote)).await?;
            let followed = voice.follow(&mut peer);
            tokio::select! {
                connected = peer.connected() => {
                    connected?;
                    return Ok(peer);
                }
                () = expired(events) => {
                    followed.abort();
                    voice.say("nobody typed this code in time; here is another", &json!({"event": "code_expired"}));
                }
            }
        }
    };
    in_time(deadline, meeting).await
}

/// Joins the device that shows `code` and waits until messages flow.
pub(crate) async fn join(remote: &Remote, code: &[String], voice: Voice) -> anyhow::Result<Peer> {
    let code: Code = code
        .join(" ")
        .parse()
        .map_err(|malformed| Failure::Usage(format!("this is not a code: {malformed}")))?;
    let server = server(remote).await?;
    let deadline = Instant::now() + Duration::from_secs(remote.wait);
    let meeting = async {
        let pairing = server.join_pairing(&code.nameplate).await?;
        let mut peer = Peer::attach(server, pairing, options(remote)).await?;
        voice.follow(&mut peer);
        peer.connected().await?;
        Ok(peer)
    };
    in_time(deadline, meeting).await
}

/// Why a channel failed, if that is because the peer ended: a channel hears of it first, and only the
/// peer knows the reason that scripts tell failures apart by.
pub(crate) async fn better_reason(peer: &mut Peer, error: anyhow::Error) -> anyhow::Error {
    let told_by_channel = matches!(error.downcast_ref(), Some(Error::Reset(_) | Error::Gone));
    if !told_by_channel {
        return error;
    }
    match tokio::time::timeout(Duration::from_secs(1), peer.ended()).await {
        Ok(Err(reason)) => reason.into(),
        Ok(Ok(())) | Err(_) => error,
    }
}

async fn in_time(
    deadline: Instant,
    meeting: impl Future<Output = anyhow::Result<Peer>>,
) -> anyhow::Result<Peer> {
    match tokio::time::timeout_at(deadline, meeting).await {
        Ok(met) => met,
        Err(_) => {
            Err(Failure::Unreachable("the other device did not appear in time".into()).into())
        }
    }
}

async fn server(remote: &Remote) -> anyhow::Result<Server> {
    let trust = match &remote.ca_cert {
        Some(path) => {
            let pem = tokio::fs::read(path).await;
            let pem = pem.map_err(|error| {
                Failure::File(format!("cannot read {}: {error}", path.display()))
            })?;
            Trust::with_pem(pem)
        }
        None => Trust::default(),
    };
    match Server::connect(&remote.server, trust).await {
        Err(error @ Error::Unreachable { .. }) => Err(anyhow::Error::new(error).context(
            "is it running? start one with `peersox serve`, or name another with --server",
        )),
        other => Ok(other?),
    }
}

fn options(remote: &Remote) -> Options {
    let transport = match remote.transport {
        Transport::Auto => Choice::Auto,
        Transport::Quic => Choice::Only(peersox_client::Transport::Quic),
        Transport::Ws => Choice::Only(peersox_client::Transport::WebSocket),
    };
    Options {
        transport,
        ..Options::default()
    }
}

fn show(code: &Code, server: &Server, command: &str, voice: Voice) {
    let text = code.canonical();
    let other = if server.url().trim_end_matches('/') == "http://localhost:3000" {
        String::new()
    } else {
        format!("--server {} ", server.url())
    };
    if voice.has_terminal() {
        let link = format!("{}/#{}", server.url().trim_end_matches('/'), *text);
        if let Some(picture) = qr::render(&link) {
            voice.say(&picture, &json!(null));
        }
    }
    voice.say(
        &format!(
            "code: {}\non the other device: peersox {command} {other}{}",
            *text, *text
        ),
        &json!({"event": "code", "code": *text}),
    );
}

/// Resolves when the code has expired; a stream that breaks tells nothing.
async fn expired(events: impl Stream<Item = Result<PairingEvent, Error>>) {
    let mut events = std::pin::pin!(events);
    while let Some(Ok(event)) = events.next().await {
        if event == PairingEvent::Expired {
            return;
        }
    }
    std::future::pending().await
}
