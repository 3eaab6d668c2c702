//! Why a leg ended or could not be made.

use crate::close::{CloseReason, Then};

/// How a leg ended, as its transport tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Somebody closed it with this number, on whatever transport.
    Closed(u16),
    /// It broke, or could not be connected. The shell knows what the transport said.
    Broken,
}

/// Why a leg is lost, or an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody hung up with this reason.
    HungUp(CloseReason),
    /// It was closed with a number that is not one of [`CloseReason`].
    Unknown(u16),
    /// The transport broke, or could not be connected. The shell knows what the transport said.
    Broken,
    /// The relay answers nothing.
    Silent,
    /// What came over it was altered under way.
    Altered,
    /// Something came that is not a frame.
    Malformed,
    /// The relay did not begin with Welcome.
    NoWelcome,
    /// The server offers no transport that this side speaks.
    NoTransport,
    /// The relay did not answer in time.
    TimedOut,
    /// OpenSession failed. The shell knows the error.
    Control,
}

impl Cause {
    /// One sentence for people. For [`Cause::Broken`] and [`Cause::Control`] the shell knows a better one.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::HungUp(reason) => reason.text(),
            Self::Unknown(_) => "the connection was closed",
            Self::Broken => "the connection to the relay broke",
            Self::Silent => "the relay does not answer",
            Self::Altered => "what arrived over it was altered under way",
            Self::Malformed => "the relay sent something that is not a frame",
            Self::NoWelcome => "the relay did not begin with Welcome",
            Self::NoTransport => "the server offers no transport that this side speaks",
            Self::TimedOut => "the relay did not answer in time",
            Self::Control => "the server could not be asked for a session",
        }
    }

    /// The close number, if one was said.
    #[must_use]
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::HungUp(reason) => Some(reason.number()),
            Self::Unknown(number) => Some(number),
            Self::Broken
            | Self::Silent
            | Self::Altered
            | Self::Malformed
            | Self::NoWelcome
            | Self::NoTransport
            | Self::TimedOut
            | Self::Control => None,
        }
    }

    /// Whether the relay cannot be reached, or has no room: another one may do better.
    pub(super) const fn is_unreached(self) -> bool {
        match self {
            Self::HungUp(reason) => matches!(reason, CloseReason::Overloaded),
            Self::Broken | Self::Silent | Self::NoWelcome | Self::TimedOut => true,
            Self::Unknown(_)
            | Self::Altered
            | Self::Malformed
            | Self::NoTransport
            | Self::Control => false,
        }
    }

    /// The reason, if it is one after which trying again would end the same way.
    pub(super) fn final_reason(self) -> Option<CloseReason> {
        match self {
            Self::HungUp(reason) if reason.then() == Then::Stop => Some(reason),
            _ => None,
        }
    }
}

impl From<Ended> for Cause {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed(number) => {
                CloseReason::from_number(number).map_or(Self::Unknown(number), Self::HungUp)
            }
            Ended::Broken => Self::Broken,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())?;
        match self.number() {
            Some(number) => write!(f, " ({number})"),
            None => Ok(()),
        }
    }
}
