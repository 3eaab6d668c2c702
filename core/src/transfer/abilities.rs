//! What a side understands beyond the first version of the protocol.

use peersox_proto::v1;

/// What a side understands beyond the first version; nothing by default, as of a peer that does not
/// say. A machine sends the other side only what that understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Takes holes in place of zeros.
    pub holes: bool,
    /// Stores symbolic links.
    pub links: bool,
    /// Takes several messages in one.
    pub batches: bool,
    /// Goes on after a file that its sender cannot read.
    pub failures: bool,
    /// Wants to know when the other side pauses.
    pub pauses: bool,
}

impl Abilities {
    /// All of them.
    pub const ALL: Self = Self {
        holes: true,
        links: true,
        batches: true,
        failures: true,
        pauses: true,
    };

    /// As a message has them; nothing is sent if there are none.
    pub(super) fn encode(self) -> Option<v1::TransferAbilities> {
        let message = v1::TransferAbilities {
            holes: self.holes,
            links: self.links,
            batches: self.batches,
            failures: self.failures,
            pauses: self.pauses,
        };
        (self != Self::default()).then_some(message)
    }

    pub(super) const fn parse(message: v1::TransferAbilities) -> Self {
        Self {
            holes: message.holes,
            links: message.links,
            batches: message.batches,
            failures: message.failures,
            pauses: message.pauses,
        }
    }
}
