//! From when to when a certificate is valid (RFC 5280, section 4.1.2.5).

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use yasna::models::{GeneralizedTime, UTCTime};
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, Tag};

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Validity {
    /// Reads it from a certificate that rustls has read before, so that its lengths are known to be sound.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let read = yasna::parse_der(certificate, |reader| {
            reader.read_sequence(|certificate| {
                let validity = certificate.next().read_sequence(|signed| {
                    let version = Tag::context(0);
                    signed.read_optional(|it| it.read_tagged(version, |it| it.read_der()))?;
                    for _serial_algorithm_issuer in 0..3 {
                        signed.next().read_der()?;
                    }
                    let validity = signed.next().read_sequence(|times| {
                        let from = time(times.next())?;
                        let until = time(times.next())?;
                        Ok(Self { from, until })
                    })?;
                    while signed.read_optional(|it| it.read_der())?.is_some() {}
                    Ok(validity)
                })?;
                for _algorithm_signature in 0..2 {
                    certificate.next().read_der()?;
                }
                Ok(validity)
            })
        });
        read.ok()
    }

    /// How long it is valid in all.
    pub(crate) fn life(&self) -> Duration {
        let life = self.until.duration_since(self.from);
        life.unwrap_or_default()
    }

    /// For how long it is still valid; zero if it has expired.
    pub(crate) fn left(&self, now: SystemTime) -> Duration {
        self.until.duration_since(now).unwrap_or_default()
    }

    /// For how long it is still valid, for the log.
    pub(crate) fn left_in_words(&self, now: SystemTime) -> impl fmt::Display {
        const DAY: u64 = 24 * 3_600;
        match self.left(now).as_secs() {
            0 => "no time: it has expired".to_owned(),
            seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
            seconds if seconds >= 2 * 3_600 => format!("{} hours", seconds / 3_600),
            seconds => format!("{seconds} s"),
        }
    }
}

fn time(reader: BERReader<'_, '_>) -> ASN1Result<SystemTime> {
    Ok(match reader.lookahead_tag()? {
        TAG_UTCTIME => reader
            .read_utctime()
            .map(|it: UTCTime| (*it.datetime()).into())?,
        _ => reader
            .read_generalized_time()
            .map(|it: GeneralizedTime| (*it.datetime()).into())?,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// RFC 5280 writes years from 2050 on in another form.
    #[test]
    fn the_times_of_a_certificate_are_read_in_both_forms() {
        let key = KeyPair::generate().unwrap();
        for (begins, ends) in [(2026, 2027), (2049, 2050), (2051, 2100)] {
            let mut params = CertificateParams::new(vec!["p.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(begins, 3, 1);
            params.not_after = date_time_ymd(ends, 12, 31);
            let certificate = params.self_signed(&key).unwrap();
            let expected = Validity {
                from: params.not_before.into(),
                until: params.not_after.into(),
            };
            assert_eq!(Validity::of(certificate.der()), Some(expected));
            let cut = CertificateDer::from(&certificate.der()[..100]);
            assert_eq!(Validity::of(&cut), None);
        }
    }

    #[test]
    fn what_is_left_is_said_in_words() {
        let from = SystemTime::UNIX_EPOCH;
        let at = |seconds| from + Duration::from_secs(seconds);
        let validity = Validity {
            from,
            until: at(90 * 86_400),
        };
        assert_eq!(validity.life(), Duration::from_secs(90 * 86_400));
        for (now, words) in [
            (0, "90 days"),
            (89 * 86_400, "24 hours"),
            (90 * 86_400 - 61, "61 s"),
            (90 * 86_400, "no time: it has expired"),
            (91 * 86_400, "no time: it has expired"),
        ] {
            assert_eq!(validity.left_in_words(at(now)).to_string(), words);
        }
    }
}
