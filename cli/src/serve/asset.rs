//! Files that are part of the binary, in the encoding that a browser likes best.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: &'static str,
    /// Its MIME type.
    pub(super) kind: &'static str,
    /// Changes with the content; empty if nobody computed one.
    pub(super) digest: &'static str,
    pub(super) plain: &'static [u8],
    pub(super) gzip: Option<&'static [u8]>,
    pub(super) brotli: Option<&'static [u8]>,
}

impl Asset {
    /// A file as it is.
    pub(super) const fn plain(path: &'static str, kind: &'static str, body: &'static str) -> Self {
        Self {
            path,
            kind,
            digest: "",
            plain: body.as_bytes(),
            gzip: None,
            brotli: None,
        }
    }

    /// The answer to a request with these headers.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let (encoding, body) = self.encoded(request);
        // One tag for each encoding: a strong tag stands for bytes.
        let tag = format!("\"{}{}\"", self.digest, encoding.unwrap_or_default());
        let tag = HeaderValue::try_from(tag)
            .ok()
            .filter(|_| !self.digest.is_empty());
        let mut response = match &tag {
            Some(tag) if is_known(request, tag) => StatusCode::NOT_MODIFIED.into_response(),
            _ => body.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(self.lifetime()),
        );
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    /// A name with a digest in it never means anything else; every other name is asked for again.
    fn lifetime(&self) -> &'static str {
        if !self.digest.is_empty() && self.path.contains(self.digest) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }

    fn encoded(&self, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let offers = [("br", self.brotli), ("gzip", self.gzip)];
        for (name, body) in offers {
            if let Some(body) = body
                && accepts(request, name)
            {
                return (Some(name), body);
            }
        }
        (None, self.plain)
    }
}

/// Whether a browser takes an encoding: it is listed, and not with a quality of zero.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING).iter();
    let items = lists.filter_map(|list| list.to_str().ok());
    items.flat_map(|list| list.split(',')).any(|item| {
        let (name, quality) = item.split_once(';').unwrap_or((item, "q=1"));
        let quality = quality.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case(encoding)
            && quality.trim().parse().unwrap_or(0.0_f32) > 0.0
    })
}

/// Whether the browser has this very representation.
fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().unwrap_or_default();
    let lists = request.get_all(header::IF_NONE_MATCH).iter();
    let tags = lists.filter_map(|list| list.to_str().ok());
    tags.flat_map(|list| list.split(','))
        .map(|it| it.trim().trim_start_matches("W/"))
        .any(|it| it == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: Asset = Asset {
        path: "/assets/page-abc123.js",
        kind: "text/javascript; charset=utf-8",
        digest: "abc123",
        plain: b"plain",
        gzip: Some(b"gzip"),
        brotli: Some(b"brotli"),
    };

    fn ask(asset: &Asset, rows: &[(&str, &str)]) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            let name: header::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        asset.answer(&headers)
    }

    #[test]
    fn the_smallest_encoding_that_is_accepted_is_served() {
        let rows = [
            ("", None),
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, br;q=0", Some("gzip")),
            ("GZIP;q=0.5", Some("gzip")),
            ("identity", None),
            ("gzip;q=nonsense", None),
            ("gzip;q=0, br; q=0.0", None),
        ];
        for (accepted, expected) in rows {
            let response = ask(&ASSET, &[("accept-encoding", accepted)]);
            let encoding = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(
                encoding.map(|it| it.to_str().unwrap()),
                expected,
                "{accepted}"
            );
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
        }
    }

    #[test]
    fn a_hashed_name_is_kept_for_ever_and_others_are_asked_for_again() {
        let hashed = ask(&ASSET, &[]);
        let cached = hashed.headers()[header::CACHE_CONTROL].to_str().unwrap();
        assert!(cached.contains("immutable"), "{cached}");

        let index = Asset { path: "/", ..ASSET };
        let first = ask(&index, &[("accept-encoding", "br")]);
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = [("accept-encoding", "br"), ("if-none-match", tag.as_str())];
        assert_eq!(ask(&index, &again).status(), StatusCode::NOT_MODIFIED);
        // Another encoding is another representation.
        let other = [("if-none-match", tag.as_str())];
        assert_eq!(ask(&index, &other).status(), StatusCode::OK);
    }

    #[test]
    fn a_file_without_a_digest_has_no_tag() {
        let plain = ask(&Asset::plain("/", "text/html", "hello"), &[]);
        assert_eq!(plain.headers().get(header::ETAG), None);
        assert_eq!(plain.headers()[header::CACHE_CONTROL], "no-cache");
    }
}
