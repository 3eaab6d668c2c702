//! Which relays are measured, and how peers meet there.

use std::net::SocketAddr;
use std::str::FromStr;

use http::Uri;

use crate::args::Transport;

/// A relay: `NAME=FORM@ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) form: Form,
}

/// How peers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By a token of 32 bytes, over TCP: `tcp@HOST:PORT`.
    Tcp(SocketAddr),
    /// By the same path, over WebSocket: `ws@HOST:PORT`, `wss@HOST:PORT`.
    WebSocket(Uri),
    /// By a token, over QUIC: `quic@HOST:PORT`.
    Quic(Uri),
    /// A proxy that connects whoever comes with this port of ours: `proxy/PORT@HOST:PORT`.
    Proxy(SocketAddr, u16),
    /// By a pairing of PeerSox; each peer has its transport: `peersox/ws/quic@URL`.
    PeerSox(Uri, [Transport; 2]),
    /// By a pairing of PeerSox 0.3: `ancestor@URL`.
    Ancestor(Uri),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: write NAME=FORM@ADDRESS, as in a=tcp@127.0.0.1:7000");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (form, address) = rest.split_once('@').ok_or_else(wrong)?;
        let socket = || address.parse::<SocketAddr>().map_err(|_| wrong());
        let uri = |scheme: &str| {
            format!("{scheme}{address}")
                .parse::<Uri>()
                .map_err(|_| wrong())
        };
        let parts: Vec<&str> = form.split('/').collect();
        let form = match parts[..] {
            ["tcp"] => Form::Tcp(socket()?),
            ["ws"] => Form::WebSocket(uri("ws://")?),
            ["wss"] => Form::WebSocket(uri("wss://")?),
            ["quic"] => Form::Quic(uri("https://")?),
            ["proxy", port] => Form::Proxy(socket()?, port.parse().map_err(|_| wrong())?),
            ["ancestor"] => Form::Ancestor(uri("")?),
            ["peersox", one, two] => Form::PeerSox(uri("")?, [transport(one)?, transport(two)?]),
            _ => return Err(wrong()),
        };
        let name = name.to_owned();
        Ok(Self { name, form })
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "ws" => Ok(Transport::Ws),
        "quic" => Ok(Transport::Quic),
        _ => Err(format!("{text}: a leg is ws or quic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let read = |text: &str| text.parse::<Target>().map(|it| it.form);
        let address = "127.0.0.1:7000";
        let at = address.parse().unwrap();
        assert_eq!(read(&format!("a=tcp@{address}")), Ok(Form::Tcp(at)));
        assert_eq!(
            read(&format!("a=proxy/90@{address}")),
            Ok(Form::Proxy(at, 90))
        );
        assert!(
            matches!(read("a=wss@h:1"), Ok(Form::WebSocket(uri)) if uri.scheme_str() == Some("wss"))
        );
        let mixed = read("a=peersox/ws/quic@http://h:1");
        assert!(matches!(
            mixed,
            Ok(Form::PeerSox(_, [Transport::Ws, Transport::Quic]))
        ));
        for wrong in [
            "",
            "tcp@h:1",
            "a=tcp",
            "a=tcp@h",
            "a=x@h:1",
            "a=peersox/ws@http://h",
            "a=proxy/x@h:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
