//! The plugin trait: one rule about where a pod may or should run.
//!
//! The extension points are upstream's
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/>); a plugin overrides those that it
//! has something to say at. A plugin is one file in `plugins/` and one line in the list there.

use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The best score that a plugin gives a node.
pub const SCORE_MAX: i64 = 100;

/// Why a node cannot take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Upstream's texts, such as `Insufficient cpu`; each counts nodes in the FailedScheduling message.
    pub reasons: Vec<String>,
}

impl Rejection {
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()] }
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
    /// The waiting pod itself was changed.
    PodUpdated,
}

pub trait Plugin: Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

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
