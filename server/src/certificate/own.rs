//! The self-signed certificate that QUIC presents where there is no other.
//!
//! ECDSA P-256, valid for 13 days, because browsers accept a pinned WebTransport certificate only up to 14
//! days. Peers learn its SHA-256 digest from OpenSession, and that of its successor two days before it is
//! presented, so that a peer that opened its session before the change is not cut off:
//!
//! ```text
//! age of the present one   0 ──────────── 1/2 ──────── 2/3 ─────────── 1
//! digests that peers get      present         present,    successor
//!                                             successor   is presented
//! ```
//!
//! With a folder both are kept, so that peers of the process before need no other digest.

use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::identity::Identity;
use super::kept::Kept;
use super::presented::Presented;
use super::validity::Validity;

/// The present certificate, its successor once there is one, and where both are kept.
pub(super) struct Own {
    kept: Option<Kept>,
    present: Made,
    next: Option<Made>,
}

/// A certificate that was made here.
#[derive(Clone)]
struct Made {
    identity: Identity,
    validity: Validity,
}

impl Own {
    /// Takes up what a former process has kept in this folder, if it is still good. A folder that cannot be
    /// used costs a warning: the certificate lives as long as the process then.
    ///
    /// # Errors
    /// If no certificate can be signed.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, NoCertificate> {
        let kept = folder.and_then(|folder| {
            let opened = Kept::open(folder);
            opened.map_err(|error| unkept(folder, &error)).ok()
        });
        Self::take_up(kept, SystemTime::now())
    }

    fn take_up(kept: Option<Kept>, now: SystemTime) -> Result<Self, NoCertificate> {
        let read = |name| kept.as_ref().and_then(|kept| restore(kept, name));
        let present = match read(PRESENT) {
            Some(present) => present,
            None => make(kept.as_ref(), PRESENT, now)?,
        };
        let mut own = Self {
            present,
            next: read(NEXT),
            kept,
        };
        own.tend(now)?;
        Ok(own)
    }

    pub(super) fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        self.present.identity.clone().certified()
    }

    /// Publishes and presents what is due, for ever.
    pub(super) async fn rotate(
        mut self,
        presented: &Presented,
        digests: &watch::Sender<Vec<[u8; 32]>>,
    ) {
        let Err(error) = self.replace_in_turn(presented, digests).await;
        tracing::error!(%error, "no new certificate for QUIC: restart the server before this one expires");
        digests.closed().await;
    }

    async fn replace_in_turn(
        &mut self,
        presented: &Presented,
        digests: &watch::Sender<Vec<[u8; 32]>>,
    ) -> Result<Infallible, NoCertificate> {
        loop {
            digests.send_if_modified(|known| {
                let now = self.digests();
                std::mem::replace(known, now.clone()) != now
            });
            // A laptop may sleep, and its clock may be set: what is due follows from the time of day.
            tokio::time::sleep(PACE).await;
            if self.tend(SystemTime::now())? {
                presented.replace(self.certified()?);
                tracing::info!("the QUIC certificate was replaced");
            }
        }
    }

    /// Does what is due; tells whether another certificate is to be presented.
    fn tend(&mut self, now: SystemTime) -> Result<bool, NoCertificate> {
        let kept = self.kept.as_ref();
        let is_replaced = self.present.is_past(PRESENTED, now);
        if is_replaced {
            let next = self.next.take();
            self.present = match next.filter(|next| !next.is_past(PRESENTED, now)) {
                Some(next) => {
                    if let Some(kept) = kept
                        && let Err(error) = kept.rename(NEXT, PRESENT)
                    {
                        unkept(&kept.path(PRESENT), &error);
                    }
                    next
                }
                None => make(kept, PRESENT, now)?,
            };
        }
        if self.next.is_none() && self.present.is_past(ALONE, now) {
            self.next = Some(make(kept, NEXT, now)?);
        }
        Ok(is_replaced)
    }

    /// What peers accept: the present certificate, and the one that comes next.
    pub(super) fn digests(&self) -> Vec<[u8; 32]> {
        let all = [Some(&self.present), self.next.as_ref()];
        let all = all.into_iter().flatten();
        all.map(|it| Sha256::digest(it.identity.leaf()).into())
            .collect()
    }
}

impl Made {
    /// Whether it is older than that, or from a time that has not come: somebody has set the clock.
    fn is_past(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.validity.from)
            .map_or(true, |it| it >= age)
    }
}

/// Makes one that is valid from an hour ago for [`LIFETIME`], and keeps it.
fn make(kept: Option<&Kept>, name: &str, now: SystemTime) -> Result<Made, NoCertificate> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec!["peersox.local".into(), "localhost".into()])?;
    let begins = now - CLOCK_SLACK;
    params.not_before = begins.into();
    params.not_after = (begins + LIFETIME).into();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "PeerSox relay");
    let certificate = params.self_signed(&key)?;
    let pem = Zeroizing::new(key.serialize_pem() + &certificate.pem());
    if let Some(kept) = kept
        && let Err(error) = kept.write(name, pem.as_bytes())
    {
        unkept(&kept.path(name), &error);
    }
    Made::read(pem.as_bytes()).map_err(NoCertificate::Unusable)
}

