//! NodeResourcesFit: a pod needs room for its requests; with LeastAllocated, emptier nodes are better.

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection, SCORE_MAX};
use crate::pod::PodInfo;
use crate::resources::Resources;

pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        let reasons = shortages(&pod.requests, node);
        if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, is_hopeless: false }) }
    }

    fn weight(&self) -> Option<i64> {
        Some(1)
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let cpu = free_share(
            node.requested_for_scoring.milli_cpu + pod.requests_for_scoring.milli_cpu,
            node.allocatable.milli_cpu,
        );
        let memory = free_share(
            node.requested_for_scoring.memory_bytes + pod.requests_for_scoring.memory_bytes,
            node.allocatable.memory_bytes,
        );
        let known: Vec<i64> = [cpu, memory].into_iter().flatten().collect();
        match i64::try_from(known.len()) {
            Ok(count) if count > 0 => known.iter().sum::<i64>() / count,
            _ => 0,
        }
    }

    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(node) => shortages(&pod.requests, node).is_empty(),
            ClusterEvent::NodeUpdated { before, after } => {
                before.allocatable != after.allocatable && shortages(&pod.requests, after).is_empty()
            }
            ClusterEvent::PodReleased | ClusterEvent::PodUpdated => true,
            ClusterEvent::PodPlaced(_) => false,
        }
    }
}

/// The share of a resource that stays free, of `SCORE_MAX`; `None` for a resource that the node does not have.
fn free_share(requested: i64, allocatable: i64) -> Option<i64> {
    if allocatable == 0 {
        return None;
    }
    Some((allocatable - requested).max(0) * SCORE_MAX / allocatable)
}

fn shortages(wanted: &Resources, node: &NodeInfo) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut check = |name: &str, wanted: i64, used: i64, has: i64| {
        if wanted > 0 && wanted > has - used {
            reasons.push(format!("Insufficient {name}"));
        }
    };
    let (used, has) = (&node.requested, &node.allocatable);
    check("cpu", wanted.milli_cpu, used.milli_cpu, has.milli_cpu);
    check("memory", wanted.memory_bytes, used.memory_bytes, has.memory_bytes);
    check(
        "ephemeral-storage",
        wanted.ephemeral_storage_bytes,
        used.ephemeral_storage_bytes,
        has.ephemeral_storage_bytes,
    );
    for (name, amount) in &wanted.extended {
        let used = used.extended.get(name).copied().unwrap_or(0);
        check(name, *amount, used, has.extended.get(name).copied().unwrap_or(0));
    }
    if node.pod_count + 1 > node.allocatable.pods {
        reasons.insert(0, "Too many pods".to_owned());
    }
    reasons
}
