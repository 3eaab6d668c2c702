//! A certificate from an authority that speaks ACME (RFC 8555), renewed for as long as the server runs.
//!
//! ```text
//! kept ── valid? ──► presented at once
//!   ▲                    │ two thirds of its life are over, or there is none
//!   │                    ▼
//!   └── certificate ◄── order ── challenge ──► TLS-ALPN-01 on the TLS port, HTTP-01 on a port for it
//!                        │
//!                        └── failed ── pause, longer each time ── order
//! ```
//!
//! The account's key and the certificate's are kept in files for the owner of the process alone, named by
//! what they are for: another authority, or other names, take other files.

mod challenges;
mod config;
mod https;
mod order;

use std::path::Path;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use rand_core::{OsRng, RngCore as _};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::identity::Identity;
use super::kept::Kept;
use super::presented::Presented;
use super::validity::Validity;
use crate::https::Https;
use order::{By, Orders};

pub(crate) use challenges::{ACME_TLS, Challenges, is_challenge};
pub use config::{AcmeConfig, AcmeError, AcmeName, BadAcmeName};

/// What gets a certificate, and renews it.
pub(super) struct Acme {
    orders: Orders,
    /// The name of the file that the certificate is kept in.
    file: String,
    kept: Kept,
    held: Option<Held>,
}

/// The certificate that is presented.
#[derive(Clone, Copy)]
struct Held {
    validity: Validity,
    /// When it is to be renewed.
    due: SystemTime,
}

impl Held {
    /// One that is due two thirds of its life after its beginning.
    fn kept(validity: Validity) -> Self {
        let due = validity.from + validity.life() / 3 * 2;
        Self { validity, due }
    }

    /// The same for one that was issued now. If it is due already, because a clock is wrong, a third of
    /// what is left passes first.
    fn issued(validity: Validity, now: SystemTime) -> Self {
        let soonest = now + validity.left(now) / 3;
        let due = Self::kept(validity).due.max(soonest);
        Self { validity, due }
    }
}

impl Acme {
    /// Takes up the certificate that a former process has kept, if it is still valid.
    ///
    /// # Errors
    /// [`AcmeError`] if the configuration or the folder cannot be used.
    pub(super) fn open(
        config: AcmeConfig,
        folder: Option<&Path>,
    ) -> Result<(Self, Option<CertifiedKey>), AcmeError> {
        config.validate()?;
        let folder = folder.ok_or(AcmeError::NoFolder)?;
        let kept = Kept::open(folder).map_err(|error| AcmeError::Folder {
            path: folder.to_owned(),
            error,
        })?;
        let https = Https::new(config.roots.as_deref());
        let https = https.map_err(|_| AcmeError::Roots)?;
        let names: Vec<_> = config.names.iter().map(AcmeName::as_str).collect();
        let file = format!(
            "acme-{}.pem",
            mark(&[&[&*config.directory], &*names].concat())
        );
        let account = format!("acme-account-{}.json", mark(&[&config.directory]));
        let mut acme = Self {
            orders: Orders::new(config, https, kept.clone(), account),
            file,
            kept,
            held: None,
        };
        let found = acme.restore();
        Ok((acme, found))
    }

    fn restore(&mut self) -> Option<CertifiedKey> {
        let read = self
            .kept
            .read(&self.file)
            .map_err(|error| error.to_string());
        let read = read.and_then(|read| {
            let read = read.map(|pem| Identity::from_pem(&pem)?.checked());
            read.transpose()
        });
        let now = SystemTime::now();
        match read {
            Ok(Some((certified, validity))) if !validity.left(now).is_zero() => {
                self.held = Some(Held::kept(validity));
                Some(certified)
            }
            Ok(_) => None,
            Err(why) => {
                let path = self.kept.path(&self.file);
                let path = path.display();
                tracing::warn!(%path, why, "the kept certificate cannot be used; another one is ordered");
                None
            }
        }
    }

