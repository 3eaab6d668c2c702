//! The session descriptions of WebRTC that a native program reads and writes: one section, of data channels.
//!
//! ```text
//! m=application 9 UDP/DTLS/SCTP webrtc-datachannel             RFC 8841, section 5
//! a=mid:0                                                      RFC 5888, section 4
//! a=setup:actpass                                              RFC 8842, section 5.2
//! a=ice-ufrag … a=ice-pwd … a=fingerprint …                    as in a Description
//! a=sctp-port:5000                                             RFC 8841, section 6
//! a=max-message-size:262144                                    RFC 8841, section 6
//! ```

use std::fmt;
use std::str::FromStr;

use super::description::{Description, Malformed, set};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSession {
    /// Credentials of ICE, and the digest of the certificate.
    pub description: Description,
    /// Who begins the handshake of DTLS.
    pub setup: Setup,
    /// The name of the section: an answer repeats that of the offer.
    pub mid: String,
    /// One more for each description of a side (RFC 8829, section 5.2.2).
    pub version: u32,
}

/// Who begins the handshake of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The other side decides, which an offer says.
    ActPass,
    /// This side.
    Active,
    /// The other side.
    Passive,
}

impl Setup {
    /// What an answer says to this. The side that answers begins where it may, so that no time is lost.
    #[must_use]
    pub const fn answer(self) -> Self {
        match self {
            Self::ActPass | Self::Passive => Self::Active,
            Self::Active => Self::Passive,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl FromStr for DataSession {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let description = Description::read(text, LONGEST)?;
        let (mut section, mut mid, mut setup, mut port, mut size) = (None, None, None, None, None);
        let mut version = 0;
        for line in text.lines() {
            if let Some(media) = line.strip_prefix("m=") {
                set(&mut section, "m", is_data_channel(media).then_some(()))?;
            } else if let Some(origin) = line.strip_prefix("o=") {
                // Only the side that writes it has a use for it: what is no number counts as 0.
                let number = origin.split(' ').nth(2);
                version = number.and_then(|it| it.parse().ok()).unwrap_or(0);
            } else if let Some((name, value)) =
                line.strip_prefix("a=").and_then(|it| it.split_once(':'))
            {
                match name {
                    MID => set(&mut mid, MID, token(value))?,
                    SETUP => set(&mut setup, SETUP, setup_of(value))?,
                    PORT => set(&mut port, PORT, (value == SCTP_PORT).then_some(()))?,
                    SIZE => set(&mut size, SIZE, holds_frames(value).then_some(()))?,
                    _ => {}
                }
            }
        }
        section.ok_or(Malformed::Line("m"))?;
        port.ok_or(Malformed::Line(PORT))?;
        Ok(Self {
            description,
            setup: setup.ok_or(Malformed::Line(SETUP))?,
            mid: mid.ok_or(Malformed::Line(MID))?,
            version,
        })
    }
}

impl fmt::Display for DataSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            description,
            setup,
            mid,
            version,
        } = self;
        // A number that stays the same for as long as the certificate does.
        let [a, b, c, d, ..] = description.fingerprint;
        let id = u32::from_be_bytes([a, b, c, d]);
        write!(
            f,
            "v=0\r\no=- {id} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        )?;
        write!(f, "a=group:BUNDLE {mid}\r\n")?;
        write!(
            f,
            "m=application 9 {PROTOCOL} {FORMAT}\r\nc=IN IP4 0.0.0.0\r\n"
        )?;
        write!(f, "a={MID}:{mid}\r\na={SETUP}:{}\r\n", setup.as_str())?;
        write!(f, "{description}a=ice-options:trickle\r\n")?;
        write!(f, "a={PORT}:{SCTP_PORT}\r\na={SIZE}:{LARGEST_MESSAGE}\r\n")
    }
}

fn is_data_channel(media: &str) -> bool {
    let mut words = media.split(' ');
    // The second one is a port that means nothing with ICE.
    words.next() == Some("application")
        && words.nth(1) == Some(PROTOCOL)
        && words.next() == Some(FORMAT)
}

fn setup_of(value: &str) -> Option<Setup> {
    let all = [Setup::ActPass, Setup::Active, Setup::Passive];
    all.into_iter().find(|it| it.as_str() == value)
}

/// A name of a section, in letters that are safe to repeat.
fn token(value: &str) -> Option<String> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.{}".contains(&byte);
    ((1..=64).contains(&value.len()) && value.bytes().all(is_safe)).then(|| value.to_owned())
}

/// Whether messages of this size hold every frame. 0 stands for any size; a description without one means 64
/// KiB, which do.
fn holds_frames(size: &str) -> bool {
    let size: Option<u64> = size.parse().ok();
    size.is_some_and(|size| size == 0 || size >= LARGEST_FRAME)
}

const MID: &str = "mid";
const SETUP: &str = "setup";
const PORT: &str = "sctp-port";
const SIZE: &str = "max-message-size";
const PROTOCOL: &str = "UDP/DTLS/SCTP";
const FORMAT: &str = "webrtc-datachannel";

/// The port of SCTP that all browsers take (RFC 8831, section 6.1 names none).
const SCTP_PORT: &str = "5000";

/// What a frame of a direct path is at most, in bytes: docs/protocol.md.
const LARGEST_FRAME: u64 = 65_536;

/// What this side says that it takes, as browsers do.
const LARGEST_MESSAGE: u64 = 262_144;

