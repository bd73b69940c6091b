//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory are used alike once the pod is there.

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, SCORE_MAX};
use crate::pod::PodInfo;

pub struct BalancedAllocation;

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> Option<i64> {
        Some(1)
    }

    /// `SCORE_MAX` less the standard deviation of the used shares, which for two resources is half their difference.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        // A pod that asks for nothing is balanced anywhere; scoring it would only fight the other plugins.
        if pod.requests.milli_cpu == 0 && pod.requests.memory_bytes == 0 {
            return 0;
        }
        let cpu = used_per_mille(node.requested.milli_cpu + pod.requests.milli_cpu, node.allocatable.milli_cpu);
        let memory =
            used_per_mille(node.requested.memory_bytes + pod.requests.memory_bytes, node.allocatable.memory_bytes);
        SCORE_MAX - (cpu - memory).abs() * SCORE_MAX / 2000
    }

    fn wakes(&self, _pod: &PodInfo, _event: ClusterEvent<'_>) -> bool {
        false
    }
}

fn used_per_mille(requested: i64, allocatable: i64) -> i64 {
    if allocatable == 0 { 0 } else { (requested.saturating_mul(1000) / allocatable).min(1000) }
}
