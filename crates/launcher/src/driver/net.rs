//! The fabric's network as data: the bridge, each node's veth, routes, and the one uplink of `--egress nat`. Pure.

use std::net::{IpAddr, Ipv4Addr};

use linux::rtnl::{Hop, Mac, NetOp};

use crate::profile::{Egress, NodeSpec, Profile};

pub const BRIDGE: &str = "fabric";
pub const NODE_LINK: &str = "eth0";
const UPLINK_IN_FABRIC: &str = "uplink";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 1);
const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn bridge_mac() -> Mac {
    Mac([0x02, 0x1c, 0, 0, 0, 1])
}

pub fn node_mac(index: u8) -> Mac {
    Mac([0x02, 0x1c, 0, 0, 1, index])
}

fn port_mac(index: u8) -> Mac {
    Mac([0x02, 0x1c, 0, 0, 2, index])
}

fn port(index: u8) -> String {
    format!("node{index}")
}

/// In the fabric's namespace, once.
pub fn fabric_ops() -> Vec<NetOp> {
    let bridge = BRIDGE.to_owned();
    vec![
        NetOp::Up { name: "lo".to_owned() },
        NetOp::AddBridge { name: bridge.clone(), mac: bridge_mac() },
        NetOp::Address { name: bridge.clone(), ip: GATEWAY.into(), prefix: 24 },
        NetOp::Up { name: bridge },
        // A packet to a service that no node has translated must not leave the cluster.
        NetOp::Route { to: SERVICES.0.into(), prefix: SERVICES.1, hop: Hop::Unreachable },
    ]
}

/// In the fabric's namespace, for one node. The peer of the veth is made in the node's namespace.
pub fn port_ops(node: &NodeSpec) -> Vec<NetOp> {
    let name = port(node.index);
    vec![
        NetOp::DeleteLink { name: name.clone() },
        NetOp::AddVeth {
            name: name.clone(),
            mac: port_mac(node.index),
            peer: NODE_LINK.to_owned(),
            peer_mac: node_mac(node.index),
        },
        NetOp::Master { name: name.clone(), bridge: BRIDGE.to_owned() },
        NetOp::Up { name },
        NetOp::Neighbour { name: BRIDGE.to_owned(), ip: node.ip().into(), mac: node_mac(node.index) },
    ]
}

/// In the node's namespace.
pub fn node_ops(node: &NodeSpec, profile: &Profile) -> Vec<NetOp> {
    let link = NODE_LINK.to_owned();
    let gateway = IpAddr::V4(GATEWAY);
    let mut ops = vec![
        NetOp::Up { name: "lo".to_owned() },
        NetOp::Address { name: link.clone(), ip: node.ip().into(), prefix: 24 },
        NetOp::Up { name: link.clone() },
        NetOp::Neighbour { name: link.clone(), ip: gateway, mac: bridge_mac() },
    ];
    for peer in profile.nodes.iter().filter(|peer| peer.index != node.index) {
        ops.push(NetOp::Neighbour { name: link.clone(), ip: peer.ip().into(), mac: node_mac(peer.index) });
    }
    // Connections to services are looked up before they are translated, so they need a route even without egress.
    ops.push(NetOp::Route { to: SERVICES.0.into(), prefix: SERVICES.1, hop: Hop::Via(gateway) });
    if profile.egress == Egress::Nat {
        ops.push(NetOp::Route { to: ANYWHERE, prefix: 0, hop: Hop::Via(gateway) });
    }
    ops
}

/// Kernel switches of a node's namespace; those that are missing in a kernel are passed over.
pub fn node_sysctls() -> Vec<(&'static str, &'static str)> {
    vec![
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/conf/all/route_localnet", "1"),
        ("net/ipv4/ip_unprivileged_port_start", "1024"),
    ]
}

/// Everything `--egress nat` does outside the cluster's own namespaces, so that it can be read and undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// In the host's namespace; the veth's peer is made in the fabric's.
    pub host: Vec<NetOp>,
    pub fabric: Vec<NetOp>,
    pub host_rules: String,
    pub host_rules_undo: String,
    pub host_link: String,
    pub fabric_rules: String,
}

