//! `peersox receive --from NAME --keep`: one transfer after the other from a saved device.

use std::time::Duration;

use serde_json::json;

use crate::args::Receive;
use crate::failure;
use crate::terminal::Voice;
use crate::transfer;

/// Receives until a signal ends it, or until the device is forgotten. A transfer that fails is told of, and
/// the next one is waited for.
pub(crate) async fn receive(args: Receive) -> anyhow::Result<()> {
    let voice = Voice::new(args.remote.json);
    loop {
        let Err(error) = transfer::receive(args.clone()).await else {
            continue;
        };
        let code = failure::code(&error);
        if ENDS.contains(&code) {
            return Err(error);
        }
        let event =
            json!({"event": "transfer_failed", "exit": code, "message": format!("{error:#}")});
        voice.say(
            &format!("peersox: {error:#}; waiting for the next transfer"),
            &event,
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// What no later transfer would mend: wrong usage, a device that is gone, a folder that cannot be used, and
/// standard output that nobody reads.
const ENDS: [u8; 4] = [2, 3, 7, 141];

/// The pause before the server is asked again after a failure.
const PAUSE: Duration = Duration::from_secs(2);
