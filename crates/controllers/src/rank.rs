//! Which pods of a ReplicaSet go first when there are too many: upstream's order
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset>).

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use api::Object;
use jiff::Timestamp;
use serde_json::Value;

use crate::pods::{is_ready, ready_since};
use crate::tree::Tree;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What decides, in order; smaller goes first. Times come after it, by [`newer_first`].
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i64,
    /// Where more pods of the same kind are on the node.
    crowd: Reverse<i64>,
}

/// The pods, the first to be deleted first.
pub(crate) fn rank_for_deletion<'a>(
    pods: &'a [(Value, Object)],
    per_node: &BTreeMap<String, i64>,
    now: Timestamp,
) -> Vec<&'a Object> {
    let mut ranked: Vec<_> = pods.iter().map(|(tree, object)| (rank(tree, per_node), tree, object)).collect();
    ranked.sort_by(|(a, tree_a, pod_a), (b, tree_b, pod_b)| {
        a.cmp(b)
            .then_with(|| newer_first(ready_since(tree_a), ready_since(tree_b), now))
            .then_with(|| restarts(tree_b).cmp(&restarts(tree_a)))
            .then_with(|| newer_first(pod_a.meta().creation_timestamp, pod_b.meta().creation_timestamp, now))
            .then_with(|| pod_a.uid().cmp(pod_b.uid()))
    });
    ranked.into_iter().map(|(_, _, object)| object).collect()
}

fn rank(pod: &Value, per_node: &BTreeMap<String, i64>) -> Rank {
    let node = pod.text("spec.nodeName");
    Rank {
        assigned: !node.is_empty(),
        phase: match pod.text("status.phase") {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        },
        ready: is_ready(pod),
        cost: pod.annotation(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        crowd: Reverse(if node.is_empty() { 0 } else { per_node.get(node).copied().unwrap_or(0) }),
    }
}

fn restarts(pod: &Value) -> i64 {
    pod.items("status.containerStatuses").iter().map(|status| status.int("restartCount")).max().unwrap_or(0)
}

/// Newer goes first, but ages of the same order of magnitude are equal, so that not always the newest are hit.
fn newer_first(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |at: Option<Timestamp>| {
        at.map(|at| u128::try_from(now.duration_since(at).as_nanos()).ok().and_then(u128::checked_ilog2))
    };
    match (magnitude(a), magnitude(b)) {
        // What has no time yet is newest.
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(&b),
    }
}
