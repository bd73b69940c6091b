//! hostPort: a port of the node that leads to one pod, as elements of one nftables map.

use std::net::Ipv4Addr;

use crate::pods::PortMapping;

const TABLE: &str = "ip ironclad-host-ports";

/// The fixed chains and every known mapping, in place of whatever an earlier process left.
pub fn load<'a>(mappings: impl Iterator<Item = (Ipv4Addr, &'a PortMapping)>) -> String {
    let mut text = format!(
        "table {TABLE} {{ }}
delete table {TABLE}
table {TABLE} {{
  map ports {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  chain dispatch {{
    ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to meta l4proto . th dport map @ports
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat - 10; policy accept; jump dispatch; }}
  chain output {{ type nat hook output priority -110; policy accept; jump dispatch; }}
}}
"
    );
    for (ip, mapping) in mappings {
        text += &add(ip, mapping);
    }
    text
}

pub fn add(ip: Ipv4Addr, mapping: &PortMapping) -> String {
    format!("add element {TABLE} ports {{ {} : {ip} . {} }}\n", key(mapping), mapping.container_port)
}

pub fn remove(mapping: &PortMapping) -> String {
    format!("delete element {TABLE} ports {{ {} }}\n", key(mapping))
}

fn key(mapping: &PortMapping) -> String {
    format!("{} . {}", mapping.protocol, mapping.host_port)
}
