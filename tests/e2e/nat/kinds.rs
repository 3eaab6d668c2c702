//! Every kind of network is what its name says, as RFC 4787 calls it: how its router maps ports, and whom it
//! lets in.
//!
//! Nothing waits for what does not come. A socket gives datagrams in the order in which they came, so what
//! was sent before another one that has come is not on its way any more.

use std::net::{IpAddr, SocketAddr};

use super::prober::Prober;
use super::{Device, Lab, Network};

/// Which ports the internet sees for one socket.
#[derive(Debug, PartialEq, Eq)]
enum Mapping {
    /// Its own.
    Own,
    /// One.
    OneForAll,
    /// Another one for each address and port it sends to.
    OneForEach,
}

/// Whose datagrams reach a socket.
#[derive(Debug, PartialEq, Eq)]
enum Filtering {
    /// Everybody's.
    Open,
    /// Those of an address it has sent to.
    ByAddress,
    /// Those of an address and port it has sent to.
    ByAddressAndPort,
}

/// What a router does; nothing if no datagram leaves.
type Behaviour = Option<(Mapping, Filtering)>;

/// Kind, whether this is about IPv6, and what its router does.
const KINDS: [(Network, bool, Behaviour); 12] = {
    const V4: bool = false;
    const V6: bool = true;
    const RESTRICTED: Behaviour = Some((Mapping::OneForAll, Filtering::ByAddressAndPort));
    [
        (Network::Open, V4, Some((Mapping::Own, Filtering::Open))),
        (Network::Open, V6, Some((Mapping::Own, Filtering::Open))),
        (
            Network::FullCone,
            V4,
            Some((Mapping::OneForAll, Filtering::Open)),
        ),
        (Network::PortRestricted, V4, RESTRICTED),
        (
            Network::Symmetric,
            V4,
            Some((Mapping::OneForEach, Filtering::ByAddressAndPort)),
        ),
        (Network::Double, V4, RESTRICTED),
        (Network::UdpBlocked, V4, None),
        (
            Network::V6Only,
            V6,
            Some((Mapping::Own, Filtering::ByAddressAndPort)),
        ),
        (Network::DeadV6, V4, RESTRICTED),
        (Network::DeadV6, V6, None),
        (Network::Lan, V4, RESTRICTED),
        (Network::Hairpin, V4, RESTRICTED),
    ]
};

#[tokio::test]
async fn every_network_maps_and_filters_as_it_says() {
    let Some(mut lab) = Lab::new() else { return };
    for (network, v6, expected) in KINDS {
        let device = lab.device(network);
        let family = if v6 { "IPv6" } else { "IPv4" };
        assert_eq!(
            observed(&lab, &device, v6).await,
            expected,
            "{network:?}, {family}"
        );
    }
    assert!(
        Network::ALL
            .iter()
            .all(|it| KINDS.iter().any(|(kind, ..)| kind == it)),
        "each has a row"
    );
}

#[tokio::test]
async fn homes_that_share_a_nat_meet_there_only_if_it_sends_back() {
    let Some(mut lab) = Lab::new() else { return };
    let (mut witness, at) = Prober::outside(&lab, false, 0).await;
    for (network, expected) in [(Network::Lan, false), (Network::Hairpin, true)] {
        let (here, there) = (lab.device(network), lab.device(network));
        let (mut one, mut two) = (
            Prober::on(&here, false).await,
            Prober::on(&there, false).await,
        );
        let one_at = seen(&mut one, &mut witness, at).await.expect("it leaves");
        let two_at = seen(&mut two, &mut witness, at).await.expect("it leaves");
        assert_eq!(one_at.ip(), two_at.ip(), "they share a NAT");
        one.send(two_at, "opens").await;
        two.send(one_at, "meets").await;
        witness.send(one_at, "ends").await;
        let met = one.next().await;
        assert_eq!(
            met == ("meets".to_owned(), two_at),
            expected,
            "{network:?}: {met:?}"
        );

        // In one home they need no router.
        if network == Network::Lan {
            let inside = SocketAddr::new(there.v4.expect("it has one").into(), two.port);
            one.send(inside, "inside").await;
            let from = SocketAddr::new(here.v4.expect("it has one").into(), one.port);
            assert_eq!(two.next().await, ("inside".to_owned(), from));
        }
    }
}

async fn observed(lab: &Lab, device: &Device, v6: bool) -> Behaviour {
    let mut inside = Prober::on(device, v6).await;
    let (mut friend, friend_at) = Prober::outside(lab, v6, 0).await;
    let (mut neighbour, neighbour_at) = Prober::outside(lab, v6, 0).await;
    let (mut stranger, stranger_at) = Prober::outside(lab, v6, 1).await;

    let Some(mapped) = seen(&mut inside, &mut friend, friend_at).await else {
        if !v6 {
            inside.dial(friend_at).await;
        }
        return None;
    };
    neighbour.send(mapped, "neighbour").await;
    stranger.send(mapped, "stranger").await;
    // Three turns, in case that two processors deliver.
    let mut let_in = Vec::new();
    for _ in 0..3 {
        friend.send(mapped, "friend").await;
        loop {
            let (word, _) = inside.next().await;
            if word == "friend" {
                break;
            }
            let_in.push(word);
        }
    }
    let_in.sort();
    let filtering = match let_in.join(" ").as_str() {
        "" => Filtering::ByAddressAndPort,
        "neighbour" => Filtering::ByAddress,
        "neighbour stranger" => Filtering::Open,
        other => panic!("{other:?} came in"),
    };

    let to_neighbour = seen(&mut inside, &mut neighbour, neighbour_at).await;
    let to_stranger = seen(&mut inside, &mut stranger, stranger_at).await;
    let own: IpAddr = if v6 {
        device.v6.expect("it has one").into()
    } else {
        device.v4.expect("it has one").into()
    };
    let [a, b, c] = [Some(mapped), to_neighbour, to_stranger].map(|at| at.expect("it leaves"));
    let mapping = if [a, b, c] == [SocketAddr::new(own, inside.port); 3] {
        Mapping::Own
    } else if a == b && b == c {
        Mapping::OneForAll
    } else if a != b && b != c && a != c {
        Mapping::OneForEach
    } else {
        panic!("{a}, {b} and {c} are seen");
    };
    Some((mapping, filtering))
}

/// The address under which a witness sees a prober; nothing if its datagram gets lost.
async fn seen(inside: &mut Prober, witness: &mut Prober, at: SocketAddr) -> Option<SocketAddr> {
    inside.send(at, "hello").await;
    witness.send(at, "nothing").await;
    let (word, from) = witness.next().await;
    if word == "nothing" {
        return None;
    }
    assert_eq!(witness.next().await.0, "nothing");
    Some(from)
}
