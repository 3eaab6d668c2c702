//! The only door in: a Hello with a good ticket becomes an [`Admission`].

use std::future::poll_fn;

use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::notice::{self, Kind};
use peersox_core::role::Role;
use peersox_core::ticket::{Claims, Reject};
use peersox_proto::v1;
use tokio::time::{Instant, timeout_at};

use crate::leg::{Ending, Item, Leg};
use crate::span;

/// The proven right to a role in a session. Nothing else makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    session: PairingId,
    role: Role,
    epoch: u32,
}

impl Admission {
    pub(crate) fn session(self) -> PairingId {
        self.session
    }

    pub(crate) fn role(self) -> Role {
        self.role
    }

    pub(crate) fn epoch(self) -> u32 {
        self.epoch
    }

    /// Judges what a leg said first.
    fn judge(
        hello: &v1::Hello,
        verify: impl FnOnce(&str) -> Result<Claims, Reject>,
    ) -> Result<Self, CloseReason> {
        let claims = verify(&hello.ticket)?;
        Ok(Self {
            session: claims.session,
            role: claims.role,
            epoch: claims.epoch,
        })
    }
}

/// Waits for the Hello of a leg and judges its ticket, once it is there.
pub(crate) async fn admit(
    leg: &mut Leg,
    deadline: Instant,
    verify: impl FnOnce(&str) -> Result<Claims, Reject>,
) -> Result<Admission, Ending> {
    let first = async {
        loop {
            match poll_fn(|cx| leg.poll_first(cx)).await? {
                Item::Frame(frame) => return Ok(frame),
                Item::Sign => {}
            }
        }
    };
    let frame = timeout_at(deadline, first)
        .await
        .map_err(|_| Ending::Fault(CloseReason::HelloTimeout))??;
    let hello = hello(frame).ok_or(Ending::Fault(CloseReason::HelloInvalid))?;
    leg.span = span::begin(&hello, leg.transport().as_str());
    Admission::judge(&hello, verify).map_err(Ending::Fault)
}

fn hello(frame: bytes::Bytes) -> Option<v1::Hello> {
    let frame = Frame::parse(frame).ok()?;
    if frame.lane() != Lane::Notice {
        return None;
    }
    match notice::decode(frame.payload()) {
        Ok(Some(Kind::Hello(hello))) if hello.agent.len() <= MAX_AGENT => Some(hello),
        _ => None,
    }
}

/// The longest name of a peer's software, in bytes.
const MAX_AGENT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use peersox_core::ticket::{Signer, Verifier};
    use peersox_core::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn frame(lane: Lane, kind: Kind) -> bytes::Bytes {
        Frame::encode(lane, &v1::Notice { kind: Some(kind) }).into_bytes()
    }

    fn say(ticket: &str, agent: &str) -> Kind {
        Kind::Hello(v1::Hello {
            ticket: ticket.into(),
            agent: agent.into(),
            ..v1::Hello::default()
        })
    }

    #[test]
    fn only_a_hello_with_a_good_ticket_is_admitted() {
        let signer = Signer::from_seed(&[1; 32]);
        let verifier = Verifier::new(&[signer.public_key()]).unwrap();
        let claims = Claims {
            session: PairingId::from_bytes([7; 16]),
            role: Role::Joiner,
            epoch: 4,
        };
        let minute = Duration::from_secs(60);
        let good = signer.sign(claims, None, NOW, minute);
        let foreign = Signer::from_seed(&[2; 32]).sign(claims, None, NOW, minute);
        let long = "a".repeat(129);
        let ping = Kind::Ping(v1::Ping { nonce: 1 });
        let judge = |frame, now| {
            let hello = hello(frame).ok_or(CloseReason::HelloInvalid)?;
            Admission::judge(&hello, |ticket| verifier.verify(ticket, now))
        };

        let rows = [
            (frame(Lane::Notice, say(&good, "x")), Ok(claims)),
            (
                frame(Lane::Notice, say(&foreign, "")),
                Err(CloseReason::TicketInvalid),
            ),
            (
                frame(Lane::Notice, say("", "")),
                Err(CloseReason::TicketInvalid),
            ),
            (
                frame(Lane::Notice, say(&good, &long)),
                Err(CloseReason::HelloInvalid),
            ),
            (
                frame(Lane::Reliable, say(&good, "")),
                Err(CloseReason::HelloInvalid),
            ),
            (frame(Lane::Notice, ping), Err(CloseReason::HelloInvalid)),
            (bytes::Bytes::new(), Err(CloseReason::HelloInvalid)),
            (
                bytes::Bytes::from_static(b"\x00\xff\xff garbage"),
                Err(CloseReason::HelloInvalid),
            ),
        ];
        for (first, expected) in rows {
            let expected = expected.map(|claims| Admission {
                session: claims.session,
                role: claims.role,
                epoch: claims.epoch,
            });
            assert_eq!(judge(first.clone(), NOW), expected, "{first:?}");
        }
        let late = NOW + Duration::from_secs(3600);
        assert_eq!(
            judge(frame(Lane::Notice, say(&good, "")), late),
            Err(CloseReason::TicketExpired)
        );
    }
}
