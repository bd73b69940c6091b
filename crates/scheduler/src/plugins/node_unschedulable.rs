//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use api::typed::k8s_openapi::api::core::v1::Taint;

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection};
use crate::plugins::taint_toleration::tolerates;
use crate::pod::PodInfo;

pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        if !node.unschedulable || tolerates_cordon(pod) {
            return Ok(());
        }
        Err(Rejection::hopeless("node(s) were unschedulable"))
    }

    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(node) => !node.unschedulable,
            ClusterEvent::NodeUpdated { before, after } => before.unschedulable && !after.unschedulable,
            ClusterEvent::PodUpdated => tolerates_cordon(pod),
            ClusterEvent::PodReleased | ClusterEvent::PodPlaced(_) => false,
        }
    }
}

fn tolerates_cordon(pod: &PodInfo) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    tolerates(&pod.tolerations, &cordon)
}
