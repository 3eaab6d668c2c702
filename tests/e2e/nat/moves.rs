//! What a test changes in a laboratory while peers are connected: it takes effect, and ends.

use std::net::SocketAddr;

use super::prober::Prober;
use super::{Lab, Network};

#[tokio::test]
async fn a_device_gets_other_addresses_and_is_there_again() {
    let Some(mut lab) = Lab::new() else { return };
    let (mut witness, at) = Prober::outside(&lab, false, 0).await;
    let (mut witness_v6, at_v6) = Prober::outside(&lab, true, 0).await;
    for network in [
        Network::Open,
        Network::FullCone,
        Network::Symmetric,
        Network::Hairpin,
    ] {
        let mut device = lab.device(network);
        let before = (device.v4, device.v6);
        lab.readdress(&mut device);
        assert_ne!(before, (device.v4, device.v6), "{network:?}");

        let mut prober = Prober::on(&device, false).await;
        prober.send(at, "hello").await;
        let (_, from) = witness.next().await;
        if network == Network::Open {
            let own = device.v4.expect("it has one");
            assert_eq!(from, SocketAddr::new(own.into(), prober.port));
        }
        witness.send(from, "welcome").await;
        assert_eq!(
            prober.next().await,
            ("welcome".to_owned(), at),
            "{network:?}"
        );
    }
    for network in [Network::Open, Network::V6Only] {
        let mut device = lab.device(network);
        lab.readdress(&mut device);
        let mut prober = Prober::on(&device, true).await;
        prober.send(at_v6, "hello").await;
        let own = device.v6.expect("it has one");
        let from = SocketAddr::new(own.into(), prober.port);
        assert_eq!(
            witness_v6.next().await,
            ("hello".to_owned(), from),
            "{network:?}"
        );
    }
}

#[tokio::test]
async fn two_devices_are_kept_apart_and_both_hear_the_server() {
    let Some(mut lab) = Lab::new() else { return };
    let (mut server, at) = Prober::outside(&lab, false, 0).await;
    let (one, two) = (lab.device(Network::Lan), lab.device(Network::Lan));
    let (mut here, mut there) = (Prober::on(&one, false).await, Prober::on(&two, false).await);
    let there_at = SocketAddr::new(two.v4.expect("it has one").into(), there.port);
    there.send(at, "opens").await;
    let (_, mapped) = server.next().await;

    lab.block_direct(&one, &two);
    here.send(there_at, "blocked").await;
    server.send(mapped, "server").await;
    assert_eq!(there.next().await, ("server".to_owned(), at));
    lab.unblock_direct(&one, &two);
    here.send(there_at, "unblocked").await;
    assert_eq!(there.next().await.0, "unblocked");
}
