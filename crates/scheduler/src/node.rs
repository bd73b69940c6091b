//! A node as the plugins see it: what it has, what is asked of it, and its pods' claims summed up.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::object::DecodeError;
use api::typed::Node;
use api::typed::k8s_openapi::api::core::v1::Taint;
use api::{Object, typed};

use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;

#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    pub name: Box<str>,
    pub labels: BTreeMap<Box<str>, Box<str>>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    pub requested: Resources,
    pub requested_for_scoring: Resources,
    pub pod_count: i64,
    /// Claimed host ports and how many pods claim each.
    pub host_ports: BTreeMap<HostPort, u32>,
}

impl NodeInfo {
    /// The node's own facts; claims start at zero.
    pub fn decode(object: &Object) -> Result<Self, DecodeError> {
        let node: Node = object.typed()?;
        let spec = node.spec.unwrap_or_default();
        let status: typed::k8s_openapi::api::core::v1::NodeStatus = node.status.unwrap_or_default();
        let amounts = status.allocatable.or(status.capacity).unwrap_or_default();
        Ok(Self {
            name: object.name().into(),
            labels: object.meta().labels.iter().cloned().collect(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or(false),
            allocatable: Resources::from_amounts(&amounts),
            ..Self::default()
        })
    }

    /// Takes over the facts of `newer` and keeps the claims.
    pub fn refresh(&mut self, newer: Self) {
        self.labels = newer.labels;
        self.taints = newer.taints;
        self.unschedulable = newer.unschedulable;
        self.allocatable = newer.allocatable;
    }

    pub fn claim(&mut self, pod: &Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.requested_for_scoring.add(&pod.requests_for_scoring);
        self.pod_count += 1;
        for port in &pod.host_ports {
            *self.host_ports.entry(port.clone()).or_default() += 1;
        }
    }

    pub fn release(&mut self, pod: &Arc<PodInfo>) {
        self.requested.subtract(&pod.requests);
        self.requested_for_scoring.subtract(&pod.requests_for_scoring);
        self.pod_count -= 1;
        for port in &pod.host_ports {
            match self.host_ports.get_mut(port) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.host_ports.remove(port);
                }
            }
        }
    }
}
