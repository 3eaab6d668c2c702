//! Meeting the other device: showing a code and waiting, typing one, or coming back to a saved one.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use peersox_client::{
    AGENT, Burnt, Choice, Code, DirectMode, Error, Invite, Options, Pairing, PathKind, Peer,
    Presence, Proof, Replaced, Server, Status, Step, Terms, Trust, Why,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::args::{Joiner, NewCode, Partner, Paths, Remote, Transport};
use crate::confirm::Question;
use crate::failure::{self, Failure};
use crate::fit::Command;
use crate::invite;
use crate::saved::{Devices, Name, Saved};
use crate::share;
use crate::signals::spawn_goodbye;
use crate::telemetry;
use crate::terminal::Voice;

/// How to meet.
pub(crate) enum Way<'a> {
    /// Show a code.
    Show(&'a NewCode),
    /// Take the code that the other device shows.
    Typed(&'a [String], &'a Joiner),
    /// Come back to a saved device.
    Saved(&'a Name),
}

impl<'a> Way<'a> {
    /// As the command line says.
    pub(crate) fn with(partner: &'a Partner) -> Self {
        let Partner {
            code,
            joiner,
            new_code,
            ..
        } = partner;
        Self::of(code, joiner, new_code, partner.with.as_ref())
    }

    /// A saved device if one is named, a typed code if there is one, else a code to be shown.
    pub(crate) fn of(
        code: &'a [String],
        joiner: &'a Joiner,
        new_code: &'a NewCode,
        saved: Option<&'a Name>,
    ) -> Self {
        match code {
            [] => Self::to(new_code, saved),
            code => saved.map_or(Self::Typed(code, joiner), Self::Saved),
        }
    }

    /// A saved device if one is named, else a code to be shown.
    pub(crate) fn to(new_code: &'a NewCode, saved: Option<&'a Name>) -> Self {
        saved.map_or(Self::Show(new_code), Self::Saved)
    }
}

/// A peer that is connected, and what it would need to come back.
pub(crate) struct Met {
    pub(crate) peer: share::Peer,
    pub(crate) server: String,
    pub(crate) pairing: Pairing,
}

/// Meets the other device: returns once messages flow, or fails when `--wait` is over, or when the command
/// there does not belong to `ours`. Both sides know that by each other's hello, and both end.
pub(crate) async fn meet(
    remote: &Remote,
    way: Way<'_>,
    ours: Command,
    voice: Voice,
) -> anyhow::Result<Met> {
    let deadline = Instant::now() + Duration::from_secs(remote.wait);
    let meeting = async {
        match way {
            Way::Show(new_code) => show_code(remote, new_code, ours, voice).await,
            Way::Typed(code, joiner) => join(remote, code, joiner, ours, voice).await,
            Way::Saved(name) => come_back(remote, name, voice).await,
        }
    };
    let Ok(met) = tokio::time::timeout_at(deadline, meeting).await else {
        return Err(Failure::Unreachable("the other device did not appear in time".into()).into());
    };
    let met = met?;
    let agent = met.peer.secured().map(|it| it.agent);
    if let Err(unfit) = ours.must_fit_agent(agent.as_deref().unwrap_or_default()) {
        // The other side ends by itself, and is not waited for.
        let _ = tokio::time::timeout(FAREWELL, met.peer.close()).await;
        return Err(unfit.into());
    }
    if remote.path == Paths::Direct
        && let Err(none) = directly(&met.peer).await
    {
        let _ = tokio::time::timeout(FAREWELL, met.peer.close()).await;
        return Err(none);
    }
    Ok(met)
}

/// Waits until messages take a direct path.
async fn directly(peer: &share::Peer) -> anyhow::Result<()> {
    let mut status = peer.status();
    let is_direct = |status: &Status| status.path == Some(PathKind::Direct);
    // A holder that keeps to the relay will not look for one.
    let is_off = |status: &Status| status.why_relayed == Some(Why::Off);
    let waiting = status.wait_for(|status| is_direct(status) || is_off(status));
    match tokio::time::timeout(DIRECTLY, waiting).await {
        Ok(Ok(status)) if is_direct(&status) => return Ok(()),
        Ok(Err(_)) => return Ok(peer.ended().await?),
        Ok(Ok(_)) | Err(_) => {}
    }
    let why = status.borrow().why_relayed;
    let why = why.map_or("it was not found in time", Why::text);
    let text =
        format!("there is no direct path to the other device ({why}); --path auto takes the relay");
    Err(Failure::Unreachable(text).into())
}

/// Shows a code and waits until the other device has typed it. The rules are those of [`Invite`]: one code
/// for as long as the server knows it, and no more than three that took a message of the other side, because
/// each of them is a guess for whoever makes them.
async fn show_code(
    remote: &Remote,
    new_code: &NewCode,
    ours: Command,
    voice: Voice,
) -> anyhow::Result<Met> {
    let server = server(remote, remote.server()).await?;
    let mut invite = Invite::new(
        server.clone(),
        new_code.words.into(),
        options(remote, Some(ours)),
    );
    if new_code.confirm {
        invite = invite.confirm();
    }
    let mut waiting = Waiting::new(&server);
    let mut followed = None;
    let mut question = Question::default();
    loop {
        let step = tokio::select! {
            step = invite.next() => step,
            yes = question.answer(voice) => {
                invite.answer(yes);
                continue;
            }
        };
        let step = match step {
            Err(Error::NobodyLetIn) => return Err(question.refusal().into()),
            step => step.context("no code is shown any more")?,
        };
        match step {
            Step::Show(code) => {
                invite::show(&code, &server, ours.other(), remote, voice).await?;
                if let Some((peer, pairing)) = invite.shown() {
                    waiting.holds(pairing.clone(), peer.status());
                    followed = Some(voice.follow(peer));
                }
            }
            Step::Asked(label) => question.begin(label.as_ref(), voice),
            Step::Replaced(why, error) => {
                waiting.is_over();
                if let Some(followed) = followed.take() {
                    followed.abort();
                }
                match why {
                    Replaced::Used => voice.say(
                        &format!("{}; another code follows", spent(&error)),
                        &json!({"event": "code_spent", "why": error.to_string()}),
                    ),
                    Replaced::Gone if error == Error::NobodyLetIn => voice.say(
                        "the other device was gone before it could be let in; another code follows",
                        &json!({"event": "code_expired"}),
                    ),
                    Replaced::Gone => voice.say(
                        "the server does not know this code any more; another one follows",
                        &json!({"event": "code_expired"}),
                    ),
                }
            }
            Step::Met(peer, pairing) => {
                waiting.is_over();
                return Ok(Met {
                    peer: share::Peer::Own(peer),
                    server: server.url().to_owned(),
                    pairing,
                });
            }
        }
    }
}

/// Why a code is spent, for whoever gets another one at once.
fn spent(error: &Error) -> String {
    match error {
        Error::Burnt(Burnt::Mismatch) => {
            "the codes differ: somebody mistyped, or tried to guess".into()
        }
        Error::Burnt(Burnt::Restarted) => {
            "the pairing was interrupted half-way, or somebody else tried the code".into()
        }
        other => other.to_string(),
    }
}

/// Takes back a code that nobody has typed yet when the command ends, so that whoever types it later hears at
/// once that nobody waits. Dropping it asks the server in a task of its own, for which an interrupted command
/// waits.
struct Waiting {
    server: Server,
    held: Option<(Pairing, watch::Receiver<Status>)>,
}

impl Waiting {
    fn new(server: &Server) -> Self {
        Self {
            server: server.clone(),
            held: None,
        }
    }

    fn holds(&mut self, pairing: Pairing, status: watch::Receiver<Status>) {
        self.held = Some((pairing, status));
    }

    fn is_over(&mut self) {
        self.held = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some((pairing, status)) = self.held.take() else {
            return;
        };
        let status = *status.borrow();
        // The other device is there, and hears that this one hangs up.
        if status.presence != Presence::Absent || status.code_used {
            return;
        }
        let server = self.server.clone();
        if tokio::runtime::Handle::try_current().is_ok() {
            spawn_goodbye(async move {
                if let Err(error) = server.delete_pairing(&pairing).await {
                    tracing::debug!(%error, "the code was not taken back");
                }
            });
        }
    }
}

/// Joins the device that shows `code`.
async fn join(
    remote: &Remote,
    code: &[String],
    joiner: &Joiner,
    ours: Command,
    voice: Voice,
) -> anyhow::Result<Met> {
    let code: Code = code
        .join(" ")
        .parse()
        .map_err(|malformed| Failure::Usage(format!("this is not a code: {malformed}")))?;
    let server = server(remote, remote.server()).await?;
    let terms = Terms {
        ephemeral: true,
        label: joiner.label.0.clone(),
        ..Terms::default()
    };
    let pairing = server.join_pairing_on(&code.nameplate, &terms).await?;
    let url = server.url().to_owned();
    let mut waiting = Waiting::new(&server);
    let (proof, options) = (Proof::Code(code), options(remote, Some(ours)));
    let mut peer = Peer::start(server, pairing.clone(), proof, options)?;
    voice.follow(&mut peer);
    if pairing.is_unconfirmed() {
        voice.say(
            "waiting for the other device to let this one in",
            &json!({"event": "waiting_to_be_let_in"}),
        );
        // Whoever gives up takes the question back.
        waiting.holds(pairing.clone(), peer.status());
    }
    peer.attached().await?;
    waiting.is_over();
    // That the other device is there is told a moment after this one is attached.
    let mut status = peer.status();
    let there = status.wait_for(|status| status.presence != Presence::Absent);
    if tokio::time::timeout(GLANCE, there).await.is_err() {
        voice.say(
            "waiting for the device that shows the code",
            &json!({"event": "waiting", "for": null}),
        );
    }
    peer.connected().await?;
    Ok(Met {
        peer: share::Peer::Own(peer),
        server: url,
        pairing,
    })
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
    if remote.path == Paths::Relay && lent.looks_for_direct_paths() {
        return Err(Failure::Usage(format!(
            "another command uses {name} with direct paths: end it, or give it --path relay"
        ))
        .into());
    }
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
    Ok(Peer::attach(server, saved.pairing, proof, options(remote, None)).await?)
}

/// Resolves, with what to say, once the other device has been absent for `wait` seconds without a
/// break. A closed lid or a change of networks is no end; a device that never returns is.
pub(crate) async fn absent(mut status: watch::Receiver<Status>, wait: u64) -> anyhow::Error {
    loop {
        let is = |there| {
            move |status: &Status| {
                let is_direct = status.path == Some(PathKind::Direct);
                (is_direct || status.presence == Presence::Online) == there
            }
        };
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
    let file = remote.credential.auth_token_file.as_deref();
    let token = file.map(peersox_server::access::read_credential);
    let token = token.transpose();
    let token = token.map_err(|error| Failure::File(error.to_string()))?;
    let server = Server::connect(url, trust).await.map_err(failure::server)?;
    let server = in_trace(server);
    Ok(match token {
        None => server,
        Some(token) => server.with_token(&token)?,
    })
}

/// Says to a server which trace this run of a command belongs to, if it belongs to one.
pub(crate) fn in_trace(server: Server) -> Server {
    match telemetry::trace() {
        Some(trace) => server.in_trace(trace.clone()),
        None => server,
    }
}

/// What the command line says about certificates.
pub(crate) async fn trust(remote: &Remote) -> anyhow::Result<Trust> {
    trust_in(remote.ca_cert.as_deref()).await
}

/// Trusts the authorities in this file, if there is one, beside those of the machine.
pub(crate) async fn trust_in(file: Option<&Path>) -> anyhow::Result<Trust> {
    let Some(path) = file else {
        return Ok(Trust::default());
    };
    let pem = tokio::fs::read(path).await;
    let pem =
        pem.map_err(|error| Failure::File(format!("cannot read {}: {error}", path.display())))?;
    Ok(Trust::with_pem(pem))
}

/// What the command line says, for a peer of one command, which is met once, or for one that is saved.
fn options(remote: &Remote, once: Option<Command>) -> Options {
    let transport = match remote.transport {
        Transport::Auto => Choice::Auto,
        Transport::Quic => Choice::Only(peersox_client::Transport::Quic),
        Transport::Ws => Choice::Only(peersox_client::Transport::WebSocket),
    };
    Options {
        transport,
        direct: match remote.path {
            Paths::Relay => DirectMode::Off,
            Paths::Auto | Paths::Direct => DirectMode::Auto,
        },
        patience: Duration::from_secs(remote.wait),
        once: once.is_some(),
        agent: once.map_or_else(|| AGENT.to_owned(), Command::agent),
        ..Options::default()
    }
}

/// How long a direct path is waited for: an attempt is given up after fifteen seconds.
const DIRECTLY: Duration = Duration::from_secs(20);
/// How long a device that is there may take to be seen before this one says that it waits for it.
const GLANCE: Duration = Duration::from_secs(1);
/// How long the other side may take to hear that this one ends.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);
