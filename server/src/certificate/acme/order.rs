//! One order, from the account to the certificate.

use std::fmt;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::super::kept::Kept;
use super::challenges::Challenges;
use super::config::{AcmeConfig, AcmeName};
use crate::https::Https;

/// Orders certificates, with an account that is kept.
pub(super) struct Orders {
    config: AcmeConfig,
    https: Https,
    kept: Kept,
    /// The name of the account's file.
    account: String,
    names: String,
}

/// How the authority is to see that the names are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    TlsAlpn01,
    Http01,
}

impl Orders {
    pub(super) fn new(config: AcmeConfig, https: Https, kept: Kept, account: String) -> Self {
        let names: Vec<_> = config.names.iter().map(AcmeName::as_str).collect();
        let names = names.join(", ");
        Self {
            config,
            https,
            kept,
            account,
            names,
        }
    }

    /// All names, for the log.
    pub(super) fn names(&self) -> &str {
        &self.names
    }

    /// The directory of the authority.
    pub(super) fn directory(&self) -> &str {
        &self.config.directory
    }

    /// The challenge for an attempt after so many failures.
    pub(super) const fn challenge(&self, failures: u32) -> By {
        By::after(failures, self.config.http_listen.is_some())
    }

    /// Orders a certificate. Gives its key and its chain as one text in PEM, or says why there is none.
    pub(super) async fn order(
        &self,
        by: By,
        challenges: &Challenges,
    ) -> Result<Zeroizing<String>, String> {
        let mut order = self.begin().await?;
        let mut waits = false;
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization.map_err(|error| words(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(by.kind()) else {
                return Err(format!("the authority does not offer {by} for {name}"));
            };
            let answer = challenge.key_authorization();
            match by {
                By::Http01 => challenges.tell(&challenge.token, answer.as_str()),
                By::TlsAlpn01 => {
                    let certificate = proof(&name, answer.digest().as_ref());
                    challenges.present(&name, certificate.map_err(|error| error.to_string())?);
                }
            }
            challenge.set_ready().await.map_err(|error| words(&error))?;
            waits = true;
        }
        if waits {
            self.wait(&mut order, by).await?;
        }
        let key = order.finalize().await.map_err(|error| words(&error))?;
        let key = Zeroizing::new(key);
        let issuing = order.poll_certificate(&POLLING).await;
        let chain = issuing.map_err(|error| words(&error))?;
        Ok(Zeroizing::new(
            [key.trim_end(), chain.trim_end(), ""].join("\n"),
        ))
    }

    /// Opens an order, with a new account if the authority has forgotten the one that is kept.
    async fn begin(&self) -> Result<Order, String> {
        let names = self.config.names.iter();
        let identifiers: Vec<_> = names.map(|it| Identifier::Dns(it.to_string())).collect();
        let wanted = NewOrder::new(&identifiers);
        if let Some(account) = self.kept_account().await? {
            match account.new_order(&wanted).await {
                Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {
                    tracing::info!(
                        "the authority does not know the account any more; another one is made"
                    );
                }
                ordered => return ordered.map_err(|error| words(&error)),
            }
        }
        let account = self.new_account().await?;
        account
            .new_order(&wanted)
            .await
            .map_err(|error| words(&error))
    }

    async fn kept_account(&self) -> Result<Option<Account>, String> {
        let path = self.kept.path(&self.account);
        let path = path.display();
        let read = self
            .kept
            .read(&self.account)
            .map_err(|error| error.to_string());
        let read = read.and_then(|read| {
            let read = read.map(|text| serde_json::from_slice::<AccountCredentials>(&text));
            read.transpose().map_err(|error| error.to_string())
        });
        let credentials = match read {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Ok(None),
            Err(why) => {
                tracing::warn!(%path, why, "the kept account cannot be used; another one is made");
                return Ok(None);
            }
        };
        let builder = Account::builder_with_http(Box::new(self.https.clone()));
        let account = builder.from_credentials(credentials).await;
        account.map(Some).map_err(|error| words(&error))
    }

    async fn new_account(&self) -> Result<Account, String> {
        let contact = self.config.email.as_ref().map(|it| format!("mailto:{it}"));
        let contact: Vec<_> = contact.as_deref().into_iter().collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.https.clone()));
        let directory = self.config.directory.clone();
        let made = builder.create(&wanted, directory, None).await;
        let (account, credentials) = made.map_err(|error| words(&error))?;
        let text = serde_json::to_vec(&credentials).map_err(|error| error.to_string())?;
        let text = Zeroizing::new(text);
        if let Err(error) = self.kept.write(&self.account, &text) {
            let path = self.kept.path(&self.account);
            let path = path.display();
            tracing::warn!(%path, %error, "the account cannot be kept; the next start makes another one");
        }
        Ok(account)
    }

    /// Until the authority has seen that all names are ours, or says of which it has not.
    async fn wait(&self, order: &mut Order, by: By) -> Result<(), String> {
        let refused = match order.poll_ready(&POLLING).await {
            Ok(OrderStatus::Ready) => return Ok(()),
            Ok(status) => format!("the authority refuses the order, whose status is {status:?}"),
            Err(error @ Error::Api(_)) => words(&error),
            Err(error) => return Err(words(&error)),
        };
        let mut all = order.authorizations();
        while let Some(Ok(mut authorization)) = all.next().await {
            let name = authorization.identifier().to_string();
            let Ok(state) = authorization.refresh().await else {
                continue;
            };
            let mut problems = state.challenges.iter().filter_map(|it| it.error.as_ref());
            if let Some(problem) = problems.next() {
                let (why, port) = (problem_words(problem), by.port());
                return Err(format!(
                    "the authority did not find this server at {name} by {by}: {why}. It comes to TCP port \
                     {port} of that name, which has to lead here"
                ));
            }
        }
        Err(refused)
    }
}

