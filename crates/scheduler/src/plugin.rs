//! The plugin trait: one rule about where a pod may or should run.
//!
//! The extension points are upstream's
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/>); a plugin overrides those that it
//! has something to say at. A plugin is one file in `plugins/` and one line in the list there.

use crate::cluster::Cluster;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The best score that a plugin gives a node.
pub const SCORE_MAX: i64 = 100;

/// Why a node cannot take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Upstream's texts, such as `Insufficient cpu`; each counts nodes in the FailedScheduling message.
    pub reasons: Vec<String>,
    /// No other pod's going would change it.
    pub is_hopeless: bool,
}

impl Rejection {
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], is_hopeless: false }
    }

    /// For what the node itself is.
    pub fn hopeless(reason: impl Into<String>) -> Self {
        Self { is_hopeless: true, ..Self::because(reason) }
    }
}

/// What happened in the cluster, as far as it can make a pod schedulable.
#[derive(Clone, Copy, Debug)]
pub enum ClusterEvent<'a> {
    NodeAdded(&'a NodeInfo),
    NodeUpdated {
        before: &'a NodeInfo,
        after: &'a NodeInfo,
    },
    /// A pod that held a claim on a node is gone or ended.
    PodReleased,
    /// A pod is on a node, or its labels changed there.
    PodPlaced(&'a PodInfo),
    /// The waiting pod itself was changed.
    PodUpdated,
}

/// What a plugin worked out about a pod and the whole cluster, once a cycle, before it looks at single nodes.
pub trait Prepared {
    fn filter(&self, _node: &NodeInfo) -> Result<(), Rejection> {
        Ok(())
    }

    /// The scores of all feasible nodes, in `0..=SCORE_MAX`; nothing where all are alike.
    fn scores(&self, _nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        None
    }
}

pub trait Plugin: Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// For a rule about more than one node. Nothing where the pod and the cluster have no such rule, so that it costs
    /// nothing.
    fn prepare<'a>(&self, _pod: &'a PodInfo, _cluster: &'a Cluster) -> Option<Box<dyn Prepared + 'a>> {
        None
    }

    /// Whether the pod can run on the node at all.
    fn filter(&self, _pod: &PodInfo, _node: &NodeInfo) -> Result<(), Rejection> {
        Ok(())
    }

    /// Whether this plugin scores, and how much its score counts.
    fn weight(&self) -> Option<i64> {
        None
    }

    /// How good the node is for the pod, on the plugin's own scale.
    fn score(&self, _pod: &PodInfo, _node: &NodeInfo) -> i64 {
        0
    }

    /// Brings the scores of all feasible nodes to `0..=SCORE_MAX`.
    fn normalize(&self, _scores: &mut [i64]) {}

    /// Whether the event may make this plugin accept a pod that it rejected.
    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool;
}

/// Scales scores so that the highest becomes `SCORE_MAX`; `reverse` makes the lowest the best.
pub fn normalize_to_max(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if highest == 0 { 0 } else { *score * SCORE_MAX / highest };
        *score = if reverse { SCORE_MAX - scaled } else { scaled };
    }
}
