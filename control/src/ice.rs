//! Servers for ICE, and the right to use them.
//!
//! A TURN server carries traffic for whoever has a user name and a password. This one and the TURN
//! server share a secret, and no connection (`draft-uberti-behave-turn-rest-00`; `use-auth-secret`
//! of coturn):
//!
//! ```text
//! peer ◄─ OpenSession ─ control       username   = seconds of expiry ":" random hex
//!                                     credential = base64(HMAC-SHA1(secret, username))
//! peer ── Allocate ───► TURN server   computes the same, and refuses what is over
//! ```

use std::str::FromStr;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use peersox_core::time::Timestamp;
use peersox_proto::v1::IceServer;
use rand_core::RngCore;
use ring::hmac;
use url::Host;

/// The servers of a deployment, and a secret if and only if a TURN server is among them.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    urls: Vec<ServerUrl>,
    secret: Option<Secret>,
    lifetime: Duration,
}

impl Servers {
    /// Keeps the order, which is the operator's. Credentials are valid for `lifetime`, and whoever
    /// gets hold of them can use the TURN server for no longer.
    ///
    /// # Errors
    /// [`Mismatch`] if there is a TURN server without a secret, or a secret without a TURN server.
    pub fn new(
        urls: Vec<ServerUrl>,
        secret: Option<Secret>,
        lifetime: Duration,
    ) -> Result<Self, Mismatch> {
        match (urls.iter().find(|url| url.turn), &secret) {
            (Some(url), None) => Err(Mismatch::NoSecret(url.text.clone())),
            (None, Some(_)) => Err(Mismatch::NoTurn),
            (Some(_), Some(_)) | (None, None) => Ok(Self {
                urls,
                secret,
                lifetime,
            }),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// What a peer is told: all servers, and credentials of its own for those of TURN.
    #[must_use]
    pub fn hand_out(&self, now: Timestamp, rng: &mut impl RngCore) -> Vec<IceServer> {
        let granted = self.secret.as_ref().map(|secret| {
            let mut user = [0; 8];
            rng.fill_bytes(&mut user);
            secret.grant(now + self.lifetime, user)
        });
        let servers = self.urls.iter().map(|url| {
            let granted = granted.clone().filter(|_| url.turn);
            let (username, credential) = granted.unwrap_or_default();
            IceServer {
                urls: vec![url.text.clone()],
                username,
                credential,
            }
        });
        servers.collect()
    }
}

/// Servers and secret do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No browser takes a TURN server without credentials.
    #[error("`{0}` needs the secret that it shares with this server")]
    NoSecret(String),
    /// Somebody expects a TURN server to be handed out.
    #[error("there is a secret for TURN servers, but no TURN server")]
    NoTurn,
}

/// What this server shares with its TURN servers: `static-auth-secret` of coturn.
#[derive(Clone, Debug)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads the content of a file: one line, which may end with a newline.
    ///
    /// # Errors
    /// [`BadSecret`] if it is empty or has several lines.
    pub fn parse(content: &[u8]) -> Result<Self, BadSecret> {
        let line = content.strip_suffix(b"\n").unwrap_or(content);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(BadSecret::Empty);
        }
        if line.contains(&b'\n') {
            return Err(BadSecret::SeveralLines);
        }
        // What the protocol says, for which collisions of SHA-1 do not matter.
        let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        Ok(Self(hmac::Key::new(algorithm, line)))
    }

    /// User name and password, valid until `end`. `user` tells one from the other for the TURN
    /// server's quotas and log, and says nothing about the peer.
    fn grant(&self, end: Timestamp, user: [u8; 8]) -> (String, String) {
        let expiry = end.as_millis() / 1000;
        let username = format!("{expiry}:{}", HEXLOWER.encode(&user));
        let credential = BASE64.encode(hmac::sign(&self.0, username.as_bytes()).as_ref());
        (username, credential)
    }
}

/// A file does not hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Anybody could calculate with it.
    #[error("it is empty; it has to hold the secret of the TURN server (static-auth-secret)")]
    Empty,
    /// It may be the TURN server's whole configuration.
    #[error(
        "it has several lines; it has to hold nothing but the secret of the TURN server \
         (static-auth-secret)"
    )]
    SeveralLines,
}

/// The address of a server: `stun:` and `stuns:` of RFC 7064, `turn:` and `turns:` of RFC 7065.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    turn: bool,
}

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(BadServerUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        let turn = match scheme.as_str() {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(BadServerUrl),
        };
        let address = match rest.split_once('?') {
            None => rest,
            Some((address, "transport=udp" | "transport=tcp")) if turn => address,
            Some(_) => return Err(BadServerUrl),
        };
        if !is_address(address) {
            return Err(BadServerUrl);
        }
        Ok(Self {
            text: format!("{scheme}:{rest}"),
            turn,
        })
    }
}

