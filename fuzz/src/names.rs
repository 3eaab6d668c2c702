//! Names and secrets of a fixed form: relays, pairings, credentials, networks.
//!
//! Laws: what is read is what is read again from how it is written.

use peersox_core::id::PairingId;
use peersox_core::limit::{Network, Networks};
use peersox_core::pairing::Credential;
use peersox_core::placement::RelayName;
use peersox_core::secure::PairingSecret;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(id) = PairingId::try_from(bytes) {
        assert_eq!(PairingId::try_from(String::from(id)), Ok(id));
    }
    if let Ok(credential) = Credential::try_from(bytes) {
        assert_eq!(&credential.to_bytes()[..], bytes);
        assert_eq!(credential.pairing().as_bytes()[..], bytes[..PairingId::LEN]);
    }
    if let Ok(secret) = PairingSecret::try_from(bytes) {
        assert_eq!(&secret.as_bytes()[..], bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(name) = text.parse::<RelayName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= 64);
    }
    if let Ok(id) = PairingId::try_from(text.to_owned()) {
        assert_eq!(String::from(id), text);
    }
    if let Ok(network) = text.parse::<Network>() {
        let networks = Networks::from_iter([network]);
        let address = text.split('/').next().and_then(|it| it.parse().ok());
        assert!(networks.contains(address.expect("a network begins with an address")));
    }
}
