//! The scripts. Redis is asked by their digest, and given their text where it does not know it.

use redis::Script;

/// What runs inside Redis.
pub(super) struct Scripts {
    pub(super) commit: Script,
    pub(super) claim: Script,
    pub(super) release: Script,
    pub(super) sweep: Script,
    pub(super) charge: Script,
    pub(super) refund: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            commit: Script::new(include_str!("commit.lua")),
            claim: Script::new(include_str!("claim.lua")),
            release: Script::new(include_str!("release.lua")),
            sweep: Script::new(include_str!("sweep.lua")),
            charge: Script::new(include_str!("charge.lua")),
            refund: Script::new(include_str!("refund.lua")),
        }
    }
}
