//! What a guest and a holder say to each other over the Unix socket.
//!
//! A guest opens one connection for itself and one for each of its channels; the first line of each says
//! which. Lines are JSON. A connection of a channel goes on with frames:
//!
//! ```text
//! kind (1 byte) | length (4 bytes, big endian) | payload
//! 0 binary, last   1 binary, more follows   2 text, last   3 text, more follows
//! 4 finish         5 reset (code, 4 bytes)  7 fault (JSON)
//! 6 flushed: asked by the guest, answered by the holder   8 done: the guest has dropped the channel
//! ```
//!
//! The end of a connection without `done`, or on a guest's own connection without a goodbye, means that the
//! guest was killed.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peersox_client::{
    Carrier, Chunk, CloseReason, Error, Kind, PathKind, Presence, ResetCode, Side, Status,
    Transport, Why,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
    AsyncWriteExt as _,
};

/// The first line of a connection.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// A guest is there.
    Attach,
    /// A channel of this name; priority 0, 1 or 2. It has the name `row` if that is given and the other side
    /// is known to run this program, which it is once the two were connected.
    Open {
        name: String,
        priority: u8,
        row: Option<String>,
    },
    /// The next channel of this name that the other side opens; the first one of a row only for a guest that
    /// knows them.
    Accept {
        name: String,
        #[serde(default)]
        lasting: bool,
    },
}

/// What a guest says on its own connection after [`Request::Attach`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// How long it takes to the other side and back.
    Ping { id: u64 },
    /// It is done.
    Close,
    /// It was broken off.
    Leave,
}

/// What the holder says to a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Said { sentence: String, event: Value },
    Stands(Stands),
    Pong { id: u64, nanos: u64 },
    Ended { fault: Option<Fault> },
}

/// How things stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stands {
    leg: Option<u8>,
    /// Whether the holder looks for direct paths.
    pub(super) looks: bool,
    /// Whether messages take a direct path; nothing if they take none.
    direct: Option<bool>,
    /// Whether QUIC carries it, or WebRTC; nothing if there is none.
    quic: Option<bool>,
    /// The number of the reason why there is no direct path.
    why_relayed: Option<u8>,
    presence: u8,
    connected: bool,
}

/// The answer to a request for a channel.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Here,
    /// It belongs to a row, and has this name.
    Row(String),
    Fault(Fault),
}

/// An error of `peersox_client` as far as a command acts on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    Closed(u16),
    PeerDone,
    PeerRestarted,
    NotTaken,
    Tampered,
    CredentialInvalid,
    Reset { by_other: bool, code: u32 },
    Unreachable { server: String, why: String },
    Gone,
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::Closed(reason) => Self::Closed(reason.number()),
            Error::PeerDone => Self::PeerDone,
            Error::PeerRestarted => Self::PeerRestarted,
            Error::NotTaken => Self::NotTaken,
            Error::Tampered => Self::Tampered,
            Error::CredentialInvalid => Self::CredentialInvalid,
            Error::Reset { by, code } => Self::Reset {
                by_other: *by == Side::Other,
                code: code.0,
            },
            Error::Unreachable { server, why, .. } => Self::Unreachable {
                server: server.clone(),
                why: why.clone(),
            },
            Error::NoLeg(why) => Self::Unreachable {
                server: "the relay".into(),
                why: why.to_string(),
            },
            Error::RateLimited { .. }
            | Error::OverQuota { .. }
            | Error::Refused { .. }
            | Error::Protocol(_) => Self::Unreachable {
                server: "the server".into(),
                why: error.to_string(),
            },
            _ => Self::Gone,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed(number) => {
                CloseReason::from_number(number).map_or(Self::Gone, Self::Closed)
            }
            Fault::PeerDone => Self::PeerDone,
            Fault::PeerRestarted => Self::PeerRestarted,
            Fault::NotTaken => Self::NotTaken,
            Fault::Tampered => Self::Tampered,
            Fault::CredentialInvalid => Self::CredentialInvalid,
            Fault::Reset { by_other, code } => Self::Reset {
                by: if by_other { Side::Other } else { Side::This },
                code: ResetCode(code),
            },
            Fault::Unreachable { server, why } => Self::Unreachable {
                server,
                why,
                retry_after: None,
            },
            Fault::Gone => Self::Gone,
        }
    }
}

impl Told {
    /// How things stand with a holder that looks for direct paths, or does not.
    pub(super) fn stands(status: &Status, looks: bool) -> Self {
        Self::Stands(Stands {
            looks,
            leg: status.leg.map(Transport::number),
            direct: status.path.map(|kind| kind == PathKind::Direct),
            quic: status.carrier.map(|carrier| carrier == Carrier::Quic),
            why_relayed: status.why_relayed.map(|why| why as u8),
            presence: match status.presence {
                Presence::Absent => 0,
                Presence::Online => 1,
                Presence::Away => 2,
            },
            connected: status.connected,
        })
    }
}

