//! Meeting the other device: showing a code and waiting, typing one, or coming back to a saved one.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use peersox_client::{
    Choice, Code, Error, Options, OsRng, Pairing, PairingEvent, Peer, Presence, Proof, Server,
    Status, Trust, Words,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::args::{NewCode, Partner, Remote, Transport};
use crate::failure::{self, Failure};
use crate::invite;
use crate::saved::{Devices, Name, Saved};
use crate::share;
use crate::terminal::Voice;

/// How to meet.
pub(crate) enum Way<'a> {
    /// Show a code.
    Show(&'a NewCode),
    /// Take the code that the other device shows.
    Typed(&'a [String]),
    /// Come back to a saved device.
    Saved(&'a Name),
}

impl<'a> Way<'a> {
    /// As the command line says.
    pub(crate) fn with(partner: &'a Partner) -> Self {
        Self::of(&partner.code, &partner.new_code, partner.with.as_ref())
    }

    /// A saved device if one is named, a typed code if there is one, else a code to be shown.
    pub(crate) fn of(code: &'a [String], new_code: &'a NewCode, saved: Option<&'a Name>) -> Self {
        match saved {
            Some(name) => Self::Saved(name),
            None if code.is_empty() => Self::Show(new_code),
            None => Self::Typed(code),
        }
    }
}

/// A peer that is connected, and what it would need to come back.
pub(crate) struct Met {
    pub(crate) peer: share::Peer,
    pub(crate) server: String,
    pub(crate) pairing: Pairing,
}

/// Meets the other device: returns once messages flow, or fails when `--wait` is over.
///
/// `command` is what to type on the other device, before the code.
pub(crate) async fn meet(
    remote: &Remote,
    way: Way<'_>,
    command: &str,
    voice: Voice,
) -> anyhow::Result<Met> {
    let deadline = Instant::now() + Duration::from_secs(remote.wait);
    let meeting = async {
        match way {
            Way::Show(new_code) => show_code(remote, new_code, command, voice).await,
            Way::Typed(code) => join(remote, code, voice).await,
            Way::Saved(name) => come_back(remote, name, voice).await,
        }
    };
    match tokio::time::timeout_at(deadline, meeting).await {
        Ok(met) => met,
        Err(_) => {
            Err(Failure::Unreachable("the other device did not appear in time".into()).into())
        }
    }
}

/// Shows a code and waits until the other device has typed it. One that expires is replaced by a new
/// one for as long as it takes; one that was spent by a wrong guess a few times only, because each
/// code is another guess for whoever makes them.
async fn show_code(
    remote: &Remote,
    new_code: &NewCode,
    command: &str,
    voice: Voice,
) -> anyhow::Result<Met> {
    let server = server(remote, remote.server()).await?;
    let mut spent = 0;
    loop {
        let created = server.create_pairing().await.context("cannot get a code")?;
        let words = Words::random(new_code.words.into(), &mut OsRng);
        let code = Code {
            nameplate: created.nameplate,
            words,
        };
        invite::show(&code, &server, command, remote, voice).await?;

        let events = server.watch(&created.pairing).await?;
        let (pairing, proof) = (created.pairing, Proof::Code(code));
        let attached = Peer::attach(server.clone(), pairing.clone(), proof, options(remote));
        let mut peer = attached.await?;
        let followed = voice.follow(&mut peer);
        tokio::select! {
            connected = peer.connected() => match connected {
                Ok(()) => {
                    let peer = share::Peer::Own(peer);
                    return Ok(Met { peer, server: server.url().to_owned(), pairing });
                }
                Err(Error::Burnt(burnt)) if spent < MAX_SPENT => {
                    spent += 1;
                    voice.say(&burnt.to_string(), &json!({"event": "code_spent", "why": burnt.to_string()}));
                }
                Err(error) => return Err(error.into()),
            },
            () = expired(events) => {
                followed.abort();
                voice.say("nobody typed this code in time; here is another", &json!({"event": "code_expired"}));
            }
        }
    }
}

/// Joins the device that shows `code`.
async fn join(remote: &Remote, code: &[String], voice: Voice) -> anyhow::Result<Met> {
    let code: Code = code
        .join(" ")
        .parse()
        .map_err(|malformed| Failure::Usage(format!("this is not a code: {malformed}")))?;
    let server = server(remote, remote.server()).await?;
    let pairing = server.join_pairing(&code.nameplate).await?;
    attach(remote, server, pairing, Proof::Code(code), voice).await
}

/// Comes back to a device that was saved, and waits until it comes back, too.
async fn come_back(remote: &Remote, name: &Name, voice: Voice) -> anyhow::Result<Met> {
    let devices = Devices::of_this_user()?;
    let saved = devices.load(name)?;
    voice.say(
        &format!("waiting for {name}"),
        &json!({"event": "waiting", "for": name.to_string()}),
    );
    let lent = share::guest::attach(&devices, name, remote, voice).await?;
    lent.connected().await.map_err(|error| match error {
        Error::CredentialInvalid => anyhow::Error::new(error).context(format!(
            "{name} was forgotten by the server or by the other side; `peersox forget {name}`"
        )),
        other => failure::server(other),
    })?;
    Ok(Met {
        peer: share::Peer::Lent(lent),
        server: saved.server,
        pairing: saved.pairing,
    })
}

/// Comes back to a saved device, for the process that holds its leg. Returns once this side is attached.
pub(crate) async fn restore(remote: &Remote, saved: Saved) -> anyhow::Result<Peer> {
    let server = server(remote, &saved.server).await?;
    let proof = Proof::Secret(saved.secret);
    Ok(Peer::attach(server, saved.pairing, proof, options(remote)).await?)
}

async fn attach(
    remote: &Remote,
    server: Server,
    pairing: Pairing,
    proof: Proof,
    voice: Voice,
) -> anyhow::Result<Met> {
    let url = server.url().to_owned();
    let mut peer = Peer::attach(server, pairing.clone(), proof, options(remote)).await?;
    voice.follow(&mut peer);
    peer.connected().await?;
    Ok(Met {
        peer: share::Peer::Own(peer),
        server: url,
        pairing,
    })
}

/// Resolves, with what to say, once the other device has been absent for `wait` seconds without a
/// break. A closed lid or a change of networks is no end; a device that never returns is.
pub(crate) async fn absent(mut status: watch::Receiver<Status>, wait: u64) -> anyhow::Error {
    loop {
        let is =
            |presence| move |status: &Status| (status.presence == Presence::Online) == presence;
        if status.wait_for(is(false)).await.is_err() {
            // The peer has ended, and its own reason is better.
            return std::future::pending().await;
        }
        let back = status.wait_for(is(true));
        match tokio::time::timeout(Duration::from_secs(wait), back).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => {
                let text = format!("the other device has been away for {wait} s");
                return Failure::Unreachable(text).into();
            }
        }
    }
}

/// Connects to a server, trusting what the command line says.
pub(crate) async fn server(remote: &Remote, url: &str) -> anyhow::Result<Server> {
    let trust = trust(remote).await?;
    Server::connect(url, trust).await.map_err(failure::server)
}

/// What the command line says about certificates.
pub(crate) async fn trust(remote: &Remote) -> anyhow::Result<Trust> {
    let Some(path) = &remote.ca_cert else {
        return Ok(Trust::default());
    };
    let pem = tokio::fs::read(path).await;
    let pem =
        pem.map_err(|error| Failure::File(format!("cannot read {}: {error}", path.display())))?;
    Ok(Trust::with_pem(pem))
}

fn options(remote: &Remote) -> Options {
    let transport = match remote.transport {
        Transport::Auto => Choice::Auto,
        Transport::Quic => Choice::Only(peersox_client::Transport::Quic),
        Transport::Ws => Choice::Only(peersox_client::Transport::WebSocket),
    };
    Options {
        transport,
        patience: Duration::from_secs(remote.wait),
        ..Options::default()
    }
}

/// How often a code that was spent by a wrong guess is replaced.
const MAX_SPENT: u32 = 2;

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
