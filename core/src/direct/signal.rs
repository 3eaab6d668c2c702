//! Signals: what two peers say about a direct path, sealed. The messages are those of
//! `proto/peersox/v1/relay.proto`.

use peersox_proto::v1::signal::Kind;
use peersox_proto::v1::{IceCandidate, SessionDescription};

use crate::fields::{Malformed, Reader, Writer};

/// A signal of an attempt.
pub(super) fn encode(attempt: u64, kind: &Kind) -> Vec<u8> {
    let (field, Writer(message)) = match kind {
        Kind::Description(it) => (
            DESCRIPTION,
            Writer::default().text(1, &it.r#type).text(2, &it.sdp),
        ),
        Kind::Candidate(it) => {
            let message = Writer::default()
                .text(1, &it.candidate)
                .text(2, &it.sdp_mid)
                .number(3, it.sdp_mline_index.into())
                .text(4, &it.username_fragment);
            (CANDIDATE, message)
        }
    };
    let signal = Writer::default().message(field, &message);
    signal.number(ATTEMPT, attempt).0
}

/// The attempt, and what is said of it; a kind of a later version gives nothing.
pub(super) fn decode(bytes: &[u8]) -> Result<(u64, Option<Kind>), Malformed> {
    let (mut attempt, mut kind) = (0, None);
    let mut reader = Reader(bytes);
    while let Some((field, value)) = reader.next()? {
        match field {
            DESCRIPTION => kind = Some(Kind::Description(description(value.bytes())?)),
            CANDIDATE => kind = Some(Kind::Candidate(candidate(value.bytes())?)),
            ATTEMPT => attempt = value.number(),
            _ => {}
        }
    }
    Ok((attempt, kind))
}

fn description(message: &[u8]) -> Result<SessionDescription, Malformed> {
    let mut description = SessionDescription::default();
    let mut reader = Reader(message);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => description.r#type = value.text()?,
            2 => description.sdp = value.text()?,
            _ => {}
        }
    }
    Ok(description)
}

fn candidate(message: &[u8]) -> Result<IceCandidate, Malformed> {
    let mut candidate = IceCandidate::default();
    let mut reader = Reader(message);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => candidate.candidate = value.text()?,
            2 => candidate.sdp_mid = value.text()?,
            3 => candidate.sdp_mline_index = value.small(),
            4 => candidate.username_fragment = value.text()?,
            _ => {}
        }
    }
    Ok(candidate)
}

/// The fields of `Signal`.
const DESCRIPTION: u64 = 1;
const CANDIDATE: u64 = 2;
const ATTEMPT: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use peersox_proto::v1::Signal;
    use prost::Message as _;

    #[test]
    fn a_signal_is_what_prost_makes_of_it_and_comes_back() {
        let kinds = [
            Kind::Description(SessionDescription::default()),
            Kind::Description(SessionDescription {
                r#type: "offer".into(),
                sdp: "v=0\r\n".repeat(100),
            }),
            Kind::Candidate(IceCandidate {
                candidate: "candidate:1".into(),
                sdp_mid: "0".into(),
                sdp_mline_index: 300,
                username_fragment: "uf".into(),
            }),
        ];
        for kind in kinds {
            for attempt in [0, 1, (1 << 53) - 1] {
                let bytes = encode(attempt, &kind);
                let kind = Some(kind.clone());
                assert_eq!(decode(&bytes), Ok((attempt, kind.clone())));
                assert_eq!(bytes, Signal { kind, attempt }.encode_to_vec());
            }
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_no_error() {
        assert_eq!(decode(&[0x9a, 0x06, 0x00, 0x18, 0x05]), Ok((5, None)));
        assert_eq!(decode(&[0x0a, 0x05]), Err(Malformed));
    }
}
