//! What the examples have in common: how a program ends, and how two devices meet.

use std::error::Error;
use std::process::ExitCode;

use peersox_client::{Code, Invite, Options, Peer, Proof, Server, Step, Trust};

/// Says on standard error what went wrong, if something did.
pub fn exit(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Connects two devices by a code: makes one and shows it on standard error, or takes the one that
/// the other device shows. Returns once the two are connected.
///
/// # Errors
/// A code that is malformed, any error of [`Server`] and [`Peer::attach`], and the peer's end.
pub async fn meet(code: Option<&str>) -> Result<Peer, Box<dyn Error>> {
    let url = std::env::var("PEERSOX_SERVER").unwrap_or_else(|_| "http://localhost:3000".into());
    let server = Server::connect(&url, Trust::default()).await?;
    let options = Options::default();
    let peer = if let Some(typed) = code {
        let code: Code = typed.parse()?;
        let pairing = server.join_pairing(&code.nameplate).await?;
        Peer::attach(server, pairing, Proof::Code(code), options).await?
    } else {
        let mut invite = Invite::new(server, 2, options); // two words, which the server never sees
        loop {
            match invite.next().await? {
                Step::Show(code) => eprintln!("code: {code}"),
                Step::Replaced(_, why) => eprintln!("another code follows: {why}"),
                // Only after `Invite::confirm`.
                Step::Asked(_) => invite.answer(false),
                Step::Met(peer, _pairing) => break peer,
            }
        }
    };
    peer.connected().await?;
    if let Some(secured) = peer.secured() {
        eprintln!("connected; both sides see: {}", secured.phrase);
    }
    Ok(peer)
}
