//! The kinds of networks that a device can sit in, and what their routers do to packets.

use std::net::Ipv4Addr;

/// Where a device sits. `kinds.rs` checks that the kernel does what these lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Public addresses of both families, and no router of its own.
    Open,
    /// A NAT that maps a port to one port, and lets everybody in.
    FullCone,
    /// A NAT that maps a port to one port, and lets in who was sent to.
    PortRestricted,
    /// A NAT that maps a port to another one for each destination.
    Symmetric,
    /// Port-restricted, behind the port-restricted NAT of a provider.
    Double,
    /// A NAT through which TCP passes, and no UDP.
    UdpBlocked,
    /// IPv6 alone, without NAT; the router lets in who was sent to.
    V6Only,
    /// Port-restricted, and an IPv6 address whose packets get nowhere.
    DeadV6,
    /// All of a laboratory's devices in this network are in one home, behind one port-restricted NAT, which
    /// does not send back what comes from inside for its own public address.
    Lan,
    /// All of a laboratory's homes with this network have port-restricted NATs behind one port-restricted NAT
    /// of a provider, which sends back what comes from inside for its own public address.
    Hairpin,
}

impl Network {
    pub const ALL: [Self; 10] = [
        Self::Open,
        Self::FullCone,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Double,
        Self::UdpBlocked,
        Self::V6Only,
        Self::DeadV6,
        Self::Lan,
        Self::Hairpin,
    ];

    pub const fn has_v4(self) -> bool {
        !matches!(self, Self::V6Only)
    }

    pub const fn has_v6(self) -> bool {
        matches!(self, Self::Open | Self::V6Only | Self::DeadV6)
    }

    /// The rules of the router of a home, for `nft`; they replace those it had. `inside` is the device.
    pub fn rules(self, inside: Ipv4Addr) -> String {
        let kept = "masquerade";
        let (before, source, through) = match self {
            Self::Open => unreachable!("there is no home"),
            Self::FullCone => (
                format!(r#"iifname "wan" meta l4proto udp dnat ip to {inside}"#),
                kept,
                r#"iifname "wan" ct status dnat accept"#,
            ),
            Self::Symmetric => (String::new(), "masquerade random,fully-random", ""),
            Self::UdpBlocked => (String::new(), kept, "meta l4proto udp drop"),
            Self::DeadV6 => (String::new(), kept, "meta nfproto ipv6 drop"),
            Self::PortRestricted | Self::Double | Self::V6Only | Self::Lan | Self::Hairpin => {
                (String::new(), kept, "")
            }
        };
        router(
            &before,
            &format!(r#"oifname "wan" meta nfproto ipv4 {source}"#),
            through,
            "",
        )
    }
}

/// The rules of a provider's NAT, whose address outside is `public`.
///
/// Linux lets a device keep its port towards everybody, while no other device has that port. But Linux knows
/// only whom the device has sent to. A NAT with hairpinning therefore notes who has which port. It sends to
/// that device what others inside send to the port, and puts their mapped addresses in place of their own.
pub fn provider(public: Ipv4Addr, hairpin: bool) -> String {
    let masquerade = r#"oifname "wan" masquerade"#;
    if !hairpin {
        return router("", masquerade, "", "");
    }
    router(
        &format!(
            r#"iifname != "wan" ip daddr {public} meta l4proto udp dnat ip to udp dport map @mapped"#
        ),
        &format!("{masquerade}\noifname != \"wan\" ct status dnat snat ip to {public}"),
        r#"oifname "wan" meta l4proto udp update @mapped { udp sport : ip saddr . udp sport }"#,
        "map mapped {
            type inet_service : ipv4_addr . inet_service
            flags dynamic,timeout
            timeout 5m
        }",
    )
}

/// The most demanding rules there are.
pub fn tried() -> String {
    let public = Ipv4Addr::new(203, 0, 113, 1);
    format!(
        "{}\n{}",
        provider(public, true),
        Network::Symmetric.rules(public)
    )
}

/// All rules of a router.
///
/// It drops what nobody inside asked for. If it answered, Linux would note a connection that has the port,
/// and give the device another port when it sends there later: the NAT would look symmetric. A router does
/// not answer UDP from inside, either, or a NAT without hairpinning would refuse aloud what others lose.
fn router(before: &str, after: &str, through: &str, more: &str) -> String {
    format!(
        r#"
        table inet nat
        delete table inet nat
        table inet nat {{
            {more}
            chain before {{
                type nat hook prerouting priority dstnat
                {before}
            }}
            chain after {{
                type nat hook postrouting priority srcnat
                {after}
            }}
            chain own {{
                type filter hook input priority filter
                meta l4proto udp drop
                iifname "wan" ct state new,invalid drop
            }}
            chain through {{
                type filter hook forward priority filter
                {through}
                iifname "wan" ct state new,invalid drop
            }}
        }}
        "#
    )
}
