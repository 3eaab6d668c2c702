//! Claims on nameplates.

use std::time::Duration;

use peersox_core::code::Nameplate;
use peersox_core::id::PairingId;
use peersox_core::time::Timestamp;

use super::{Redis, keys, millis};
use crate::store::{StoreError, Stored};

impl Redis {
    /// Claims a nameplate for a pairing, for so long. False if another one has it.
    pub(super) async fn claim(
        &self,
        nameplate: &Nameplate,
        id: PairingId,
        life: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const ROUNDS: usize = 4;
        let mut void = String::new();
        for _ in 0..ROUNDS {
            let mut script = self.scripts.claim.key(keys::nameplate(nameplate));
            script.arg(id.to_string()).arg(millis(life)).arg(&void);
            let claimed = self
                .link
                .call(async |redis| script.invoke_async(redis).await);
            let other: Option<(String, u64)> = claimed.await?;
            let Some((claim, age)) = other else {
                return Ok(true);
            };
            if !self
                .is_void(&claim, Duration::from_millis(age), nameplate, now)
                .await?
            {
                return Ok(false);
            }
            void = claim;
        }
        Ok(false)
    }

    /// Whether a claim means nothing.
    async fn is_void(
        &self,
        claim: &str,
        age: Duration,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = claim.split(' ').next().unwrap_or_default();
        let Ok(id) = PairingId::try_from(id.to_owned()) else {
            return Ok(true);
        };
        Ok(match self.stored(id).await? {
            Some(Stored { pairing, .. }) => {
                pairing.nameplate() != Some(nameplate) || now >= pairing.expires_at()
            }
            None => age >= ABOUT_TO_BE_WRITTEN,
        })
    }

    /// Gives back what a pairing claimed. Should that fail, then the next one who wants it takes it over.
    pub(super) async fn release(&self, nameplate: &str, id: &str) {
        let Ok(nameplate) = nameplate.parse() else {
            return;
        };
        let mut script = self.scripts.release.key(keys::nameplate(&nameplate));
        script.arg(id);
        let released = self
            .link
            .call(async |redis| script.invoke_async::<()>(redis).await);
        if let Err(error) = released.await {
            tracing::debug!(%error, "a nameplate could not be given back");
        }
    }
}

/// A claim is older than this, and its pairing not there: whoever wanted to write it has been told by then
/// that it failed, as each of its calls has ended.
const ABOUT_TO_BE_WRITTEN: Duration = Duration::from_secs(10);