impl From<Stands> for Status {
    fn from(stands: Stands) -> Self {
        Self {
            leg: stands.leg.and_then(Transport::from_number),
            path: stands.direct.map(|direct| match direct {
                true => PathKind::Direct,
                false => PathKind::Relay,
            }),
            carrier: stands.quic.map(|quic| match quic {
                true => Carrier::Quic,
                false => Carrier::WebRtc,
            }),
            why_relayed: stands
                .why_relayed
                .and_then(|why| Why::ALL.get(usize::from(why)).copied()),
            presence: match stands.presence {
                1 => Presence::Online,
                2 => Presence::Away,
                _ => Presence::Absent,
            },
            connected: stands.connected,
            ..Self::default()
        }
    }
}

/// One frame of a channel.
#[derive(Debug)]
pub(super) enum Frame {
    Piece(Chunk),
    Finish,
    Reset(ResetCode),
    Flushed,
    Fault(Fault),
    Done,
}

/// Writes a line of JSON.
pub(crate) async fn tell(
    to: &mut (impl AsyncWrite + Unpin),
    what: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Reads a line of JSON; `None` at the end. What is something else is [`io::ErrorKind::InvalidData`].
pub(crate) async fn hear<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let mut bounded = from.take(MAX_LINE);
    bounded.read_until(b'\n', &mut line).await?;
    match line.ends_with(b"\n") {
        true => match serde_json::from_slice(&line) {
            Ok(heard) => Ok(Some(heard)),
            // Half an object, too, which would be an end of file otherwise.
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        },
        false => Ok(None),
    }
}

/// Writes a frame.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let (kind, payload): (u8, Bytes) = match frame {
        Frame::Piece(chunk) => (kind_of(chunk), chunk.bytes.clone()),
        Frame::Finish => (4, Bytes::new()),
        Frame::Reset(code) => (5, Bytes::copy_from_slice(&code.0.to_be_bytes())),
        Frame::Flushed => (6, Bytes::new()),
        Frame::Fault(fault) => (7, serde_json::to_vec(fault)?.into()),
        Frame::Done => (8, Bytes::new()),
    };
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut head = [kind, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_be_bytes());
    to.write_all(&head).await?;
    to.write_all(&payload).await
}

/// Reads a frame; `None` at the end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_PAYLOAD {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = BytesMut::zeroed(length);
    from.read_exact(&mut payload).await?;
    let payload = payload.freeze();
    Ok(Some(match kind {
        0..=3 => Frame::Piece(piece(kind, payload)),
        4 => Frame::Finish,
        5 => {
            let code = payload[..]
                .try_into()
                .map_err(|_| io::ErrorKind::InvalidData)?;
            Frame::Reset(ResetCode(u32::from_be_bytes(code)))
        }
        6 => Frame::Flushed,
        7 => Frame::Fault(serde_json::from_slice(&payload)?),
        8 => Frame::Done,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }))
}

/// The byte that tells what kind of piece a chunk is: 0 to 3.
pub(super) fn kind_of(chunk: &Chunk) -> u8 {
    let text = if chunk.kind == Kind::Text { 2 } else { 0 };
    text + u8::from(!chunk.last)
}

/// The chunk of a piece of this kind.
pub(super) fn piece(kind: u8, bytes: Bytes) -> Chunk {
    Chunk {
        kind: match kind & 2 {
            0 => Kind::Binary,
            _ => Kind::Text,
        },
        bytes,
        last: kind & 1 == 0,
    }
}

/// How a holder resets the channels of a guest that was killed.
pub(super) const GUEST_KILLED: ResetCode = ResetCode(18);

/// How long a guest waits for a holder to come up, and a holder for its first guest.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// No line is longer.
const MAX_LINE: u64 = 64 * 1024;

/// As large as a message may be.
const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_as_they_went_out() {
        let chunk = |kind, last| Chunk {
            kind,
            bytes: "héé".into(),
            last,
        };
        let mut wire = Vec::new();
        let frames = [
            Frame::Piece(chunk(Kind::Binary, true)),
            Frame::Piece(chunk(Kind::Text, false)),
            Frame::Finish,
            Frame::Reset(ResetCode(18)),
            Frame::Flushed,
            Frame::Fault(Fault::Closed(4001)),
            Frame::Done,
        ];
        for frame in &frames {
            write(&mut wire, frame).await.unwrap();
        }
        let mut rest = &wire[..];
        for frame in &frames {
            let found = read(&mut rest).await.unwrap().unwrap();
            assert_eq!(format!("{found:?}"), format!("{frame:?}"));
        }
        assert!(read(&mut rest).await.unwrap().is_none());
        assert!(read(&mut &[9, 0, 0, 0, 0][..]).await.is_err());
        assert!(read(&mut &[0, 255, 0, 0, 0][..]).await.is_err());
    }

    #[test]
    fn errors_that_commands_act_on_pass() {
        for error in [
            Error::Closed(CloseReason::PeerLeft),
            Error::PeerDone,
            Error::PeerRestarted,
            Error::CredentialInvalid,
            Error::Reset {
                by: Side::Other,
                code: ResetCode(17),
            },
            Error::Gone,
        ] {
            assert_eq!(Error::from(Fault::from(&error)), error);
        }
    }
}
