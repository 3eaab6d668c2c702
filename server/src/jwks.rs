//! The public keys that tickets are signed with, as a JSON Web Key Set (RFC 7517, RFC 8037), for programs
//! that check tickets themselves.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use peersox_core::ticket::Keyring;
use serde_json::{Value, json};
use tokio::sync::watch;

/// `/.well-known/jwks.json`; the first key signs.
pub(crate) fn router(keys: watch::Receiver<Keyring>) -> Router {
    let answer = move || async move {
        let set = set(&keys.borrow().public_keys());
        let type_and_age = [
            (header::CONTENT_TYPE, "application/jwk-set+json"),
            (header::CACHE_CONTROL, "max-age=300"),
        ];
        (type_and_age, set.to_string())
    };
    Router::new().route("/.well-known/jwks.json", get(answer))
}

fn set(keys: &[[u8; 32]]) -> Value {
    let key = |key: &[u8; 32]| {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": BASE64URL_NOPAD.encode(key),
            "alg": "EdDSA",
            "use": "sig",
        })
    };
    json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8037, appendix A.2.
    #[test]
    fn a_key_looks_as_in_the_rfc() {
        let hex = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let set = set(&[bytes.try_into().unwrap()]);
        let key = &set["keys"][0];
        assert_eq!(key["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(
            (&key["kty"], &key["crv"]),
            (&json!("OKP"), &json!("Ed25519"))
        );
    }
}
