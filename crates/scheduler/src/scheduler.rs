//! The scheduler as a state machine: changes and the time in, decisions out.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Object;
use api::object::DecodeError;
use cache::Change;
use jiff::Timestamp;
use stdx::Rng;

use crate::cluster::Cluster;
use crate::cycle;
use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin};
use crate::plugins::default_plugins;
use crate::pod::PodInfo;
use crate::preemption::{Preemption, preempt};
use crate::queue::Queue;

/// What to do about a pod.
#[derive(Clone, Debug)]
pub enum Decision {
    Bind {
        pod: Object,
        node: Box<str>,
    },
    /// Tell the pod why it waits.
    Unschedulable {
        pod: Object,
        message: String,
        /// Pods that have to leave a node for it.
        preemption: Option<Preemption>,
    },
}

pub struct Scheduler {
    name: Box<str>,
    cluster: Cluster,
    queue: Queue,
    plugins: Vec<Box<dyn Plugin>>,
    rng: Rng,
}

impl Scheduler {
    pub fn new(name: &str, rng: Rng) -> Self {
        Self {
            name: name.into(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            plugins: default_plugins(),
            rng,
        }
    }

    pub fn on_node(&mut self, change: &Change, now: Timestamp) -> Result<(), DecodeError> {
        let Some(object) = &change.after else {
            if let Some(gone) = &change.before {
                self.cluster.remove_node(gone.name());
            }
            return Ok(());
        };
        let before = self.cluster.put_node(NodeInfo::decode(object)?);
        let Some(after) = self.cluster.node(object.name()) else { return Ok(()) };
        let event = match &before {
            None => ClusterEvent::NodeAdded(after),
            Some(before) => ClusterEvent::NodeUpdated { before, after },
        };
        self.queue.on_event(event, &self.plugins, now);
        Ok(())
    }

    pub fn on_pod(&mut self, change: &Change, now: Timestamp) -> Result<(), DecodeError> {
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && before.uid() != after.uid()
        {
            self.pod_gone(before.uid(), now);
        }
        let Some(object) = &change.after else {
            if let Some(gone) = &change.before {
                self.pod_gone(gone.uid(), now);
            }
            return Ok(());
        };
        let pod = Arc::new(PodInfo::decode(object)?);
        if pod.is_terminal {
            self.pod_gone(&pod.uid, now);
        } else if !pod.node_name.is_empty() {
            self.queue.remove(&pod.uid);
            self.cluster.put_pod(pod.clone());
            self.queue.on_event(ClusterEvent::PodPlaced(&pod), &self.plugins, now);
        } else {
            self.pod_waits(pod, now);
        }
        Ok(())
    }

    /// Namespaces are told apart by their labels.
    pub fn on_namespace(&mut self, change: &Change) {
        match (&change.after, &change.before) {
            (Some(namespace), _) => self.cluster.put_namespace(namespace.clone()),
            (None, Some(gone)) => self.cluster.remove_namespace(gone.name()),
            (None, None) => {}
        }
    }

    /// Preemption spares what disruption budgets protect, where it can.
    pub fn on_budget(&mut self, change: &Change) {
        match (&change.after, &change.before) {
            (Some(budget), _) => self.cluster.put_budget(budget),
            (None, Some(gone)) => self.cluster.remove_budget(&gone.key()),
            (None, None) => {}
        }
    }

    /// Decides about the next pod, if one is due.
    pub fn decide(&mut self, now: Timestamp) -> Option<Decision> {
        let pod = self.queue.pop(now)?;
        match cycle::place(&pod, &self.cluster, &self.plugins, &self.rng) {
            Ok(node) => {
                self.cluster.assume(pod.clone(), &node);
                Some(Decision::Bind { pod: pod.object.clone(), node })
            }
            Err(diagnosis) => {
                let mut message = diagnosis.message();
                let preemption = match preempt(&pod, &mut self.cluster, &self.plugins, &diagnosis) {
                    Ok(preemption) => {
                        self.cluster.nominate(pod.clone(), &preemption.node);
                        Some(preemption)
                    }
                    Err(_) if diagnosis.node_count() == 0 => None,
                    Err(why) => {
                        message += &format!(" preemption: {why}");
                        None
                    }
                };
                self.queue.unschedulable(&pod.uid, diagnosis.plugins, now);
                Some(Decision::Unschedulable { pod: pod.object.clone(), message, preemption })
            }
        }
    }

    /// The API refused a binding that was decided: the pod is tried again, unless it is gone.
    pub fn binding_failed(&mut self, uid: &str, now: Timestamp) {
        self.cluster.forget(uid);
        self.queue.retry(uid, now);
    }

    /// When to call [`Scheduler::decide`] again even if nothing changes.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.queue.next_alarm()
    }

    /// Forgets every node and pod that is not named: they were deleted unseen.
    pub fn retain(&mut self, nodes: &BTreeSet<Box<str>>, pods: &BTreeSet<Box<str>>, now: Timestamp) {
        let gone: Vec<Box<str>> = self.cluster.nodes().map(|node| node.name.clone()).collect();
        for name in gone.iter().filter(|name| !nodes.contains(*name)) {
            self.cluster.remove_node(name);
        }
        let known: BTreeSet<Box<str>> = self.cluster.pods().chain(self.queue.pods()).cloned().collect();
        for uid in known.difference(pods) {
            self.pod_gone(uid, now);
        }
    }

    fn pod_waits(&mut self, pod: Arc<PodInfo>, now: Timestamp) {
        let ours = pod.scheduler_name == self.name && !pod.is_gated && !pod.object.is_deleting();
        if !ours {
            self.queue.remove(&pod.uid);
            return;
        }
        // Our own binding is on its way; its outcome decides.
        if self.cluster.is_assumed(&pod.uid) {
            return;
        }
        if !pod.nominated_node.is_empty() {
            self.cluster.nominate(pod.clone(), &pod.nominated_node);
        }
        let uid = pod.uid.clone();
        let spec_changed = self.queue.get(&uid).is_some_and(|known| differs(known, &pod));
        self.queue.put(pod);
        if spec_changed {
            self.queue.on_pod_update(&uid, &self.plugins, now);
        }
    }

    fn pod_gone(&mut self, uid: &str, now: Timestamp) {
        self.queue.remove(uid);
        if self.cluster.remove_pod(uid) {
            self.queue.on_event(ClusterEvent::PodReleased, &self.plugins, now);
        }
    }
}

/// Whether anything that plugins read differs; our own status writes do not.
fn differs(a: &PodInfo, b: &PodInfo) -> bool {
    a.tolerations != b.tolerations
        || a.node_selector != b.node_selector
        || a.node_affinity != b.node_affinity
        || a.requests != b.requests
}

#[cfg(test)]
mod tests;
