//! The keys of an issuer of tokens, kept up to date.
//!
//! ```text
//! start, max-age, a token with an unknown `kid` ──► GET the key set ─┬─ read ──► control
//!                                                                   └─ not ───► the former keys stay
//! ```
//!
//! Anybody can make up a `kid`. So what tokens ask for has a budget: [`BURST`] fetches, of which one comes
//! back every [`PAUSE`].

use std::convert::Infallible;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use peersox_control::access::{BadKeySet, KeySet};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use url::{Host, Url};

use crate::https::Https;
use crate::watched::Watched;

/// Where the keys of an issuer are: a file, or a URL of `https`, as its `jwks_uri` says.
#[derive(Clone, Debug)]
pub enum KeySetSource {
    /// A file, which is read again when it changes.
    File(KeySetFile),
    /// A URL.
    Url(KeySetUrl),
}

/// A key set in a file.
#[derive(Clone, Debug)]
pub struct KeySetFile {
    file: Watched<1>,
    keys: Arc<KeySet>,
}

impl KeySetFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, String> {
        let file = Watched::new([path.into()]);
        let [path] = file.paths();
        let keys = Arc::new(read(path)?);
        Ok(Self { file, keys })
    }
}

fn read(path: &Path) -> Result<KeySet, String> {
    let at = |why: String| format!("cannot use the key set in {}: {why}", path.display());
    let mode = std::fs::metadata(path).map(|it| it.mode());
    if mode.map_err(|error| at(error.to_string()))? & 0o022 != 0 {
        return Err(at(
            "others may write to it, and so decide who may create; `chmod go-w` takes that away"
                .to_owned(),
        ));
    }
    let json = std::fs::read(path).map_err(|error| at(error.to_string()))?;
    KeySet::from_json(&json).map_err(|error| at(error.to_string()))
}

/// The URL of a key set: `https`, or `http` at this machine. Whoever answers there says who may create
/// pairings.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySetUrl(Url);

impl KeySetUrl {
    /// For the log: without a query, which may hold a secret.
    fn shown(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.to_string()
    }
}

impl std::fmt::Debug for KeySetUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeySetUrl").field(&self.shown()).finish()
    }
}

/// A text is not where a key set can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write where the key set is as in https://id.example/jwks.json; http is for this machine only"
)]
pub struct BadKeySetUrl;

impl FromStr for KeySetUrl {
    type Err = BadKeySetUrl;

    fn from_str(text: &str) -> Result<Self, BadKeySetUrl> {
        let url = Url::parse(text).map_err(|_| BadKeySetUrl)?;
        let is_usable = url.username().is_empty()
            && url.password().is_none()
            && match url.scheme() {
                "https" => url.has_host(),
                "http" => is_this_machine(&url),
                _ => false,
            };
        is_usable.then_some(Self(url)).ok_or(BadKeySetUrl)
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        None => false,
    }
}

/// What control is given: the present keys.
pub(super) type Present = watch::Sender<Option<Arc<KeySet>>>;

/// What control asks for the newest keys: a question that is dropped once somebody has looked.
pub(super) type Questions = mpsc::Receiver<oneshot::Sender<Infallible>>;

impl KeySetSource {
    /// The keys that are known at the start.
    pub(super) fn first(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(file) => Some(Arc::clone(&file.keys)),
            Self::Url(_) => None,
        }
    }

    /// Keeps the keys up to date, for ever.
    pub(super) async fn keep(self, present: Present, questions: Questions, asked: Arc<Notify>) {
        match self {
            Self::File(KeySetFile { file, .. }) => {
                // A file is read when it changes: there are no newer keys than those.
                drop(questions);
                let [path] = file.paths().clone();
                let reading = path.clone();
                let then =
                    |outcome: Result<KeySet, String>| take(&present, outcome, &path.display());
                file.each_change(&asked, move || read(&reading), then).await;
            }
            Self::Url(url) => fetch(&url, &present, questions, &asked).await,
        }
    }
}

fn take(present: &Present, outcome: Result<KeySet, String>, from: &dyn std::fmt::Display) {
    match outcome {
        Ok(set) => {
            tracing::info!(%from, keys = set.len(), "the key set of the issuer was read");
            present.send_replace(Some(Arc::new(set)));
        }
        Err(why) => {
            tracing::warn!(%from, why, "the key set of the issuer cannot be used; the former one counts");
        }
    }
}

