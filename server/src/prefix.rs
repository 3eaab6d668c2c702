//! The path below which a proxy serves this server.
//!
//! A proxy either takes the path away or passes it on. The server cannot know which, so it answers below
//! the path of its public address as well as without:
//!
//! ```text
//! public URL https://host/x/          /x/status.json ─► /status.json
//!                                     /status.json   ─► /status.json
//!                                     /x             ─► redirect to /x/
//! ```

use axum::response::Redirect;
use http::Uri;
use http::uri::PathAndQuery;
use peersox_control::directory::PublicUrl;

/// A path without a slash at its end; empty for a server at the root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix(String);

/// What is to be done with a request.
pub(crate) enum Way {
    /// Route it by this address.
    Route(Uri),
    /// Send the browser there: relative addresses of the page need the slash.
    Redirect(Redirect),
}

impl Prefix {
    /// The path of a public address.
    pub(crate) fn of(public_url: Option<&PublicUrl>) -> Self {
        let path = public_url.map_or("/", PublicUrl::path);
        Self(path.trim_end_matches('/').to_owned())
    }

    /// What to do with a request for this address.
    pub(crate) fn way(&self, uri: Uri) -> Way {
        let rest = match uri.path_and_query() {
            Some(path) if !self.0.is_empty() => path.as_str().strip_prefix(&self.0),
            _ => None,
        };
        match rest {
            Some("") => Way::Redirect(Redirect::permanent(&format!("{}/", self.0))),
            Some(rest) if rest.starts_with('/') => Way::Route(below(rest, &uri).unwrap_or(uri)),
            _ => Way::Route(uri),
        }
    }
}

fn below(rest: &str, uri: &Uri) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::header::LOCATION;

    use super::*;

    fn way(public_url: Option<&str>, uri: &str) -> String {
        let public_url: Option<PublicUrl> = public_url.map(|url| url.parse().unwrap());
        match Prefix::of(public_url.as_ref()).way(uri.parse().unwrap()) {
            Way::Route(uri) => uri.to_string(),
            Way::Redirect(to) => {
                let response = to.into_response();
                format!("to {}", response.headers()[LOCATION].to_str().unwrap())
            }
        }
    }

    #[test]
    fn requests_are_answered_with_and_without_the_path() {
        let root = Some("https://host/");
        let below = Some("https://host/a/x/");
        for (public_url, uri, expected) in [
            (None, "/x", "/x"),
            (root, "/", "/"),
            (below, "/", "/"),
            (below, "/a/x", "to /a/x/"),
            (below, "/a/x/", "/"),
            (below, "/a/x/status.json?now", "/status.json?now"),
            (below, "/a/xy", "/a/xy"),
            (below, "http://host/a/x/v1/relay", "http://host/v1/relay"),
            (below, "/a/x//a/x", "//a/x"),
        ] {
            assert_eq!(way(public_url, uri), expected, "{public_url:?} {uri}");
        }
    }
}
