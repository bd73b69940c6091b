//! The scheduler's picture of the cluster: nodes with their pods' claims, kept by changes, one at a time.
//!
//! A pod that was just given a node is *assumed* there until its binding is seen in the cache or has failed, so that
//! the next cycle already counts it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use api::{Key, Object};

use crate::budget::Budget;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

#[derive(Default)]
pub struct Cluster {
    nodes: BTreeMap<Box<str>, NodeInfo>,
    /// Pods that hold a claim, by UID, with the name of their node. The node itself may be unknown (yet).
    placed: HashMap<Box<str>, Placed>,
    /// Those of them that say something about other pods.
    choosy: BTreeSet<Box<str>>,
    namespaces: BTreeMap<Box<str>, Object>,
    budgets: BTreeMap<Key, Budget>,
    /// Pods that wait for others to leave a node, by UID.
    nominated: BTreeMap<Box<str>, (Arc<PodInfo>, Box<str>)>,
}

/// A claim that was taken off for a while.
pub struct Lifted(Placed);

struct Placed {
    pod: Arc<PodInfo>,
    node: Box<str>,
    assumed: bool,
}

impl Cluster {
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeInfo> {
        self.nodes.values()
    }

    /// The UIDs of the pods that hold a claim.
    pub fn pods(&self) -> impl Iterator<Item = &Box<str>> {
        self.placed.keys()
    }

    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name)
    }

    /// The pods that hold a claim on a known node, with that node.
    pub fn placed(&self) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        self.placed.values().filter_map(|placed| Some((&*placed.pod, self.nodes.get(&placed.node)?)))
    }

    /// Of these, those with affinities to other pods.
    pub fn choosy(&self) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        let placed = self.choosy.iter().filter_map(|uid| self.placed.get(uid));
        placed.filter_map(|placed| Some((&*placed.pod, self.nodes.get(&placed.node)?)))
    }

    /// Every claim, with the name of its node.
    pub fn claims(&self) -> impl Iterator<Item = (&Arc<PodInfo>, &str)> {
        self.placed.values().map(|placed| (&placed.pod, &*placed.node))
    }

    /// Takes a pod off its node, to see what would be without it.
    pub fn lift(&mut self, uid: &str) -> Option<Lifted> {
        let placed = self.placed.get(uid)?;
        let lifted = Placed { pod: placed.pod.clone(), node: placed.node.clone(), assumed: placed.assumed };
        self.remove_claim(uid);
        Some(Lifted(lifted))
    }

    pub fn put_back(&mut self, Lifted(placed): Lifted) {
        self.place(placed.pod, placed.node, placed.assumed);
    }

    /// The pods that wait for others to leave the node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.nominated.values().filter(move |(_, for_node)| **for_node == *node).map(|(pod, _)| pod)
    }

    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.nominated.insert(pod.uid.clone(), (pod, node.into()));
    }

    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values()
    }

    pub fn put_budget(&mut self, budget: &Object) {
        match Budget::read(budget) {
            Some(read) => self.budgets.insert(budget.key(), read),
            None => self.budgets.remove(&budget.key()),
        };
    }

    pub fn remove_budget(&mut self, key: &Key) {
        self.budgets.remove(key);
    }

    pub fn namespace(&self, name: &str) -> Option<&Object> {
        self.namespaces.get(name)
    }

    pub fn put_namespace(&mut self, namespace: Object) {
        self.namespaces.insert(namespace.name().into(), namespace);
    }

    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Returns the node as it was.
    pub fn put_node(&mut self, node: NodeInfo) -> Option<NodeInfo> {
        if let Some(known) = self.nodes.get_mut(&node.name) {
            let before = known.clone();
            known.refresh(node);
            return Some(before);
        }
        let (mut node, name) = (node.clone(), node.name);
        for placed in self.placed.values().filter(|placed| placed.node == name) {
            node.claim(&placed.pod);
        }
        self.nodes.insert(name, node);
        None
    }

    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// A pod that the cache shows on a node.
    pub fn put_pod(&mut self, pod: Arc<PodInfo>) {
        let node = pod.node_name.clone();
        self.place(pod, node, false);
    }

    /// A pod that is on its way to a node.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node.into(), true);
    }

    /// Takes back an assumption whose binding failed.
    pub fn forget(&mut self, uid: &str) {
        if self.placed.get(uid).is_some_and(|placed| placed.assumed) {
            self.remove_pod(uid);
        }
    }

    pub fn is_assumed(&self, uid: &str) -> bool {
        self.placed.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// Returns whether it held a claim.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        self.nominated.remove(uid);
        self.remove_claim(uid)
    }

    fn remove_claim(&mut self, uid: &str) -> bool {
        let Some(placed) = self.placed.remove(uid) else { return false };
        self.choosy.remove(uid);
        if let Some(node) = self.nodes.get_mut(&placed.node) {
            node.release(&placed.pod);
        }
        true
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: Box<str>, assumed: bool) {
        self.remove_pod(&pod.uid);
        if let Some(info) = self.nodes.get_mut(&node) {
            info.claim(&pod);
        }
        if pod.affinity.is_some() {
            self.choosy.insert(pod.uid.clone());
        }
        self.placed.insert(pod.uid.clone(), Placed { pod, node, assumed });
    }
}
