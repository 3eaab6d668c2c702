//! What the examples have in common: how a program ends, and how two devices meet.

use std::error::Error;
use std::process::ExitCode;

use peersox_client::{Code, Options, OsRng, Peer, Proof, Server, Trust, Words};

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
    let (pairing, code) = if let Some(typed) = code {
        let code: Code = typed.parse()?;
        (server.join_pairing(&code.nameplate).await?, code)
    } else {
        let created = server.create_pairing().await?;
        let nameplate = created.nameplate;
        let words = Words::random(2, &mut OsRng); // the server never sees these
        let code = Code { nameplate, words };
        eprintln!("code: {code}");
        (created.pairing, code)
    };
    let peer = Peer::attach(server, pairing, Proof::Code(code), Options::default()).await?;
    peer.connected().await?;
    if let Some(secured) = peer.secured() {
        eprintln!("connected; both sides see: {}", secured.phrase);
    }
    Ok(peer)
}
