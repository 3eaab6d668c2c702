//! Which of the two endpoints of a pairing a peer is.

use peersox_proto::v1;
use serde::{Deserialize, Serialize};

/// One of the two endpoints of a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The peer that created the pairing and showed the code.
    Initiator,
    /// The peer that typed the code.
    Joiner,
}

impl Role {
    /// Both roles, in the order of [`Role::index`].
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Joiner];

    /// The role at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Joiner,
            Self::Joiner => Self::Initiator,
        }
    }

    /// A position in an array of two: the initiator is 0, the joiner 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Initiator => 0,
            Self::Joiner => 1,
        }
    }

    /// The name used on the wire and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Joiner => "joiner",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Initiator => Self::Initiator,
            Role::Joiner => Self::Joiner,
        }
    }
}

impl TryFrom<v1::Role> for Role {
    type Error = UnspecifiedRole;

    fn try_from(role: v1::Role) -> Result<Self, UnspecifiedRole> {
        match role {
            v1::Role::Initiator => Ok(Self::Initiator),
            v1::Role::Joiner => Ok(Self::Joiner),
            v1::Role::Unspecified => Err(UnspecifiedRole),
        }
    }
}

/// A message left its role unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the role is unspecified; it must be initiator or joiner")]
pub struct UnspecifiedRole;