/// Whether this is a host, and a port if there is a colon after it.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // A colon inside brackets is one of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_port = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u16>().is_ok_and(|port| port > 0)
    };
    // The parser decodes what is escaped and converts other scripts; browsers are handed the text.
    let is_host = host.is_ascii() && !host.contains('%') && Host::parse(host).is_ok();
    is_host && port.is_none_or(is_port)
}

/// Something is not the address of a server for ICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write it as in stun:stun.example, turn:turn.example:3478?transport=udp or \
     turns:turn.example:5349"
)]
pub struct BadServerUrl;

#[cfg(test)]
mod tests {
    use super::*;

    /// Calculated with openssl and python:
    /// `printf 1790043200:0102030405060708 | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn credentials_follow_from_secret_time_and_user() {
        let secret = Secret::parse(b"north\n").unwrap();
        // A part of a second does not count.
        let end = Timestamp::from_millis(1_790_043_200_999);
        let (username, credential) = secret.grant(end, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(username, "1790043200:0102030405060708");
        assert_eq!(credential, "cFpIu9Zl7enz3gYnlGPKoMDsRH8=");
    }

    #[test]
    fn a_secret_is_one_line() {
        let grant = |content: &[u8]| {
            let secret = Secret::parse(content)?;
            Ok::<_, BadSecret>(secret.grant(Timestamp::from_millis(0), [0; 8]))
        };
        for same in [&b"north\n"[..], b"north\r\n"] {
            assert_eq!(grant(same), grant(b"north"));
        }
        assert_ne!(grant(b" north"), grant(b"north"));
        for empty in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(grant(empty), Err(BadSecret::Empty));
        }
        for several in [&b"north\n\n"[..], b"north\nsouth"] {
            assert_eq!(grant(several), Err(BadSecret::SeveralLines));
        }
        let shown = format!("{:?}", Secret::parse(b"north"));
        assert!(!shown.contains("north"), "{shown}");
    }

    #[test]
    fn turn_and_secret_go_together() {
        let new = |urls: &[&str], secret: Option<&[u8]>| {
            let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
            let secret = secret.map(|content| Secret::parse(content).unwrap());
            Servers::new(urls, secret, Duration::from_secs(1)).map(drop)
        };
        let secret = Some(&b"north"[..]);
        for (urls, secret, expected) in [
            (&[][..], None, Ok(())),
            (&["stun:a"], None, Ok(())),
            (&["stun:a", "turns:b"], secret, Ok(())),
            (
                &["stun:a", "turns:b"],
                None,
                Err(Mismatch::NoSecret("turns:b".to_owned())),
            ),
            (&["stun:a"], secret, Err(Mismatch::NoTurn)),
            (&[], secret, Err(Mismatch::NoTurn)),
        ] {
            assert_eq!(new(urls, secret), expected, "{urls:?}");
        }
    }

    #[test]
    fn addresses_are_those_of_the_rfcs() {
        for (text, turn) in [
            ("stun:stun.example", false),
            ("stuns:stun.example:5349", false),
            ("stun:[::1]", false),
            ("stun:192.0.2.1:65535", false),
            ("turn:turn_1.example:1", true),
            ("turn:[2001:db8::1]:3478?transport=udp", true),
            ("turns:turn.example?transport=tcp", true),
        ] {
            let text = text.to_owned();
            assert_eq!(text.parse(), Ok(ServerUrl { text, turn }));
        }
        let shouted: ServerUrl = "TURN:T.example".parse().unwrap();
        assert_eq!(
            (shouted.text.as_str(), shouted.turn),
            ("turn:T.example", true)
        );

        for text in [
            "",
            "stun",
            "stun:",
            "turn::3478",
            "turn.example:3478",
            "http://turn.example",
            "turn://turn.example",
            "turn:turn.example/path",
            "turn:user@turn.example",
            "turn:user:word@turn.example",
            "turn:a b",
            "turn:a%2eb",
            "turn:ä.example",
            "turn:192.0.2.256",
            "turn:::1",
            "turn:[::1",
            "turn:[::1]3478",
            "turn:[turn.example]",
            "turn:turn.example:",
            "turn:turn.example:0",
            "turn:turn.example:+1",
            "turn:turn.example:65536",
            "turn:turn.example:3478:3478",
            "stun:stun.example?transport=udp",
            "turn:turn.example?",
            "turn:turn.example?transport=sctp",
            "turn:turn.example?transport=udp&x=y",
            "turn:turn.example#f",
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(BadServerUrl), "{text}");
        }
    }
}
