//! NodePorts: two pods cannot have one host port of a node.

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection};
use crate::pod::{HostPort, PodInfo};

pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        let taken = |wanted: &HostPort| node.host_ports.keys().any(|claimed| conflicts(wanted, claimed));
        if pod.host_ports.iter().any(taken) {
            return Err(Rejection::because("node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    }

    fn wakes(&self, _pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        matches!(event, ClusterEvent::NodeAdded(_) | ClusterEvent::PodReleased)
    }
}

fn conflicts(a: &HostPort, b: &HostPort) -> bool {
    let same_address = a.ip == b.ip || &*a.ip == "0.0.0.0" || &*b.ip == "0.0.0.0";
    a.port == b.port && a.protocol == b.protocol && same_address
}
