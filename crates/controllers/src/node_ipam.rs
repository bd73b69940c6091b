//! Node IPAM: every node gets a range of its own for its pods' addresses, out of the cluster's.
//!
//! All nodes are planned under one key, so that no two of them are given the same range.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::node_lifecycle::NODES;
use crate::tree::{Tree, tree_of};

const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;
/// Ranges that are looked through for a free one.
const RANGES_MAX: u32 = 1 << 16;

/// A range of addresses: its first one as a number, its family, its length.
#[derive(Clone, Copy, Debug)]
struct Range {
    base: u128,
    is_v6: bool,
    prefix: u8,
}

pub struct NodeIpamController {
    ranges: Vec<Range>,
}

impl NodeIpamController {
    /// `ranges` is the cluster's range, or two (one a family) with a comma between. What is no range is left out: nodes
    /// then get none and say so.
    pub fn new(ranges: &str) -> Self {
        Self { ranges: ranges.split(',').filter_map(|range| Range::parse(range.trim())).collect() }
    }
}

impl Controller for NodeIpamController {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NODES, &[])]
    }

    fn wakes(&self, _: &Snapshot, _: &Gvr, change: &Change) -> Vec<Key> {
        // Only nodes that come or go, or that still have none, matter; heartbeats do not.
        let needs = change.after.as_ref().is_none_or(|node| cidr_of(node).is_empty());
        if needs { vec![Key::cluster("nodes")] } else { Vec::new() }
    }

    fn plan(&self, snapshot: &Snapshot, _: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let mut taken = BTreeSet::new();
        let mut needy = Vec::new();
        for node in snapshot.list(&NODES, None) {
            let tree = tree_of(node)?;
            let held = tree.items("spec.podCIDRs").iter().filter_map(Value::as_str).map(str::to_owned);
            taken.extend(held.chain([tree.text("spec.podCIDR").to_owned()]));
            if tree.text("spec.podCIDR").is_empty() && !node.is_deleting() {
                needy.push(node);
            }
        }
        let mut plan = Plan::nothing();
        for node in needy {
            let free: Option<Vec<String>> = self.ranges.iter().map(|range| range.free(&taken)).collect();
            let Some(free) = free.filter(|free| !free.is_empty()) else {
                let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
                plan.push(Step::from(Action::Tell).done(Note::normal(node, "CIDRNotAvailable", message)));
                continue;
            };
            taken.extend(free.iter().cloned());
            plan.push(Action::Patch {
                resource: NODES,
                key: node.key(),
                subresource: "".into(),
                patch: json!({"spec": {"podCIDR": free[0], "podCIDRs": free}}),
                precondition: Precondition::exactly(node),
            });
        }
        Ok(plan)
    }
}

fn cidr_of(node: &Object) -> String {
    cache::index::text_at(node.json(), &["spec", "podCIDR"]).unwrap_or_default()
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(v4) if prefix <= NODE_PREFIX_V4 => {
                Some(Self { base: u128::from(u32::from(v4)), is_v6: false, prefix })
            }
            IpAddr::V6(v6) if prefix <= NODE_PREFIX_V6 => Some(Self { base: u128::from(v6), is_v6: true, prefix }),
            _ => None,
        }
    }

    /// The first range of a node's size that nobody holds.
    fn free(&self, taken: &BTreeSet<String>) -> Option<String> {
        let (node_prefix, bits) = if self.is_v6 { (NODE_PREFIX_V6, 128) } else { (NODE_PREFIX_V4, 32) };
        let count = 1u32.checked_shl(u32::from(node_prefix - self.prefix)).unwrap_or(RANGES_MAX).min(RANGES_MAX);
        (0..count).map(|i| self.nth(u128::from(i) << (bits - node_prefix), node_prefix)).find(|c| !taken.contains(c))
    }

    fn nth(&self, offset: u128, node_prefix: u8) -> String {
        let address = self.base + offset;
        let address = if self.is_v6 {
            IpAddr::from(std::net::Ipv6Addr::from(address))
        } else {
            IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX)))
        };
        format!("{address}/{node_prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::expect;

    #[test]
    fn nodes_get_the_first_free_ranges_each_its_own() {
        let node = |name: &str, spec: &str| {
            format!("\n---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{{spec}}}")
        };
        let held = "podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]";
        let yaml = node("a", "") + &node("b", held) + &node("c", "");
        expect![[r#"
            patch nodes a {"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24"]}}
            patch nodes c {"spec":{"podCIDR":"10.244.2.0/24","podCIDRs":["10.244.2.0/24"]}}
        "#]]
        .assert_eq(&plan(&NodeIpamController::new("10.244.0.0/16"), &yaml, "nodes"));
        expect![[r#"
            tell
              then CIDRNotAvailable: Node a status is now: CIDRNotAvailable
            tell
              then CIDRNotAvailable: Node c status is now: CIDRNotAvailable
        "#]]
        .assert_eq(&plan(&NodeIpamController::new("10.244.0.0/24,fd00:10:244::/56"), &yaml, "nodes"));
    }
}
