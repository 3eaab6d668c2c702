//! The keys that tickets are signed with, while they are replaced.

use std::time::Duration;

use peersox_control::Config;
use peersox_core::ticket::{Signer, Verifier};

use crate::harness::Server;

#[tokio::test]
async fn a_key_that_was_replaced_is_forgotten_with_its_last_ticket() {
    let server = Server::start().await;
    let mut keys = server.control.keys();
    let old = keys.borrow_and_update().public_keys();
    let renewed = server.control.renewed_keys(Signer::from_seed(&[9; 32]));
    server.control.use_keys(renewed);
    let both = keys.borrow_and_update().public_keys();
    assert_eq!(both[1..], old[..]);
    let lives = Config::default().ticket_lifetime + 2 * Verifier::LEEWAY;
    server.pass(lives - Duration::from_millis(1));
    server.control.sweep().await;
    assert!(!keys.has_changed().unwrap(), "its last ticket may be good");
    server.pass(Duration::from_millis(1));
    server.control.sweep().await;
    assert!(keys.has_changed().unwrap(), "relays are told");
    assert_eq!(keys.borrow_and_update().public_keys(), both[..1]);
}
