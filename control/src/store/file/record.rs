//! A pairing at rest.
//!
//! ```text
//! offset 0        1                    9
//!        +--------+--------------------+------------------------+
//!        | format |  version, u64 BE   |  the pairing, in JSON  |
//!        +--------+--------------------+------------------------+
//! ```
//!
//! Holds hashes of credentials, never credentials. Format 1 is read for ever; what JSON cannot add
//! without changing its meaning becomes format 2 beside it.

use peersox_core::pairing::Pairing;

use crate::store::{StoreError, Stored, Version};

pub(super) fn encode(pairing: &Pairing, version: Version) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![FORMAT];
    bytes.extend(version.number.to_be_bytes());
    serde_json::to_writer(&mut bytes, pairing)
        .map_err(|error| StoreError(format!("a pairing cannot be encoded: {error}")))?;
    Ok(bytes)
}

/// Total: bytes that are no record are an error, whatever they are.
pub(super) fn decode(bytes: &[u8]) -> Result<Stored, StoreError> {
    let damaged = |why: &str| StoreError(format!("the record of a pairing is damaged: {why}"));
    let (format, rest) = bytes.split_first().ok_or_else(|| damaged("it is empty"))?;
    if *format != FORMAT {
        return Err(damaged(&format!("its format is {format}")));
    }
    let (version, json) = rest
        .split_first_chunk()
        .ok_or_else(|| damaged("it is cut short"))?;
    // The error's own text could quote what is stored.
    let pairing = serde_json::from_slice(json)
        .map_err(|error| damaged(&format!("no pairing in column {}", error.column())))?;
    Ok(Stored {
        pairing,
        version: Version::numbered(u64::from_be_bytes(*version)),
    })
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use peersox_core::pairing::Config;
    use peersox_core::time::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::store::contract;

    /// What the first release wrote, byte for byte.
    const WAITING: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"waiting":{"nameplate":"048192","code_expires_at":1790000130000}},"#,
        r#""online":[true,false]}"#,
    );
    const JOINED: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"joined":{"#,
        r#""joiner":"2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""restorable_until":1790604800000}},"online":[false,true]}"#,
    );

    /// Of one that waits, and is not to be kept.
    const EPHEMERAL: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"waiting":{"nameplate":"048192","code_expires_at":1790000130000,"#,
        r#""code_ends_at":1790086400000,"secret_bits":20,"ephemeral":true}},"#,
        r#""online":[false,false],"attached":false}"#,
    );
    /// And once it is joined.
    const UNKEPT: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"joined":{"#,
        r#""joiner":"2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""restorable_until":1790000600000,"kept":false}},"online":[false,true]}"#,
    );

    /// Of a code that is guarded, of one that was redeemed, and of one whose joiner was let in.
    const GUARDED: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"guarded":{"nameplate":"048192","code_expires_at":1790000130000,"#,
        r#""code_ends_at":1790086400000,"secret_bits":20,"ephemeral":true}},"#,
        r#""online":[true,false]}"#,
    );
    const ASKED: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"asked":{"#,
        r#""joiner":"2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""expires_at":1790000120000,"kept":false,"label":"laptop"}},"online":[true,false]}"#,
    );
    const LABELLED: &str = concat!(
        r#"{"id":"000102030405060708090a0b0c0d0e0f","#,
        r#""initiator":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""state":{"joined":{"#,
        r#""joiner":"2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""restorable_until":1790000600000,"kept":false,"label":"laptop"}},"online":[true,false]}"#,
    );

    fn record(json: &str) -> Vec<u8> {
        [b"\x01\0\0\0\0\0\0\x01\x02".as_slice(), json.as_bytes()].concat()
    }

    #[test]
    fn format_1_is_read_and_written_for_ever() {
        for json in [WAITING, JOINED, EPHEMERAL, UNKEPT, GUARDED, ASKED, LABELLED] {
            let stored = decode(&record(json)).unwrap();
            assert_eq!(stored.version, Version::numbered(258));
            let is_joined = stored.pairing.nameplate().is_none();
            assert_eq!(is_joined, ![WAITING, EPHEMERAL, GUARDED].contains(&json));
            let again = encode(&stored.pairing, stored.version).unwrap();
            assert_eq!(again, record(json));
        }
    }

    /// What the first release wrote is kept, as it was then.
    #[test]
    fn an_old_record_says_that_a_pairing_is_kept() {
        let config = Config::default();
        let now = contract::START;
        for (json, ttl) in [(JOINED, config.restore_ttl), (UNKEPT, config.unkept_ttl)] {
            let stored = decode(&record(json)).unwrap().pairing;
            let after = stored.without_presence(&config, now);
            assert_eq!(after.expires_at(), now + ttl);
        }
        let waiting = decode(&record(WAITING)).unwrap().pairing;
        assert_eq!(waiting.secret_bits(), Some(20), "two words were usual");
        let mut alive = waiting;
        for _ in 0..2_000 {
            let half = alive.expires_at().as_millis() - 65_000;
            let half = Timestamp::from_millis(half);
            let next = contract::alive(&alive, half);
            if next == alive {
                break;
            }
            alive = next;
        }
        assert_eq!(
            alive.expires_at(),
            now + config.code_max,
            "its code is a lease, too"
        );
    }

    #[test]
    fn no_credential_is_written() {
        let (pairing, created) = contract::create(contract::START);
        let record = encode(&pairing, Version::FIRST).unwrap();
        let secret = &created.credential.to_bytes()[16..];
        let hex = String::from_utf8(record.clone()).unwrap();
        let spelt: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!record.windows(32).any(|window| window == secret));
        assert!(!hex.contains(&spelt));
    }

    proptest! {
        #[test]
        fn a_damaged_record_is_an_error(at in 0usize..300, to: u8, cut in 0usize..300) {
            let whole = record(WAITING);
            let (at, cut) = (at % whole.len(), cut % whole.len());
            prop_assert!(decode(&whole[..cut]).is_err());
            let mut changed = whole;
            changed[at] = to;
            // It may still say something; it must not panic.
            let _ = decode(&changed);
        }

        #[test]
        fn bytes_do_not_panic(bytes: Vec<u8>, json in ".{0,200}") {
            prop_assert!(decode(&bytes).is_err());
            prop_assert!(decode(&record(&json)).is_err());
        }
    }
}
