//! Tells a program of the operator's what happens to pairings, by HTTP.
//!
//! ```text
//! control ── broadcast of 1,024, the oldest dropped ──► 8 deliveries at once ── POST ──► 2xx: done
//!                                                        ▲                       └ else: a longer pause
//!                                                        └────────────────────────┘  10 minutes: given up
//! ```
//!
//! The body is JSON. `peersox-signature: t=SECONDS,v1=HEX` holds when it was sent, and HMAC-SHA256 of `t`, a
//! dot and the body under the secret that both sides have. An event may arrive twice, and has the same `id`
//! then; events may arrive in another order than they happened. Nothing of the relay waits for any of this.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Request, header};
use peersox_control::{Happened, What};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rand_core::{OsRng, RngCore as _};
use ring::{digest, hmac};
use serde_json::json;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use crate::https::Https;
use crate::secret_file::{self, SecretFileError};

/// Who is told what happens to pairings.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where it is told.
    pub url: WebhookUrl,
    /// By what it is signed.
    pub secret: WebhookSecret,
}

/// A URL of `http` or `https`, without a user name or password.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// The host alone: path and query may hold a secret.
impl std::fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        f.debug_tuple("WebhookUrl").field(&host).finish()
    }
}

/// A text is not where a webhook can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write where it is told as in https://app.example/peersox, without a user name or password"
)]
pub struct BadWebhookUrl;

impl FromStr for WebhookUrl {
    type Err = BadWebhookUrl;

    fn from_str(text: &str) -> Result<Self, BadWebhookUrl> {
        let url = Url::parse(text).map_err(|_| BadWebhookUrl)?;
        let is_usable = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none();
        is_usable.then_some(Self(url)).ok_or(BadWebhookUrl)
    }
}

/// What signs the events: known to this server and to who is told.
#[derive(Clone)]
pub struct WebhookSecret(Arc<hmac::Key>);

impl WebhookSecret {
    /// The fewest characters: what 128 random bits are in hexadecimal.
    pub const SHORTEST: usize = 32;

    /// Reads it from a file of one line, to which nobody but its owner has access.
    ///
    /// # Errors
    /// [`SecretFileError`] if it cannot be read, is open to others, or is too short.
    pub fn read(path: &Path) -> Result<Self, SecretFileError> {
        let danger = "make up events";
        secret_file::read(path, "secret of the webhook", danger, |content| {
            let text = secret_file::password(content)?;
            if text.len() < Self::SHORTEST {
                let shortest = Self::SHORTEST;
                return Err(format!(
                    "it has to have at least {shortest} characters; `openssl rand -hex 32` writes one"
                ));
            }
            let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
            Ok(Self(Arc::new(key)))
        })
    }

    /// The value of `peersox-signature`, at so many seconds since the Unix epoch.
    fn sign(&self, seconds: u64, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(format!("{seconds}.").as_bytes());
        signing.update(body);
        let signature = HEXLOWER.encode(signing.sign().as_ref());
        format!("t={seconds},v1={signature}")
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

/// What became of events.
#[derive(Clone, Debug)]
pub(crate) struct WebhookMetrics(Family<Outcome, Counter>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

const DELIVERED: Outcome = Outcome {
    outcome: "delivered",
};
const FAILED: Outcome = Outcome { outcome: "failed" };
const GIVEN_UP: Outcome = Outcome {
    outcome: "given_up",
};
const DROPPED: Outcome = Outcome { outcome: "dropped" };

impl Default for WebhookMetrics {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
        let all = Family::<Outcome, Counter>::default();
        for outcome in [DELIVERED, FAILED, GIVEN_UP, DROPPED] {
            let _ = all.get_or_create(&outcome);
        }
        Self(all)
    }
}

impl WebhookMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Events for the webhook, and attempts that failed, by what became of them";
        registry.register("webhook_events", help, self.0.clone());
    }

    fn count(&self, outcome: Outcome, events: u64) {
        self.0.get_or_create(&outcome).inc_by(events);
    }
}

impl Webhook {
    /// Tells of all events until nobody can report any more.
    pub(crate) async fn run(
        self,
        mut events: broadcast::Receiver<Happened>,
        metrics: WebhookMetrics,
    ) {
        let Ok(https) = Https::new(None) else {
            return;
        };
        let (here, places) = (Arc::new(self), Arc::new(Semaphore::new(AT_ONCE)));
        let mut deliveries = JoinSet::new();
        loop {
            while deliveries.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let event = match events.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    tracing::warn!(dropped, "the webhook is not told of events: too many wait");
                    metrics.count(DROPPED, dropped);
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let (here, https, metrics) = (Arc::clone(&here), https.clone(), metrics.clone());
            deliveries.spawn(async move {
                here.deliver(&https, &event, &metrics).await;
                drop(place);
            });
        }
    }

