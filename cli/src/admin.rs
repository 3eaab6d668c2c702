//! How the operator of a server talks to it while it runs: over a Unix socket that nobody else may open.
//!
//! ```text
//! peersox status, pairings, … ── one line of JSON ──► PATH ──► desk ──► the server
//!                             ◄─ one line of JSON ──
//!
//! {"ask":"status"}               {"told":"status","url":…,"sessions":1,"legs":2,…}
//! {"ask":"log","filter":"debug"} {"told":"log","filter":"debug"}
//! {"ask":"pairings"}             {"told":"pairings","pairings":[…],"more":false}
//! {"ask":"revoke","pairing":ID}  {"told":"revoked","found":true}
//! {"ask":"rotate"}               {"told":"rotated","keys":2}
//! {"ask":"drain"}                {"told":"draining"}, and the connection ends with the process
//! else                           {"told":"refused","why":…}
//! ```
//!
//! A connection may ask several things, one after the other.

mod desk;

use std::path::Path;
use std::time::Duration;

use peersox_core::id::PairingId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::BufReader;
use tokio::net::UnixStream;

use crate::args::admin::{Drain, Log, Pairings, Revoke, Rotate, Status};
use crate::failure::Failure;
use crate::nodes;
use crate::share::{hear, tell};
use crate::terminal::{Voice, out, out_json};

pub(crate) use desk::{Desk, Origin};

/// What an operator asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Ask {
    /// How it stands.
    Status,
    /// Another log filter from now on, until the process ends.
    Log { filter: String },
    /// The pairings behind this one, in the order of their names.
    Pairings { after: Option<PairingId> },
    /// To revoke a pairing, as if one of its peers had.
    Revoke { pairing: PairingId },
    /// To sign tickets with another key from now on.
    Rotate,
    /// To stop in good order, as after SIGTERM.
    Drain,
}

/// What a server answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
enum Told {
    Status(Standing),
    Log {
        filter: String,
    },
    Pairings {
        pairings: Vec<Listed>,
        more: bool,
    },
    Revoked {
        found: bool,
    },
    Rotated {
        /// How many keys are believed from now on, the one that signs among them.
        keys: usize,
    },
    Draining,
    /// The question cannot be answered.
    Refused {
        why: String,
    },
    /// The server could not do it.
    Failed {
        why: String,
    },
}

/// A pairing as the operator sees it.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    pairing: PairingId,
    /// Whether its code was redeemed.
    joined: bool,
    initiator_online: bool,
    joiner_online: bool,
    /// Until when it exists if nobody uses it, in milliseconds since the Unix epoch.
    expires_at_millis: u64,
}

/// How a server stands.
#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    version: String,
    pid: u32,
    url: String,
    /// Pairs of which at least one device is attached or waited for.
    sessions: u64,
    /// Connections of devices to the relay.
    legs: u64,
    draining: bool,
    /// The log filter in use.
    log: String,
}

/// `peersox status`.
pub(crate) async fn status(args: Status) -> anyhow::Result<()> {
    let path = match &args.path {
        Some(path) if args.metrics.is_empty() => path,
        _ => return nodes::status(&args.metrics, args.json).await,
    };
    let mut line = Line::to(path).await?;
    let Told::Status(now) = line.ask(&Ask::Status).await? else {
        return Err(line.puzzled().into());
    };
    if args.json {
        return out_json(&serde_json::to_value(&now)?);
    }
    let stopping = if now.draining { ", stopping" } else { "" };
    out(&format!("PeerSox {} at {}{stopping}", now.version, now.url))?;
    out(&format!("sessions: {}, legs: {}", now.sessions, now.legs))?;
    out(&format!("log: {}, process: {}", now.log, now.pid))
}

