//! What the person at this device carries to the other one: a code, the command to type there, and a picture
//! of the link that a phone's camera reads.

use std::time::Duration;

use indicatif::HumanDuration;
use peersox_client::{Code, Server};
use serde_json::json;

use crate::args::Remote;
use crate::fit::Command;
use crate::meet;
use crate::qr;
use crate::reach::Reach;
use crate::terminal::Voice;

/// Shows a code, how long this device waits for it, and how to use it, with `command` on the
/// other device. What is shown for the other device works there: a server that was named by a local address
/// is called by an address in the network.
pub(crate) async fn show(
    code: &Code,
    server: &Server,
    command: Command,
    remote: &Remote,
    voice: Voice,
) -> anyhow::Result<()> {
    let text = code.canonical();
    let reach = Reach::of(server, &meet::trust(remote).await?).await;
    let url = reach.url();
    let link = format!("{url}/#{}", *text);
    if let Reach::By(_) = reach
        && !remote.no_qr
        && voice.has_terminal()
        && let Some(picture) = qr::draw(&link)
    {
        voice.draw(&picture);
    }
    let command = format!(
        "on the other device: peersox {} --server {url} {}",
        command.typed(),
        *text
    );
    let link_or_why = match reach {
        Reach::By(_) => format!("or in a browser: {link}"),
        Reach::ThisMachineOnly(_) => format!(
            "(the server at {url} listens for this machine only; `peersox serve --listen \
             [::]:PORT` lets other devices reach it)"
        ),
    };
    voice.say_lines(
        &[
            &format!("code: {}", *text),
            &command,
            &link_or_why,
            &format!(
                "this device waits {} for it; --wait SECONDS waits longer",
                HumanDuration(Duration::from_secs(remote.wait))
            ),
        ],
        &json!({"event": "code", "code": *text, "server": url, "link": link,
                "wait": remote.wait}),
    );
    Ok(())
}