impl By {
    /// Both in turn, if the authority may come by both ways.
    const fn after(failures: u32, has_http: bool) -> Self {
        match has_http && failures.is_multiple_of(2) {
            true => Self::Http01,
            false => Self::TlsAlpn01,
        }
    }

    const fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "TLS-ALPN-01",
            Self::Http01 => "HTTP-01",
        })
    }
}

/// The certificate that a handshake of TLS-ALPN-01 gets (RFC 8737, section 3).
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, Unproven> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    // Whether the two fit is not asked: who asks refuses the critical extension, which is for authorities.
    let key = rustls::crypto::ring::sign::any_supported_type(&key.into())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Why there is no certificate for a challenge.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    #[error("cannot sign the certificate of a challenge: {0}")]
    Unsigned(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Whether a problem is of this kind (RFC 8555, section 6.7).
fn is(problem: &instant_acme::Problem, kind: &str) -> bool {
    let prefix = "urn:ietf:params:acme:error:";
    let found = problem.r#type.as_deref();
    found.and_then(|it| it.strip_prefix(prefix)) == Some(kind)
}

/// What went wrong, for the operator.
fn words(error: &Error) -> String {
    match error {
        Error::Api(problem) => format!("the authority refuses: {}", problem_words(problem)),
        Error::Json(error) => {
            format!("the answer is not one of ACME ({error}); is the URL that of a directory?")
        }
        Error::Timeout(_) => "the authority takes too long".to_owned(),
        other => other.to_string(),
    }
}

fn problem_words(problem: &instant_acme::Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let subproblems = problem.subproblems.iter().map(|it| format!("; {it}"));
    let subproblems: String = subproblems.collect();
    format!("{detail}{subproblems} ({kind})")
}

/// How long an authority may take to look, and to sign; it may say when to ask again.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(300))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8737, section 3: the name alone, and the digest in a critical extension.
    #[test]
    fn a_proof_is_for_the_name_and_holds_the_digest() {
        let certified = proof("p.example", &[7; 32]).unwrap();
        let der = certified.end_entity_cert().unwrap();
        // OID 1.3.6.1.5.5.7.1.31, TRUE, an octet string with an octet string of 32 bytes.
        let mut extension = vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 34, 4, 32];
        extension.extend([7; 32]);
        let has = |part: &[u8]| der.windows(part.len()).any(|it| it == part);
        assert!(has(&extension) && has(b"p.example"));
    }

    #[test]
    fn both_ways_are_tried_in_turn() {
        let tried = |has_http| [0, 1, 2].map(|failures| By::after(failures, has_http));
        assert_eq!(tried(false), [By::TlsAlpn01; 3]);
        assert_eq!(tried(true), [By::Http01, By::TlsAlpn01, By::Http01]);
    }

    #[test]
    fn what_an_authority_says_is_passed_on() {
        let text = r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}"#;
        let problem: instant_acme::Problem = serde_json::from_str(text).unwrap();
        assert!(is(&problem, "rateLimited") && !is(&problem, "accountDoesNotExist"));
        let said = words(&Error::Api(problem));
        assert_eq!(said, "the authority refuses: too many (rateLimited)");
    }
}