/// Far more than one section takes, in bytes. Browsers may name candidates in it.
const LONGEST: usize = 16_384;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> DataSession {
        DataSession {
            description: Description {
                fragment: "F7gI".into(),
                password: "x9cml/YzichV2+XlhiMu8g".into(),
                fingerprint: std::array::from_fn(|at| u8::try_from(at * 8).unwrap()),
            },
            setup: Setup::ActPass,
            mid: "0".into(),
            version: 3,
        }
    }

    #[test]
    fn what_is_missing_doubled_or_not_of_data_channels_is_named() {
        let text = session().to_string();
        let refused = |text: &str, name| {
            assert_eq!(
                text.parse::<DataSession>(),
                Err(Malformed::Line(name)),
                "{text}"
            );
        };
        for name in [MID, SETUP, PORT, "ice-ufrag", "ice-pwd", "fingerprint"] {
            let start = format!("a={name}:");
            let (line, others): (Vec<_>, Vec<_>) =
                text.lines().partition(|it| it.starts_with(&start));
            refused(&others.join("\r\n"), name);
            refused(&format!("{text}{}", line[0]), name);
        }
        for (from, to, name) in [
            ("m=application", "m=video", "m"),
            ("m=application", "x=", "m"),
            (PROTOCOL, "DTLS/SCTP", "m"),
            (FORMAT, "5000", "m"),
            ("a=mid:0", "a=mid:", MID),
            ("a=mid:0", "a=mid:0 x", MID),
            ("actpass", "holdconn", SETUP),
            ("a=sctp-port:5000", "a=sctp-port:5001", PORT),
            ("262144", "65535", SIZE),
            ("262144", "many", SIZE),
        ] {
            refused(&text.replace(from, to), name);
        }
        refused(&format!("{text}m=application 9 {PROTOCOL} {FORMAT}"), "m");
        for size in ["0", "65536", "1073741823"] {
            assert!(
                text.replace("262144", size).parse::<DataSession>().is_ok(),
                "{size}"
            );
        }
        let long = format!("{text}{}", "a=x:\r\n".repeat(4_000));
        assert_eq!(
            long.parse::<DataSession>(),
            Err(Malformed::TooLong(LONGEST))
        );
    }

    #[test]
    fn the_side_that_answers_begins_unless_the_other_one_does() {
        let answers = [Setup::ActPass, Setup::Passive, Setup::Active].map(Setup::answer);
        assert_eq!(answers, [Setup::Active, Setup::Active, Setup::Passive]);
    }

    /// As Chromium 156 and Firefox 153 write them.
    #[test]
    fn what_browsers_write_is_read() {
        for (text, fragment, digest) in [
            (CHROMIUM, "Ls0J", [0x76, 0xcd]),
            (FIREFOX, "f0cc9ece", [0xb3, 0x68]),
        ] {
            let read: DataSession = text.parse().unwrap();
            assert_eq!((read.mid.as_str(), read.setup), ("0", Setup::ActPass));
            assert_eq!(read.description.fragment, fragment);
            assert_eq!(read.description.fingerprint[..2], digest);
        }
    }

    const CHROMIUM: &str = "v=0\r\n\
        o=- 3227003961676911495 2 IN IP4 127.0.0.1\r\n\
        s=-\r\n\
        t=0 0\r\n\
        a=group:BUNDLE 0\r\n\
        a=extmap-allow-mixed\r\n\
        a=msid-semantic: WMS\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:Ls0J\r\n\
        a=ice-pwd:DaZOZcOdwpVEgwQqCvOjv1QF\r\n\
        a=ice-options:trickle\r\n\
        a=fingerprint:sha-256 76:CD:76:5D:28:20:8A:C6:2A:A7:19:10:25:23:F0:8B:\
        5E:89:3C:E9:6D:EE:B9:94:46:37:FB:7A:09:92:4D:5E\r\n\
        a=setup:actpass\r\n\
        a=mid:0\r\n\
        a=sctp-port:5000\r\n\
        a=max-message-size:262144\r\n";

    const FIREFOX: &str = "v=0\r\n\
        o=mozilla...THIS_IS_SDPARTA-99.0 609382139670434006 0 IN IP4 0.0.0.0\r\n\
        s=-\r\n\
        t=0 0\r\n\
        a=fingerprint:sha-256 B3:68:18:A2:0F:2C:26:AA:04:9B:B8:2E:B6:7C:B1:BD:\
        6E:20:82:2A:B4:CC:28:9F:65:DD:38:5B:08:6A:8C:BA\r\n\
        a=group:BUNDLE 0\r\n\
        a=ice-options:trickle\r\n\
        a=msid-semantic:WMS *\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 0.0.0.0\r\n\
        a=sendrecv\r\n\
        a=ice-pwd:6e2a04d0e023e428857a2154bda42005\r\n\
        a=ice-ufrag:f0cc9ece\r\n\
        a=mid:0\r\n\
        a=setup:actpass\r\n\
        a=sctp-port:5000\r\n\
        a=max-message-size:1073741823\r\n";

    proptest! {
        #[test]
        fn what_is_written_is_read(
            mid in "[A-Za-z0-9_.-]{1,64}",
            setup in prop::sample::select(vec![Setup::ActPass, Setup::Active, Setup::Passive]),
            version: u32,
            fingerprint: [u8; 32],
        ) {
            let mut session = DataSession { mid, setup, version, ..session() };
            session.description.fingerprint = fingerprint;
            prop_assert_eq!(session.to_string().parse(), Ok(session));
        }

        #[test]
        fn anything_is_read_or_refused(
            text in "((m=|o=|a=(mid|setup|sctp-port|ice-ufrag|max-message-size):)[ -~]{0,40}\r?\n){0,8}",
        ) {
            let _ = text.parse::<DataSession>();
        }
    }
}
