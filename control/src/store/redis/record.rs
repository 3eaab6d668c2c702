//! A pairing in Redis: its JSON, as in a file, and its version as `NUMBER-STAMP`, the stamp in hexadecimal.

use crate::store::{StoreError, Stored, Version};

/// Total: what is no record is an error, whatever it is.
pub(super) fn decoded(version: &str, record: &[u8]) -> Result<Stored, StoreError> {
    let damaged = |why: &str| StoreError(format!("the record of a pairing is damaged: {why}"));
    let version = read(version).ok_or_else(|| damaged("its version is none"))?;
    // The error's own text could quote what is stored.
    let pairing = serde_json::from_slice(record)
        .map_err(|error| damaged(&format!("no pairing in column {}", error.column())))?;
    Ok(Stored { pairing, version })
}

pub(super) fn text(version: Version) -> String {
    format!("{}-{:x}", version.number, version.stamp)
}

fn read(version: &str) -> Option<Version> {
    let (number, stamp) = version.split_once('-')?;
    let (number, stamp) = (number.parse().ok()?, u64::from_str_radix(stamp, 16).ok()?);
    Some(Version { number, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn what_is_written_is_read_and_damage_is_told_without_what_is_stored() {
        let (pairing, _) = contract::create(contract::START);
        let json = serde_json::to_vec(&pairing).unwrap();
        let version = Version {
            number: 3,
            stamp: u64::MAX,
        };
        let stored = decoded(&text(version), &json).unwrap();
        assert_eq!(stored, Stored { pairing, version });
        for damaged in ["", "3", "3-", "-3", "x-1", "3-g"] {
            let error = decoded(damaged, &json).unwrap_err().0;
            assert!(error.contains("its version"), "{error}");
        }
        let error = decoded(&text(version), &json[1..]).unwrap_err().0;
        assert!(
            error.contains("no pairing") && !error.contains("hash"),
            "{error}"
        );
    }
}
