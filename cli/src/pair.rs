//! `peersox pair`, `devices` and `forget`: devices that find each other again without a code.
//!
//! ```text
//! initiator                                joiner            channel `peersox.pair`
//!    |  saves, then --- "saved" ------------->|
//!    |<-------------------- "saved" --- saves, too
//! ```
//!
//! Each side says so only once its file is written; a side that does not hear it says that the
//! pairing is of no use and takes its own file away.

use std::time::Duration;

use anyhow::Context as _;
use peersox_client::{Error, Message, Server};
use peersox_core::channel::Priority;
use serde_json::json;

use crate::args::{Forget, Pair, Remote};
use crate::connect::accept;
use crate::failure::Failure;
use crate::fit::Command;
use crate::meet::{self, Met, Way};
use crate::saved::{Devices, Name};
use crate::share::Peer;
use crate::terminal::{Voice, out, out_json};

/// `peersox pair`.
pub(crate) async fn run(args: Pair) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let devices = Devices::of_this_user()?;
    devices.must_be_free(&args.save)?;
    let way = Way::of(&args.code, &args.joiner, &args.new_code, None);
    let met = meet::meet(&args.remote, way, Command::Pair, voice).await?;
    let Met {
        mut peer,
        server,
        pairing,
    } = met;
    let secured = peer
        .secured()
        .context("connected without keys: a defect of this program")?;
    devices.save(&args.save, &server, &pairing, &secured)?;
    let saved = Unagreed {
        devices: &devices,
        name: &args.save,
    };
    // A person presses a button in a page.
    let patience = match peer.is_program() {
        true => PATIENCE,
        false => {
            voice.say(
                "now save this device on the page, too",
                &json!({"event": "waiting_for_page"}),
            );
            Duration::from_secs(args.remote.wait)
        }
    };

    let absent = meet::absent(peer.status(), args.remote.wait);
    let agreeing = async {
        // The server forgets in minutes what nobody asks it to keep.
        let control = meet::server(&args.remote, &server).await?;
        let kept = control.keep(&pairing).await;
        kept.context("the server does not keep the pairing")?;
        agree(&mut peer, args.code.is_empty()).await
    };
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(patience, agreeing) => agreed,
        gone = absent => Ok(Err(gone)),
    };
    agreed.unwrap_or_else(|_| {
        let text = "the other side did not say that it has saved the pairing";
        Err(Failure::Unreachable(text.into()).into())
    })?;
    std::mem::forget(saved);
    let _ = peer.close().await;
    let name = &args.save;
    voice.say_lines(
        &[
            &format!("saved as {name}; from now on, without a code:"),
            &format!("  peersox send --to {name} FILE"),
            &format!("  peersox receive --from {name}"),
        ],
        &json!({"event": "saved", "name": name.to_string()}),
    );
    Ok(())
}

/// A device that only this side has saved so far, which is of no use: dropped, it is taken away again.
struct Unagreed<'a> {
    devices: &'a Devices,
    name: &'a Name,
}

impl Drop for Unagreed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.devices.remove(self.name) {
            tracing::warn!(%error, "a device that was not agreed on is still saved here");
        }
    }
}

async fn agree(peer: &mut Peer, opens: bool) -> anyhow::Result<()> {
    let channel = if opens {
        peer.open(CHANNEL, Priority::Interactive).await?
    } else {
        accept(peer, CHANNEL, Command::Pair).await?
    };
    let (sender, mut receiver) = channel.split();
    sender.send(Message::Text(SAVED.into())).await?;
    sender.finish().await?;
    match receiver.recv().await? {
        Some(Message::Text(text)) if text == SAVED => {}
        Some(_) | None => {
            let text = "the other side could not save the pairing";
            return Err(Failure::Declined(text.into()).into());
        }
    }
    let _ = receiver.recv().await;
    sender.flushed().await?;
    Ok(())
}

/// `peersox devices`.
pub(crate) async fn list(remote: Remote) -> anyhow::Result<()> {
    let devices = Devices::of_this_user()?;
    for name in devices.names()? {
        let (server, state) = match devices.load(&name) {
            Ok(saved) => {
                let state = look(&remote, &saved).await;
                (saved.server, state)
            }
            Err(error) => (String::new(), error.to_string()),
        };
        if remote.json {
            out_json(&json!({"name": name.to_string(), "server": server, "state": state}))?;
        } else {
            out(&format!("{name:<20} {state:<12} {server}"))?;
        }
    }
    Ok(())
}

async fn look(remote: &Remote, saved: &crate::saved::Saved) -> String {
    let looked = async {
        let server = meet::server(remote, &saved.server).await?;
        let credential = saved.pairing.credential.clone();
        let (_, state) = server.restore(credential).await?;
        anyhow::Ok(
            if state.peer_online {
                "online"
            } else {
                "offline"
            }
            .to_owned(),
        )
    };
    match looked.await {
        Ok(state) => state,
        Err(error) if matches!(error.downcast_ref(), Some(Error::CredentialInvalid)) => {
            "gone".into()
        }
        Err(_) => "unreachable".into(),
    }
}

/// `peersox forget`.
pub(crate) async fn forget(args: Forget) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    let devices = Devices::of_this_user()?;
    let saved = devices.load(&args.name)?;
    if !args.local {
        let revoked = async {
            let server: Server = meet::server(&args.remote, &saved.server).await?;
            match server.delete_pairing(&saved.pairing).await {
                Ok(()) | Err(Error::CredentialInvalid) => anyhow::Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        revoked.await.context(
            "the pairing was not revoked, so the other device could still use it; \
             --local forgets it here all the same",
        )?;
    }
    devices.remove(&args.name)?;
    let name = &args.name;
    voice.say(
        &format!("{name} is forgotten"),
        &json!({"event": "forgotten", "name": name.to_string()}),
    );
    Ok(())
}

/// The channel's name.
pub(crate) const CHANNEL: &str = "peersox.pair";

/// What each side says once its file is written.
const SAVED: &str = "saved";

/// How long saving a file may take on the other side.
const PATIENCE: Duration = Duration::from_secs(20);