    /// Renews the certificate when it is due, for ever. Whoever asks cuts a pause after a failure short.
    pub(super) async fn renew(mut self, presented: &Presented, asked: &Notify) {
        let mut failures = 0;
        loop {
            let now = SystemTime::now();
            let due = self.held.map_or(now, |held| held.due);
            if let Ok(rest) = due.duration_since(now)
                && !rest.is_zero()
            {
                // The clock may be set meanwhile.
                tokio::select! {
                    () = tokio::time::sleep(rest.min(GLANCE)) => {}
                    () = asked.notified() => self.report(),
                }
                continue;
            }
            let by = self.orders.challenge(failures);
            match self.obtain(by, presented).await {
                Ok(()) => failures = 0,
                Err(why) => {
                    failures += 1;
                    let life = self.held.map(|held| held.validity.life());
                    let jitter = f64::from(OsRng.next_u32()) / f64::from(u32::MAX);
                    let pause = pause(failures, life, jitter);
                    self.warn(&why, pause);
                    presented.settle();
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = asked.notified() => {}
                    }
                }
            }
        }
    }

    /// Gets a certificate, presents it and keeps it, or says why there is none.
    async fn obtain(&mut self, by: By, presented: &Presented) -> Result<(), String> {
        let (names, directory) = (self.orders.names(), self.orders.directory());
        tracing::info!(names, directory, %by, "a certificate is ordered");
        let ordering = self.orders.order(by, &presented.challenges);
        let ordered = tokio::time::timeout(PATIENCE, ordering).await;
        presented.challenges.clear();
        let pem = ordered.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            format!("the authority has not issued it within {seconds} s")
        })??;
        let unusable = |why| format!("the certificate of the authority cannot be used: {why}");
        let identity = Identity::from_pem(pem.as_bytes()).map_err(unusable)?;
        let (certified, validity) = identity.checked().map_err(unusable)?;
        let now = SystemTime::now();
        if validity.left(now).is_zero() {
            return Err(unusable(
                "it has expired by the clock of this machine".to_owned(),
            ));
        }
        if let Err(error) = self.kept.write(&self.file, pem.as_bytes()) {
            let path = self.kept.path(&self.file);
            let path = path.display();
            tracing::warn!(%path, %error, "the certificate cannot be kept; the next start orders one");
        }
        let is_first = self.held.replace(Held::issued(validity, now)).is_none();
        presented.replace(certified);
        let valid_for = validity.left_in_words(now);
        match is_first {
            true => tracing::info!(names, %valid_for, "the certificate was obtained and is in use"),
            false => tracing::info!(names, %valid_for, "the certificate was renewed and is in use"),
        }
        Ok(())
    }

    fn report(&self) {
        if let Some(held) = &self.held {
            let valid_for = held.validity.left_in_words(SystemTime::now());
            tracing::info!(%valid_for, "the certificate is good; it is renewed after two thirds of its life");
        }
    }

    fn warn(&self, why: &str, pause: Duration) {
        let (names, again_in) = (self.orders.names(), pause.as_secs());
        match &self.held {
            None => tracing::warn!(names, why, again_in, "there is no certificate yet"),
            Some(held) => {
                let valid_for = held.validity.left_in_words(SystemTime::now());
                tracing::warn!(names, why, again_in, %valid_for, "the certificate was not renewed");
            }
        }
    }
}

/// Tells apart what is kept for different authorities and names, in the name of a file.
fn mark(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    HEXLOWER.encode(&digest[..8])
}

/// How long to wait after so many failures in a row: twice as long each time, and between a half and the
/// whole of it, so that not all servers come back in one instant. Authorities allow for some five failures
/// in an hour. A certificate that lives for hours only has no time for that.
fn pause(failures: u32, life: Option<Duration>, jitter: f64) -> Duration {
    let doubled = SHORTEST * (1 << failures.saturating_sub(1).min(10));
    let most = life.map_or(LONGEST, |life| (life / 64).clamp(BRIEFEST, LONGEST));
    doubled.min(most).mul_f64(0.5 + jitter / 2.0)
}

/// For one order, from the directory to the certificate.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at whether the certificate is due.
const GLANCE: Duration = Duration::from_secs(3_600);
const SHORTEST: Duration = Duration::from_secs(120);
const LONGEST: Duration = Duration::from_secs(3_600);
/// Between two attempts at a certificate that lives for seconds, as only tests have them.
const BRIEFEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let from = SystemTime::UNIX_EPOCH + 1_000 * DAY;
        let validity = Validity {
            from,
            until: from + 90 * DAY,
        };
        assert_eq!(Held::kept(validity).due, from + 60 * DAY);
        assert_eq!(Held::issued(validity, from).due, from + 60 * DAY);
        // A clock that is 84 days ahead does not order one after the other.
        let late = from + 84 * DAY;
        assert_eq!(Held::issued(validity, late).due, late + 2 * DAY);
    }

    #[test]
    fn pauses_grow_and_differ() {
        let minutes = |failures, life, jitter| pause(failures, life, jitter).as_secs() / 60;
        let all: Vec<_> = (1..9)
            .map(|failures| minutes(failures, None, 1.0))
            .collect();
        assert_eq!(all, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(minutes(3, Some(90 * DAY), 0.0), 4);
        assert_eq!(minutes(u32::MAX, None, 1.0), 60);
        // Of a day: 22.5 minutes at most.
        assert_eq!(minutes(9, Some(DAY), 1.0), 22);
        assert_eq!(pause(9, Some(Duration::from_secs(9)), 1.0), BRIEFEST);
    }

    #[test]
    fn other_names_and_authorities_take_other_files() {
        assert_eq!(mark(&["a", "b"]).len(), 16);
        assert_eq!(mark(&["a", "b"]), mark(&["a", "b"]));
        for other in [&["a", "c"][..], &["ab"], &["a"], &["b", "a"]] {
            assert_ne!(mark(&["a", "b"]), mark(other));
        }
    }
}
