//! NodeName: a pod that names its node goes nowhere else.

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection};
use crate::pod::PodInfo;

pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        if pod.node_name.is_empty() || pod.node_name == node.name {
            return Ok(());
        }
        Err(Rejection::hopeless("node(s) didn't match the requested node name"))
    }

    fn wakes(&self, _pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        matches!(event, ClusterEvent::NodeAdded(_))
    }
}
