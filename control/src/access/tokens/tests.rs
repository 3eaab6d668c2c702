use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const SECONDS: u64 = 1_790_000_000;

/// RFC 7515, appendix A.2: an RSA key and what it signed, byte for byte.
const RFC_7515_RSA: &str = concat!(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql",
    "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs",
    "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud",
    "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
);
const RFC_7515_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9",
    "pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Q",
    "c_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARN",
    "PvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6I",
    "eYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);

/// An issuer with a key of each kind that it can sign with here.
struct Issuer {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref(), &rng).unwrap();
        Self {
            ed25519: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap(),
            p256,
        }
    }

    fn set(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let point = self.p256.public_key().as_ref();
        let x = self.ed25519.public_key().as_ref();
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(x)},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig",
             "x": text(&point[1..33]), "y": text(&point[33..])},
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "e": "AQAB", "n": RFC_7515_RSA},
        ]})
    }

    fn tokens(&self) -> Tokens {
        let set = KeySet::from_json(self.set().to_string().as_bytes()).unwrap();
        assert_eq!(set.len(), 3);
        let (_, keys) = watch::channel(Some(Arc::new(set)));
        Tokens {
            issuer: "https://id.example".to_owned(),
            audience: "peersox".to_owned(),
            quota: "pairings=9".parse().unwrap(),
            keys,
            // Nobody answers: there are no newer keys.
            newest: mpsc::channel(1).0,
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encoded = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let bytes = signed.as_bytes();
        let signature = match header["alg"].as_str() {
            Some("ES256") => {
                let signature = self.p256.sign(&SystemRandom::new(), bytes).unwrap();
                signature.as_ref().to_vec()
            }
            Some("none") => Vec::new(),
            Some("HS256") => {
                // The key that everybody knows, as the shared secret.
                let key = self.ed25519.public_key().as_ref();
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
                ring::hmac::sign(&key, bytes).as_ref().to_vec()
            }
            _ => self.ed25519.sign(bytes).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "peersox", "sub": "auth0|5f7c",
        "exp": SECONDS + 60, "nbf": SECONDS - 5, "scope": "openid",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn judged(tokens: &Tokens, token: &str) -> Result<Grant, BadToken> {
    tokens.find(token, NOW).await.expect("the keys are known")
}

#[tokio::test]
async fn tokens_of_the_issuer_are_taken_whichever_key_signed_them() {
    let (issuer, tokens) = (Issuer::new(), Issuer::new());
    let tokens = Tokens {
        keys: issuer.tokens().keys,
        ..tokens.tokens()
    };
    for header in [
        json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"}),
        json!({"alg": "ES256", "kid": "ec"}),
        json!({"alg": "ES256"}),
    ] {
        let grant = judged(&tokens, &issuer.sign(&header, &claims())).await;
        let grant = grant.unwrap();
        assert_eq!(grant.account.as_str(), "auth0|5f7c");
        assert_eq!(grant.quota.pairings, Some(9));
    }
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let quota = with("peersox_quota", "sessions=2".into());
    let grant = judged(&tokens, &issuer.sign(&header, &quota))
        .await
        .unwrap();
    assert_eq!(
        (grant.quota.sessions, grant.quota.pairings),
        (Some(2), None)
    );
    let audiences = with("aud", json!(["other", "peersox"]));
    assert!(
        judged(&tokens, &issuer.sign(&header, &audiences))
            .await
            .is_ok()
    );
}

/// A signature of RSA that is good: what is refused is when it expired.
#[tokio::test]
async fn a_token_of_the_rfc_is_verified_by_rsa() {
    let tokens = Issuer::new().tokens();
    assert_eq!(
        judged(&tokens, RFC_7515_TOKEN).await,
        Err(BadToken::Expired)
    );
    let forged = RFC_7515_TOKEN.replace(".cC4h", ".cC4i");
    assert_eq!(judged(&tokens, &forged).await, Err(BadToken::Signature));
}

#[tokio::test]
async fn claims_have_to_be_those_of_this_server_at_this_time() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let absent = Value::Null;
    for (name, value, expected) in [
        ("exp", json!(SECONDS - 31), Err(BadToken::Expired)),
        ("exp", json!(SECONDS - 29), Ok(())),
        ("exp", absent.clone(), Err(BadToken::NoExpiry)),
        ("exp", json!("soon"), Err(BadToken::Malformed)),
        ("nbf", json!(SECONDS + 31), Err(BadToken::NotYet)),
        ("nbf", json!(SECONDS + 29), Ok(())),
        ("nbf", absent.clone(), Ok(())),
        ("iss", json!("https://evil.example"), Err(BadToken::Issuer)),
        ("iss", absent.clone(), Err(BadToken::Issuer)),
        ("aud", json!("other"), Err(BadToken::Audience)),
        ("aud", json!(["other"]), Err(BadToken::Audience)),
        ("aud", absent.clone(), Err(BadToken::Audience)),
        ("sub", absent, Err(BadToken::Subject)),
        ("sub", json!("a\nb"), Err(BadToken::Subject)),
        ("sub", json!(7), Err(BadToken::Malformed)),
        ("peersox_quota", json!("legs=1"), Err(BadToken::Quota)),
    ] {
        let mut changed = with(name, value.clone());
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(name);
        }
        let judged = judged(&tokens, &issuer.sign(&header, &changed)).await;
        assert_eq!(judged.map(drop), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_key_decides_on_the_algorithm_and_never_the_token() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let tokens = issuer.tokens();
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "none", "kid": "ed"}),
        json!({"alg": "HS256", "kid": "ed"}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256", "kid": "ed"}),
        json!({"alg": "EdDSA", "kid": "ec"}),
        json!({"alg": "EdDSA", "kid": "rsa"}),
        json!({"alg": "EdDSA", "kid": "unknown"}),
        json!({"alg": "Ed25519", "kid": "ed"}),
    ] {
        let token = issuer.sign(&header, &claims());
        assert_eq!(
            judged(&tokens, &token).await,
            Err(BadToken::Signature),
            "{header}"
        );
    }
    let foreign = stranger.sign(&json!({"alg": "ES256", "kid": "ec"}), &claims());
    assert_eq!(judged(&tokens, &foreign).await, Err(BadToken::Signature));
    let header = json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false});
    let token = issuer.sign(&header, &claims());
    assert_eq!(
        judged(&tokens, &token).await,
        Err(BadToken::Malformed),
        "crit"
    );
}

