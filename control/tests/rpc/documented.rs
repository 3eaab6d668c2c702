//! What the protocol page says of pairing is so.

use std::path::Path;

use peersox_proto::v1::JoinPairingRequest;

use crate::web::framed;

/// The page.
fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    std::fs::read_to_string(page).expect("the page is there")
}

#[test]
fn the_example_of_the_page_is_true() {
    let page = page();
    let (_, block) = page.split_once("```hex pairing-join-request\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let bytes: Vec<u8> = block
        .lines()
        .flat_map(|line| line.split(';').next().unwrap().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let nameplate = "481920".to_owned();
    assert_eq!(
        bytes,
        framed(&JoinPairingRequest {
            nameplate,
            ..Default::default()
        })
    );
}

#[test]
fn every_reason_is_on_the_page() {
    let page = page();
    let source = include_str!("../../src/rpc/status.rs");
    let shouted =
        |text: &&str| text.len() > 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let reasons: Vec<_> = source.split('"').filter(shouted).collect();
    assert_eq!(reasons.len(), 23, "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
    }
}