    async fn deliver(&self, https: &Https, event: &Happened, metrics: &WebhookMetrics) {
        let body = Bytes::from(body(event));
        let end = Instant::now() + DEADLINE;
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.post(https, &body).await {
                Ok(()) => return metrics.count(DELIVERED, 1),
                Err(why) => why,
            };
            metrics.count(FAILED, 1);
            let jitter = f64::from(OsRng.next_u32()) / f64::from(u32::MAX);
            let next = Instant::now() + pause.mul_f64(0.5 + jitter / 2.0);
            if next >= end {
                let (host, what) = (self.url.0.host_str(), event.what.name());
                tracing::warn!(host, what, why, "the webhook was not told of an event");
                return metrics.count(GIVEN_UP, 1);
            }
            tracing::debug!(why, "the webhook is told again later");
            tokio::time::sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&self, https: &Https, body: &Bytes) -> Result<(), String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        let request = Request::post(self.url.0.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE, self.secret.sign(seconds, body))
            .body(body.clone())
            .map_err(|error| error.to_string())?;
        let answer = https.send(request, ANSWERING).await;
        let status = answer.map_err(|error| error.to_string())?.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answers with {status}")),
        }
    }
}

/// What is said of an event.
fn body(event: &Happened) -> String {
    let mut body = json!({
        "id": id(event),
        "event": event.what.name(),
        "at_millis": event.at.as_millis(),
        "pairing": event.pairing.to_string(),
    });
    if let Some(account) = &event.account {
        body["account"] = account.as_str().into();
    }
    if let What::Closed { bytes, lasted, .. } = event.what {
        body["bytes"] = bytes.into();
        body["duration_millis"] = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX).into();
    }
    body.to_string()
}

/// The same for the same event, whichever node of control tells of it, and however often.
fn id(event: &Happened) -> String {
    let began = match event.what {
        What::Paired => 0,
        What::Connected { began } | What::Closed { began, .. } => began.as_millis(),
    };
    let all = format!("{} {} {began}", event.what.name(), event.pairing);
    let digest = digest::digest(&digest::SHA256, all.as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..16])
}

const SIGNATURE: &str = "peersox-signature";
/// Deliveries at the same time: one that is not answered holds up none of the others.
const AT_ONCE: usize = 8;
const ANSWERING: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use peersox_core::id::PairingId;
    use peersox_core::time::Timestamp;

    use super::*;

    const BEGAN: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn happened(what: What) -> Happened {
        Happened {
            what,
            pairing: PairingId::from_bytes([7; 16]),
            account: "ci".parse().ok(),
            at: BEGAN,
        }
    }

    fn closed(began: Timestamp) -> What {
        What::Closed {
            began,
            bytes: 12,
            lasted: Duration::from_millis(34),
        }
    }

    #[test]
    fn what_is_signed_is_the_time_a_dot_and_the_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let secret = WebhookSecret(Arc::new(key.clone()));
        let expected = hmac::sign(&key, b"1790000000.{}");
        let expected = HEXLOWER.encode(expected.as_ref());
        assert_eq!(
            secret.sign(1_790_000_000, b"{}"),
            format!("t=1790000000,v1={expected}")
        );
    }

    #[test]
    fn an_event_has_one_id_and_says_what_happened() {
        let paired = happened(What::Paired);
        let later = Happened {
            at: BEGAN + Duration::from_secs(1),
            ..paired.clone()
        };
        assert_eq!(id(&paired), id(&later));
        let began = BEGAN + Duration::from_secs(1);
        let ids = [
            id(&paired),
            id(&happened(What::Connected { began: BEGAN })),
            id(&happened(What::Connected { began })),
            id(&happened(closed(BEGAN))),
        ];
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        let said: serde_json::Value =
            serde_json::from_str(&body(&happened(closed(BEGAN)))).unwrap();
        assert_eq!(said["event"], "closed");
        assert_eq!(
            (&said["bytes"], &said["duration_millis"]),
            (&12.into(), &34.into())
        );
        assert_eq!(said["account"], "ci");
    }

    #[test]
    fn where_it_is_told_holds_no_password() {
        for good in ["https://app.example/x?y=1", "http://app:8080/"] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        for bad in [
            "app.example",
            "ftp://app.example",
            "https://u:p@app.example",
        ] {
            assert_eq!(bad.parse::<WebhookUrl>(), Err(BadWebhookUrl), "{bad}");
        }
    }
}
