//! What a node's and a pod's network consist of, as lists of operations. Pure.

use std::net::{IpAddr, Ipv4Addr};

use linux::rtnl::{Hop, Mac, NetOp};

use crate::cidr::Cidr;

pub const BRIDGE: &str = "cni0";
const POD_LINK: &str = "eth0";

/// The gateway of a node's pods.
pub fn gateway(pods: Cidr) -> Ipv4Addr {
    pods.nth(1).unwrap_or(pods.network())
}

/// A MAC that follows from the address, in the locally administered range.
pub fn mac(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    Mac([0x0a, 0x58, a, b, c, d])
}

/// The node's side, once: the bridge, the addresses that the node answers itself, and a way for service addresses.
///
/// A packet to a service is translated only after its first route lookup, so the lookup must find something even on a
/// node without a default route; what no service translates is rejected by the proxy's guard.
pub fn node(pods: Cidr, services: Cidr, local_vips: &[Ipv4Addr]) -> Vec<NetOp> {
    let bridge = || BRIDGE.to_owned();
    let gateway = gateway(pods);
    let mut ops = vec![
        NetOp::AddBridge { name: bridge(), mac: mac(gateway) },
        NetOp::Address { name: bridge(), ip: gateway.into(), prefix: pods.prefix() },
        NetOp::Up { name: bridge() },
        NetOp::Route { to: services.network().into(), prefix: services.prefix(), hop: Hop::Link(bridge()) },
    ];
    let vips = local_vips.iter();
    ops.extend(vips.map(|vip| NetOp::Address { name: "lo".to_owned(), ip: (*vip).into(), prefix: 32 }));
    ops
}

/// The name of the node's end of a pod's link: at most 15 characters, and the same for the same sandbox.
pub fn veth_name(sandbox: &str) -> String {
    // FNV-1a, 44 bits of it: ids may share long prefixes.
    let hash = sandbox
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("veth{:011x}", hash >> 20)
}

/// The node's side of a pod: its link on the bridge and where its address is.
pub fn attach(sandbox: &str, ip: Ipv4Addr) -> Vec<NetOp> {
    let name = veth_name(sandbox);
    vec![
        NetOp::DeleteLink { name: name.clone() },
        NetOp::AddVeth {
            name: name.clone(),
            mac: Mac([0x0a, 0x59, ip.octets()[0], ip.octets()[1], ip.octets()[2], ip.octets()[3]]),
            peer: POD_LINK.to_owned(),
            peer_mac: mac(ip),
        },
        NetOp::Master { name: name.clone(), bridge: BRIDGE.to_owned() },
        NetOp::Hairpin { name: name.clone() },
        NetOp::Up { name },
        NetOp::Neighbour { name: BRIDGE.to_owned(), ip: ip.into(), mac: mac(ip) },
    ]
}

/// The pod's side, inside its namespace.
pub fn inside(ip: Ipv4Addr, gateway: Ipv4Addr) -> Vec<NetOp> {
    let link = || POD_LINK.to_owned();
    vec![
        NetOp::Up { name: "lo".to_owned() },
        NetOp::Address { name: link(), ip: ip.into(), prefix: 32 },
        NetOp::Up { name: link() },
        NetOp::Route { to: gateway.into(), prefix: 32, hop: Hop::Link(link()) },
        NetOp::Neighbour { name: link(), ip: gateway.into(), mac: mac(gateway) },
        NetOp::Route { to: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0, hop: Hop::Via(gateway.into()) },
    ]
}

pub fn detach(sandbox: &str) -> Vec<NetOp> {
    vec![NetOp::DeleteLink { name: veth_name(sandbox) }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn text(ops: &[NetOp]) -> String {
        ops.iter().map(|op| format!("{op:?}\n")).collect()
    }

    #[test]
    fn a_pod_is_a_link_an_address_and_a_gateway() {
        let ip = Ipv4Addr::new(10, 244, 1, 7);
        expect![[r#"
            DeleteLink { name: "vethaf63f54c860" }
            AddVeth { name: "vethaf63f54c860", mac: 0a:59:0a:f4:01:07, peer: "eth0", peer_mac: 0a:58:0a:f4:01:07 }
            Master { name: "vethaf63f54c860", bridge: "cni0" }
            Hairpin { name: "vethaf63f54c860" }
            Up { name: "vethaf63f54c860" }
            Neighbour { name: "cni0", ip: 10.244.1.7, mac: 0a:58:0a:f4:01:07 }
        "#]]
        .assert_eq(&text(&attach("x", ip)));
        expect![[r#"
            Up { name: "lo" }
            Address { name: "eth0", ip: 10.244.1.7, prefix: 32 }
            Up { name: "eth0" }
            Route { to: 10.244.1.1, prefix: 32, hop: Link("eth0") }
            Neighbour { name: "eth0", ip: 10.244.1.1, mac: 0a:58:0a:f4:01:01 }
            Route { to: 0.0.0.0, prefix: 0, hop: Via(10.244.1.1) }
        "#]]
        .assert_eq(&text(&inside(ip, gateway("10.244.1.0/24".parse().unwrap()))));
    }

    #[test]
    fn link_names_fit_the_kernel() {
        assert!(veth_name(&"f".repeat(64)).len() <= 15);
    }
}
