//! What the server carries of a transfer.

use super::pairs::{FILE, Path, expected, file_arrives};
use super::{Lab, Network};

/// A file on a direct path is nothing to the server; one on a relayed path comes and leaves.
#[tokio::test]
async fn the_server_carries_files_of_those_who_have_no_other_path() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    let here = lab.device(Network::PortRestricted);
    for network in [Network::Double, Network::Symmetric, Network::UdpBlocked] {
        let there = lab.device(network);
        let before = lab.carried();
        file_arrives(&lab.url(), &here, &there)
            .await
            .expect("it arrives");
        let after = lab.carried();
        let (udp, tcp) = (after.udp - before.udp, after.tcp - before.tcp);
        let file = FILE as u64;
        match expected(here.network, network) {
            Path::Direct => assert!(udp + tcp < file / 10, "{network:?}: {udp} and {tcp}"),
            Path::Relay if network == Network::UdpBlocked => {
                assert!(udp >= file && tcp >= file, "{udp} and {tcp}");
            }
            Path::Relay => assert!(udp >= 2 * file, "{network:?}: {udp} and {tcp}"),
        }
    }
    server.stop().await;
}