#[tokio::test]
async fn no_changed_byte_passes_and_nothing_panics() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    let token = issuer.sign(&json!({"alg": "EdDSA", "kid": "ed"}), &claims());
    assert!(judged(&tokens, &token).await.is_ok());
    for at in 0..token.len() {
        assert!(judged(&tokens, &token[..at]).await.is_err(), "cut at {at}");
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(judged(&tokens, &changed).await.is_err(), "changed at {at}");
    }
    for junk in ["", ".", "..", "...", "e30.e30.", &"a".repeat(LONGEST + 1)] {
        assert_eq!(
            judged(&tokens, junk).await,
            Err(BadToken::Malformed),
            "{junk}"
        );
    }
}

#[test]
fn keys_that_cannot_verify_are_passed_over() {
    let short = &RFC_7515_RSA[..171];
    for key in [
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "X25519", "x": BASE64URL_NOPAD.encode(&[1; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "e": "AQAB", "n": short}),
        json!({"kty": "RSA", "e": "AQAB", "n": RFC_7515_RSA, "alg": "RS512"}),
        json!({"kty": "RSA", "e": "AQAB", "n": RFC_7515_RSA, "use": "enc"}),
        json!({"kty": "new"}),
        json!(7),
    ] {
        let set = json!({"keys": [key]}).to_string();
        let read = KeySet::from_json(set.as_bytes());
        assert_eq!(read.map(|it| it.len()), Err(BadKeySet::NoKey), "{set}");
    }
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#] {
        let read = KeySet::from_json(bad.as_bytes());
        assert_eq!(read.map(|it| it.len()), Err(BadKeySet::Malformed), "{bad}");
    }
}