async fn fetch(url: &KeySetUrl, present: &Present, mut questions: Questions, asked: &Notify) {
    let Ok(https) = Https::new(None) else {
        return;
    };
    let mut budget = Budget::full(Instant::now());
    loop {
        let age = match get(&https, url).await {
            Ok((set, age)) => {
                take(present, Ok(set), &url.shown());
                age
            }
            Err(why) => {
                take(present, Err(why), &url.shown());
                PAUSE
            }
        };
        let due = Instant::now() + age;
        loop {
            let question = tokio::select! {
                () = tokio::time::sleep_until(due) => break,
                () = asked.notified() => break,
                question = questions.recv() => question,
            };
            // Control has ended, and nobody asks any more.
            let Some(question) = question else {
                return;
            };
            if budget.take(Instant::now()) {
                let others = std::iter::from_fn(|| questions.try_recv().ok());
                let waiting: Vec<_> = others.chain([question]).collect();
                if let Ok((set, _)) = get(&https, url).await {
                    take(present, Ok(set), &url.shown());
                }
                // They look again now.
                drop(waiting);
            }
        }
    }
}

async fn get(https: &Https, url: &KeySetUrl) -> Result<(KeySet, Duration), String> {
    let request = Request::get(url.0.as_str())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let answer = https.send(request, ANSWERING).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answers with {}", answer.status()));
    }
    let set = KeySet::from_json(answer.body());
    let set = set.map_err(|error: BadKeySet| error.to_string())?;
    Ok((set, max_age(answer.headers())))
}

/// For how long an answer is good (RFC 9111), within bounds.
fn max_age(headers: &HeaderMap) -> Duration {
    let said = headers.get(header::CACHE_CONTROL);
    let said = said.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut parts = said.split(',').map(str::trim);
    let seconds = parts.find_map(|part| part.strip_prefix("max-age=")?.parse().ok());
    let age = seconds.map_or(USUAL_AGE, Duration::from_secs);
    age.clamp(LEAST_AGE, LONGEST_AGE)
}

/// How many fetches strangers may still cause.
struct Budget {
    left: u32,
    /// Since when the next one comes back.
    since: Instant,
}

impl Budget {
    const fn full(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && self.since + PAUSE <= now {
            self.left += 1;
            self.since += PAUSE;
        }
        if self.left == BURST {
            self.since = now;
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

/// Fetches that tokens with unknown keys may cause in a row.
const BURST: u32 = 4;
/// After which one of them comes back, and after which a failed fetch is repeated.
const PAUSE: Duration = Duration::from_secs(30);
const ANSWERING: Duration = Duration::from_secs(10);
const USUAL_AGE: Duration = Duration::from_secs(3_600);
const LEAST_AGE: Duration = Duration::from_secs(60);
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cause_few_fetches() {
        let start = Instant::now();
        let mut budget = Budget::full(start);
        let taken = |budget: &mut Budget, at| (0..10).filter(|_| budget.take(start + at)).count();
        assert_eq!(taken(&mut budget, Duration::ZERO), 4);
        assert_eq!(taken(&mut budget, PAUSE), 1);
        assert_eq!(taken(&mut budget, PAUSE * 3), 2);
        assert_eq!(taken(&mut budget, PAUSE * 100), 4);
        assert_eq!(taken(&mut budget, PAUSE * 100), 0);
    }

    #[test]
    fn a_key_set_is_fetched_over_tls_unless_it_is_here() {
        for good in [
            "https://id.example/jwks.json?tenant=1",
            "http://127.0.0.1:1/keys",
            "http://[::1]/",
            "http://localhost/",
        ] {
            assert!(good.parse::<KeySetUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/",
            "https://u:p@id.example/",
            "ftp://127.0.0.1/",
            "jwks.json",
            "http://localhost.evil.example/",
        ] {
            assert_eq!(bad.parse::<KeySetUrl>(), Err(BadKeySetUrl), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_good_for_a_while() {
        let age = |said: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, said.parse().unwrap());
            max_age(&headers).as_secs()
        };
        assert_eq!(age("public, max-age=600, must-revalidate"), 600);
        assert_eq!(age("no-store"), 3_600);
        assert_eq!(age("max-age=0"), 60);
        assert_eq!(age("max-age=999999999"), 86_400);
        assert_eq!(max_age(&HeaderMap::new()), USUAL_AGE);
    }
}
