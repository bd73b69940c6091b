//! Routes to the pods of other nodes: from Nodes to what the kernel's table should hold, and the difference.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::Object;
use api::object::DecodeError;
use api::typed::{Node, Typed};
use client::Hub;
use client::hub::HubBuilder;
use linux::rtnl::{Hop, NetOp, Rtnl};

use crate::cidr::Cidr;

/// By node: its pods' network and the address that leads there.
pub type Routes = BTreeMap<Cidr, Ipv4Addr>;

/// The routes that this node needs to the pods of all others.
pub fn wanted<'a>(nodes: impl Iterator<Item = &'a Object>, own_name: &str) -> Result<Routes, DecodeError> {
    let mut routes = Routes::new();
    for object in nodes.filter(|node| node.name() != own_name) {
        let node: Node = object.typed()?;
        if let Some((pods, via)) = pods_of(&node) {
            routes.insert(pods, via);
        }
    }
    Ok(routes)
}

fn pods_of(node: &Node) -> Option<(Cidr, Ipv4Addr)> {
    let pods = node.spec.as_ref()?.pod_cidr.as_deref()?.parse().ok()?;
    let addresses = node.status.as_ref()?.addresses.as_deref()?;
    let internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
    Some((pods, internal.filter_map(|address| address.address.parse().ok()).next()?))
}

/// What brings the table from one state to the other.
pub fn difference(applied: &Routes, wanted: &Routes) -> Vec<NetOp> {
    let gone = applied.keys().filter(|pods| !wanted.contains_key(*pods));
    let gone = gone.map(|pods| NetOp::DeleteRoute { to: pods.network().into(), prefix: pods.prefix() });
    let new = wanted.iter().filter(|(pods, via)| applied.get(*pods) != Some(*via));
    let new = new.map(|(pods, via)| NetOp::Route {
        to: pods.network().into(),
        prefix: pods.prefix(),
        hop: Hop::Via((*via).into()),
    });
    gone.chain(new).collect()
}

/// Adds what routes follow from to the cache of its process.
pub fn follow(builder: HubBuilder) -> HubBuilder {
    builder.resource(Node::GVR, &[])
}

/// Keeps the routes to other nodes' pods in step with the Nodes, until it is dropped.
pub async fn run(hub: Hub, own_name: String) {
    let mut applied = Routes::new();
    let mut changes = hub.changes();
    loop {
        changes.next().await;
        while changes.next_ready().is_some() {}
        let wanted = match wanted(hub.snapshot().list(&Node::GVR, None), &own_name) {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!("cannot read a node, its routes stay: {error}");
                continue;
            }
        };
        for op in difference(&applied, &wanted) {
            // A route through a node that is not reachable yet comes with that node's next change.
            match Rtnl::open().and_then(|mut rtnl| rtnl.apply(&op, None)) {
                Ok(()) => remember(&mut applied, &op, &wanted),
                Err(error) => tracing::warn!(?op, "route was not applied: {error}"),
            }
        }
    }
}

fn remember(applied: &mut Routes, op: &NetOp, wanted: &Routes) {
    if let NetOp::Route { to, .. } | NetOp::DeleteRoute { to, .. } = op {
        applied.retain(|pods, _| *to != pods.network());
        applied.extend(wanted.iter().filter(|(pods, _)| *to == pods.network()).map(|(pods, via)| (*pods, *via)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use expect_test::expect;
    use serde_json::json;

    fn node(name: &str, pods: &str, ip: &str) -> Object {
        let node = json!({"metadata": {"name": name}, "spec": {"podCIDR": pods},
            "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": ip}]}});
        Object::decode(Bytes::from(node.to_string()), &[]).unwrap()
    }

    #[test]
    fn a_node_routes_to_the_others_and_forgets_those_that_left() {
        let before = [node("a", "10.244.0.0/24", "192.168.5.2"), node("b", "10.244.1.0/24", "192.168.5.3")];
        let after = [before[0].clone(), node("c", "10.244.2.0/24", "192.168.5.4"), node("new", "", "192.168.5.5")];
        let (before, after) = (wanted(before.iter(), "a").unwrap(), wanted(after.iter(), "a").unwrap());
        expect![[r#"
            [
                DeleteRoute {
                    to: 10.244.1.0,
                    prefix: 24,
                },
                Route {
                    to: 10.244.2.0,
                    prefix: 24,
                    hop: Via(
                        192.168.5.4,
                    ),
                },
            ]
        "#]]
        .assert_debug_eq(&difference(&before, &after));
        assert_eq!(difference(&after, &after), []);
    }
}