/// `peersox pairings`.
pub(crate) async fn pairings(args: Pairings) -> anyhow::Result<()> {
    let mut line = Line::to(&args.socket.path).await?;
    let mut after = None;
    loop {
        let told = line.ask(&Ask::Pairings { after }).await?;
        let Told::Pairings { pairings, more } = told else {
            return Err(line.puzzled().into());
        };
        for listed in &pairings {
            match args.json {
                true => out_json(&serde_json::to_value(listed)?)?,
                false => out(&sentence(listed))?,
            }
        }
        after = pairings.last().map(|listed| listed.pairing);
        if !more || after.is_none() {
            return Ok(());
        }
    }
}

fn sentence(listed: &Listed) -> String {
    let state = match (listed.joined, listed.initiator_online, listed.joiner_online) {
        (false, ..) => "waits to be joined",
        (true, true, true) => "both online",
        (true, true, false) => "initiator online",
        (true, false, true) => "joiner online",
        (true, false, false) => "both offline",
    };
    format!("{} {state}", listed.pairing)
}

/// `peersox revoke ID`.
pub(crate) async fn revoke(args: Revoke) -> anyhow::Result<()> {
    let mut line = Line::to(&args.socket.path).await?;
    let pairing = args.pairing;
    match line.ask(&Ask::Revoke { pairing }).await? {
        Told::Revoked { found: true } => Ok(()),
        Told::Revoked { found: false } => {
            Err(Failure::Usage(format!("there is no pairing {pairing}")).into())
        }
        _ => Err(line.puzzled().into()),
    }
}

/// `peersox rotate`.
pub(crate) async fn rotate(args: Rotate) -> anyhow::Result<()> {
    let mut line = Line::to(&args.socket.path).await?;
    let Told::Rotated { keys } = line.ask(&Ask::Rotate).await? else {
        return Err(line.puzzled().into());
    };
    let believed = match keys {
        1 => "no other key is believed".to_owned(),
        keys => format!("{keys} keys are believed"),
    };
    out(&format!("the secret is in use; {believed}"))
}

/// `peersox log FILTER`.
pub(crate) async fn log(args: Log) -> anyhow::Result<()> {
    let mut line = Line::to(&args.socket.path).await?;
    let filter = args.filter;
    match line.ask(&Ask::Log { filter }).await? {
        Told::Log { filter } => out(&filter),
        _ => Err(line.puzzled().into()),
    }
}

/// `peersox drain`: returns when the process of the server has ended.
pub(crate) async fn drain(args: Drain) -> anyhow::Result<()> {
    let mut line = Line::to(&args.socket.path).await?;
    let Told::Draining = line.ask(&Ask::Drain).await? else {
        return Err(line.puzzled().into());
    };
    Voice::new(false).say("the server is stopping", &json!(null));
    // It says nothing more; the connection is closed when the process is gone.
    while let Ok(Some(_)) = hear::<Told>(&mut line.stream).await {}
    Ok(())
}

/// A connection to a server's socket.
struct Line<'a> {
    path: &'a Path,
    stream: BufReader<UnixStream>,
}

impl<'a> Line<'a> {
    async fn to(path: &'a Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).await.map_err(|error| {
            Failure::Unreachable(format!(
                "no server answers on {}: {error}; `peersox serve --admin-socket PATH` makes one listen \
                 there",
                path.display()
            ))
        })?;
        let stream = BufReader::new(stream);
        Ok(Self { path, stream })
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Told, Failure> {
        let answered = async {
            tell(&mut self.stream, ask).await?;
            hear(&mut self.stream).await
        };
        let Ok(answered) = tokio::time::timeout(PATIENCE, answered).await else {
            return Err(self.lost(&format!("it said nothing for {} s", PATIENCE.as_secs())));
        };
        match answered {
            Ok(Some(Told::Refused { why })) => Err(Failure::Usage(why)),
            Ok(Some(Told::Failed { why })) => Err(Failure::Unreachable(why)),
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(self.lost("it ended the connection")),
            Err(error) => Err(self.lost(&error.to_string())),
        }
    }

    fn lost(&self, why: &str) -> Failure {
        let path = self.path.display();
        Failure::Unreachable(format!("the server on {path} did not answer: {why}"))
    }

    fn puzzled(&self) -> Failure {
        self.lost("its answer fits another question")
    }
}

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