/// What a former process has kept under this name, unless it cannot be used.
fn restore(kept: &Kept, name: &str) -> Option<Made> {
    let read = kept.read(name).map_err(|error| error.to_string());
    let made = match read.and_then(|read| read.map(|pem| Made::read(&pem)).transpose()) {
        Ok(made) => made?,
        Err(why) => {
            let path = kept.path(name);
            let path = path.display();
            tracing::warn!(%path, why, "the kept QUIC certificate cannot be used; another one is made");
            return None;
        }
    };
    // Browsers refuse one that is valid for longer, whoever has put it there.
    Some(made).filter(|made| made.validity.life() <= LIFETIME)
}

impl Made {
    fn read(pem: &[u8]) -> Result<Self, String> {
        let identity = Identity::from_pem(pem)?;
        let (_, validity) = identity.clone().checked()?;
        Ok(Self { identity, validity })
    }
}

fn unkept(path: &Path, error: &std::io::Error) {
    let path = path.display();
    tracing::warn!(%path, %error, "the QUIC certificate cannot be kept; the next start makes another one");
}

/// Why there is no certificate for QUIC.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCertificate {
    #[error("cannot sign a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    #[error("cannot use the certificate that was made: {0}")]
    Unusable(String),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

const PRESENT: &str = "quic.pem";
const NEXT: &str = "quic-next.pem";

const LIFETIME: Duration = Duration::from_secs(13 * 24 * 3600);
/// The age from which a certificate has a successor, which peers know.
const ALONE: Duration = Duration::from_secs(13 * 24 * 3600 / 2);
/// The age at which it is replaced. What is left is for peers whose clocks run early.
const PRESENTED: Duration = Duration::from_secs(13 * 24 * 3600 / 3 * 2);
/// How often it is looked at what is due.
const PACE: Duration = Duration::from_secs(3600);

/// Peers whose clocks run late must not find the certificate in their future.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_accept_the_lifetime() {
        assert!(LIFETIME <= Duration::from_secs(14 * 24 * 3600));
        assert!(CLOCK_SLACK < ALONE && ALONE + 2 * PACE < PRESENTED);
        assert!(PRESENTED + 2 * PACE < LIFETIME);
    }

    fn open(folder: &Path, now: SystemTime) -> Own {
        Own::take_up(Some(Kept::open(folder).unwrap()), now).unwrap()
    }

    /// A hundred days, an hour after the other, with a restart every now and then: what is presented was
    /// known to peers for a day before, and is always valid.
    #[test]
    fn peers_know_a_certificate_before_it_is_presented() {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let mut own = open(folder.path(), start);
        let mut known = vec![(own.digests()[0], start)];
        let mut replaced = 0;
        for hour in 1..2_400 {
            let now = start + PACE * hour;
            let changed = if hour % 17 == 0 {
                let before = own.digests()[0];
                own = open(folder.path(), now);
                before != own.digests()[0]
            } else {
                own.tend(now).unwrap()
            };
            let digests = own.digests();
            for digest in &digests {
                if !known.iter().any(|(it, _)| it == digest) {
                    known.push((*digest, now));
                }
            }
            let (_, since) = known.iter().find(|(it, _)| *it == digests[0]).unwrap();
            if changed {
                replaced += 1;
                let known_for = now.duration_since(*since).unwrap();
                assert!(known_for >= Duration::from_secs(24 * 3600), "{known_for:?}");
            }
            assert!(own.present.validity.left(now) > Duration::from_secs(24 * 3600));
        }
        assert!((10..20).contains(&replaced), "{replaced}");
    }

    #[test]
    fn what_is_kept_and_bad_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let first = open(folder.path(), start).digests();
        assert_eq!(open(folder.path(), start).digests(), first);
        // A fortnight later it has expired, and on a clock that was set back it is not valid yet.
        let late = open(folder.path(), start + 14 * Duration::from_secs(24 * 3600));
        assert_ne!(late.digests(), first);
        let early = open(folder.path(), start - Duration::from_secs(24 * 3600));
        assert!(early.digests() != late.digests() && early.digests() != first);
        let kept = Kept::open(folder.path()).unwrap();
        let (one, two) = (make(None, "", start).unwrap(), kept.read(PRESENT).unwrap());
        kept.write(PRESENT, &two.unwrap()[..100]).unwrap();
        let made = open(folder.path(), start).digests();
        assert!(
            made != early.digests()
                && made != [<[u8; 32]>::from(Sha256::digest(one.identity.leaf()))]
        );
        assert_eq!(open(folder.path(), start).digests(), made);
    }

    #[test]
    fn each_certificate_has_its_own_key() {
        let make = || make(None, "", SystemTime::now()).unwrap().identity;
        let (a, b) = (make(), make());
        assert_ne!(a.leaf(), b.leaf());
        let key = |it: &Identity| {
            it.clone()
                .certified()
                .unwrap()
                .key
                .public_key()
                .map(|it| it.to_vec())
        };
        assert_ne!(key(&a), key(&b));
    }
}
