//! Tickets, as a Hello brings them.
//!
//! Laws: a ticket is good only if its signed part is, byte for byte, one that control signed, at the relay
//! and at the time that it is for. Claims that control might sign some day are read as they were written, or
//! refused.

use std::sync::LazyLock;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use peersox_core::id::PairingId;
use peersox_core::placement::RelayName;
use peersox_core::role::Role;
use peersox_core::ticket::{Claims, Signer, Verifier};
use peersox_core::time::Timestamp;

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() {
        b'!' => any_claims(input.rest()),
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                as_it_came(text);
            }
        }
    }
}

fn as_it_came(text: &str) {
    let there: RelayName = "r1".parse().expect("it is a name");
    for verifier in [VERIFIER.clone(), VERIFIER.clone().at(&there)] {
        for now in [NOW, NOW + 2 * LIFETIME] {
            let Ok(claims) = verifier.verify(text, now) else {
                continue;
            };
            assert!(now == NOW && text.len() <= Verifier::MAX_LEN);
            let signed = |it: &String| it.rsplit_once('.').map(|it| it.0.to_owned());
            let genuine = GENUINE
                .iter()
                .find(|(it, _)| signed(it) == signed(&text.to_owned()));
            let (_, is_of) = genuine.expect("control has signed no such ticket");
            assert_eq!(claims, *is_of);
        }
    }
}

/// Signs a header and claims that no control would.
fn any_claims(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (header, claims) = bytes.split_at(at.unwrap_or(bytes.len()));
    let parts = [header, claims].map(|part| BASE64URL_NOPAD.encode(part));
    let signed = parts.join(".");
    let signature = SigningKey::from_bytes(&SEED).sign(signed.as_bytes());
    let ticket = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()));
    let Ok(claims) = VERIFIER.verify(&ticket, NOW) else {
        return;
    };
    let again = Signer::from_seed(&SEED).sign(claims, None, NOW, LIFETIME);
    assert_eq!(VERIFIER.verify(&again, NOW), Ok(claims));
}

const SEED: [u8; 32] = [1; 32];
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = Signer::from_seed(&SEED).public_key();
    Verifier::new(&[key]).expect("it is a key")
});

/// Tickets that control has signed: the corpus holds them, too.
static GENUINE: LazyLock<Vec<(String, Claims)>> = LazyLock::new(|| {
    let signer = Signer::from_seed(&SEED);
    let there: RelayName = "r1".parse().expect("it is a name");
    let mut all = Vec::new();
    for (role, relay, epoch) in [
        (Role::Initiator, None, 0),
        (Role::Joiner, None, 0),
        (Role::Joiner, Some(&there), 2),
    ] {
        let session = PairingId::from_bytes([7; 16]);
        let claims = Claims {
            session,
            role,
            epoch,
        };
        all.push((signer.sign(claims, relay, NOW, LIFETIME), claims));
    }
    all
});
