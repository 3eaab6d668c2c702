//! The page, which the server is given as routes of its embedder.
//!
//! `scripts/web` builds the page and `build.rs` puts it in here; without it there is a plain status page.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get};
use peersox_server::Origin;

use super::asset::Asset;
use super::share;

/// `/` for people, and what it loads. `public` is where peers are told to find the relay, and `relays` are
/// those that run apart, as they are when the page is asked for.
pub(super) fn router(
    public: Option<&Origin>,
    relays: impl Fn() -> Vec<Origin> + Clone + Send + Sync + 'static,
) -> Router {
    let mut router = Router::new();
    for asset in assets() {
        let (public, relays) = (public.cloned(), relays.clone());
        let policy = move || {
            let origins: Vec<_> = public.iter().cloned().chain(relays()).collect();
            policy(&origins)
        };
        let answer =
            move |request: HeaderMap| async move { guarded(asset.answer(&request), policy()) };
        router = router.route(asset.path, get(answer));
    }
    router = router.route(share::PATH, any(share::answer));
    router.fallback(|| async {
        (
            StatusCode::NOT_FOUND,
            "there is nothing here; / is the page\n",
        )
    })
}

/// What a relay alone says to people.
pub(super) fn none() -> Router {
    Router::new().fallback(|| async {
        (
            StatusCode::NOT_FOUND,
            "this is a relay; the page is where control is\n",
        )
    })
}

/// The page if it was built, else the plain status page.
fn assets() -> &'static [Asset] {
    if SITE.is_empty() { PLAIN } else { SITE }
}

fn guarded(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (PERMISSIONS, "camera=(self), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Scripts, styles and connections of this server only, and connections to where peers are told to find a
/// relay; `blob:` is how a page hands a file to be saved.
fn policy(relays: &[Origin]) -> HeaderValue {
    let relays = relays.iter().map(Origin::to_string);
    let relays = relays.map(|it| format!(" {it} {}", it.replacen("http", "ws", 1)));
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' blob:; connect-src 'self'{}; manifest-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        relays.collect::<String>()
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

const PLAIN: &[Asset] = &[
    Asset::plain(
        "/",
        "text/html; charset=utf-8",
        include_str!("../../assets/index.html"),
    ),
    Asset::plain(
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("../../assets/page.css"),
    ),
    Asset::plain(
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../assets/page.js"),
    ),
];

// `SITE`, written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/site.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_public_address_and_nothing_inline() {
        let own = policy(&[]);
        assert!(own.to_str().unwrap().contains("connect-src 'self';"));
        let public = policy(&["https://p.example/".parse().unwrap()]);
        let public = public.to_str().unwrap();
        assert!(
            public.contains("connect-src 'self' https://p.example wss://p.example;"),
            "{public}"
        );
        assert!(!public.contains("unsafe-inline") && !public.contains("'unsafe-eval'"));
    }

    #[test]
    fn there_is_a_page_at_the_root_whether_or_not_it_was_built() {
        assert!(
            assets()
                .iter()
                .any(|it| it.path == "/" && !it.plain.is_empty())
        );
    }
}