pub fn uplink(profile: &Profile) -> Uplink {
    let subnet = |last: u8| Ipv4Addr::new(172, 30, profile.uplink, last);
    let host_link = format!("ironclad{}", profile.uplink);
    let table = format!("ironclad-{}", profile.name);
    Uplink {
        host: vec![
            NetOp::DeleteLink { name: host_link.clone() },
            NetOp::AddVeth {
                name: host_link.clone(),
                mac: Mac([0x02, 0x1c, 0, profile.uplink, 3, 1]),
                peer: UPLINK_IN_FABRIC.to_owned(),
                peer_mac: Mac([0x02, 0x1c, 0, profile.uplink, 3, 2]),
            },
            NetOp::Address { name: host_link.clone(), ip: subnet(1).into(), prefix: 30 },
            NetOp::Up { name: host_link.clone() },
        ],
        fabric: vec![
            NetOp::Address { name: UPLINK_IN_FABRIC.to_owned(), ip: subnet(2).into(), prefix: 30 },
            NetOp::Up { name: UPLINK_IN_FABRIC.to_owned() },
            NetOp::Route { to: ANYWHERE, prefix: 0, hop: Hop::Via(subnet(1).into()) },
        ],
        host_rules: format!(
            "table ip {table} {{}}\ndelete table ip {table}\ntable ip {table} {{\n\
             \tchain postrouting {{\n\t\ttype nat hook postrouting priority srcnat;\n\
             \t\tip saddr {}/30 oifname != \"{host_link}\" masquerade\n\t}}\n}}\n",
            subnet(0)
        ),
        host_rules_undo: format!("table ip {table} {{}}\ndelete table ip {table}\n"),
        host_link,
        fabric_rules: format!(
            "table ip egress {{}}\ndelete table ip egress\ntable ip egress {{\n\
             \tchain postrouting {{\n\t\ttype nat hook postrouting priority srcnat;\n\
             \t\toifname \"{UPLINK_IN_FABRIC}\" masquerade\n\t}}\n}}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(ops: &[NetOp]) -> String {
        ops.iter().map(|op| format!("{op:?}\n")).collect()
    }

    #[test]
    fn a_node_without_egress_reaches_its_peers_and_services_and_nothing_else() {
        let profile = Profile::new("p", 6443, Egress::None, 0, 2);
        let ops = node_ops(&profile.nodes[0], &profile);
        expect_test::expect![[r#"
            Up { name: "lo" }
            Address { name: "eth0", ip: 192.168.49.2, prefix: 24 }
            Up { name: "eth0" }
            Neighbour { name: "eth0", ip: 192.168.49.1, mac: 02:1c:00:00:00:01 }
            Neighbour { name: "eth0", ip: 192.168.49.3, mac: 02:1c:00:00:01:02 }
            Route { to: 10.96.0.0, prefix: 12, hop: Via(192.168.49.1) }
        "#]]
        .assert_eq(&show(&ops));
    }

    #[test]
    fn the_host_sees_one_veth_and_one_table_and_only_with_nat() {
        let profile = Profile::new("dev", 6443, Egress::Nat, 4, 1);
        let uplink = uplink(&profile);
        let text = format!("{}{}{}", show(&uplink.host), show(&uplink.fabric), uplink.host_rules);
        expect_test::expect![[r#"
            DeleteLink { name: "ironclad4" }
            AddVeth { name: "ironclad4", mac: 02:1c:00:04:03:01, peer: "uplink", peer_mac: 02:1c:00:04:03:02 }
            Address { name: "ironclad4", ip: 172.30.4.1, prefix: 30 }
            Up { name: "ironclad4" }
            Address { name: "uplink", ip: 172.30.4.2, prefix: 30 }
            Up { name: "uplink" }
            Route { to: 0.0.0.0, prefix: 0, hop: Via(172.30.4.1) }
            table ip ironclad-dev {}
            delete table ip ironclad-dev
            table ip ironclad-dev {
            	chain postrouting {
            		type nat hook postrouting priority srcnat;
            		ip saddr 172.30.4.0/30 oifname != "ironclad4" masquerade
            	}
            }
        "#]]
        .assert_eq(&text);
    }
}
