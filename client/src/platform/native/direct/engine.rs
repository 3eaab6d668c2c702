//! What carries the frames of an attempt, and how it describes itself.

use std::sync::Arc;

use peersox_core::direct::{
    Carrier, DataSession, Description, Malformed, SessionDescription, Setup,
};

use super::quic::Quic;
use super::socket::Sockets;
use super::webrtc::WebRtc;
use crate::platform::native::BoxFuture;
use crate::platform::native::leg::Leg;

pub(super) enum Engine {
    Quic(Quic),
    WebRtc(WebRtc, Section),
}

/// What the descriptions of WebRTC say of the one section that they have.
pub(super) struct Section {
    mid: String,
    /// How this side answers.
    setup: Setup,
    /// How many descriptions it has made.
    version: u32,
}

/// What a description of the other side says.
pub(super) struct Heard {
    pub(super) fragment: String,
    pub(super) password: String,
    pub(super) fingerprint: [u8; 32],
    /// This side begins the handshake.
    pub(super) begins: bool,
}

impl Engine {
    /// On these sockets, which it reads from now on.
    ///
    /// # Errors
    /// What the system says, or the certificate's maker.
    pub(super) fn new(carrier: Carrier, sockets: Arc<Sockets>) -> Result<Self, String> {
        match carrier {
            Carrier::Quic => Quic::new(sockets).map(Self::Quic),
            Carrier::WebRtc => {
                let section = Section {
                    mid: "0".to_owned(),
                    setup: Setup::Active,
                    version: 0,
                };
                WebRtc::new(sockets).map(|it| Self::WebRtc(it, section))
            }
        }
    }

    /// Describes this side, with these credentials of ICE.
    pub(super) fn describe(
        &mut self,
        offers: bool,
        fragment: String,
        password: String,
    ) -> SessionDescription {
        let description = |fingerprint| Description {
            fragment,
            password,
            fingerprint,
        };
        let (carrier, sdp) = match self {
            Self::Quic(quic) => (Carrier::Quic, description(quic.fingerprint()).to_string()),
            Self::WebRtc(webrtc, section) => {
                section.version = section.version.saturating_add(1);
                let session = DataSession {
                    description: description(webrtc.fingerprint()),
                    setup: match offers {
                        true => Setup::ActPass,
                        false => section.setup,
                    },
                    mid: section.mid.clone(),
                    version: section.version,
                };
                (Carrier::WebRtc, session.to_string())
            }
        };
        let kind = match offers {
            true => carrier.offer(),
            false => carrier.answer(),
        };
        SessionDescription {
            r#type: kind.to_owned(),
            sdp,
        }
    }

    /// Takes the description of the other side, an answer if this side has offered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn hear(
        &mut self,
        described: &SessionDescription,
        offered: bool,
    ) -> Result<Heard, String> {
        let malformed = |error: Malformed| error.to_string();
        let (description, begins) = match self {
            Self::Quic(_) => (described.sdp.parse().map_err(malformed)?, offered),
            Self::WebRtc(_, section) => {
                let theirs: DataSession = described.sdp.parse().map_err(malformed)?;
                let ours = theirs.setup.answer();
                if !offered {
                    section.mid = theirs.mid;
                    section.setup = ours;
                }
                (theirs.description, ours == Setup::Active)
            }
        };
        let Description {
            fragment,
            password,
            fingerprint,
        } = description;
        Ok(Heard {
            fragment,
            password,
            fingerprint,
            begins,
        })
    }

    /// Connects to the side with this certificate. Whoever begins does so when ICE has picked a pair.
    pub(super) fn connect(&self, theirs: [u8; 32], begins: bool) -> BoxFuture<Result<Leg, String>> {
        match self {
            Self::Quic(quic) if begins => Box::pin(quic.call(theirs)),
            Self::Quic(quic) => Box::pin(quic.answer(theirs)),
            Self::WebRtc(webrtc, _) => Box::pin(webrtc.connect(theirs, begins)),
        }
    }

    /// The name of the section of its descriptions; empty if they have none.
    pub(super) fn section(&self) -> &str {
        match self {
            Self::Quic(_) => "",
            Self::WebRtc(_, section) => &section.mid,
        }
    }
}
