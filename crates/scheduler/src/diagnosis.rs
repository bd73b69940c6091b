//! Why no node takes a pod, in upstream's words.

use std::collections::{BTreeMap, BTreeSet};

use crate::plugin::Rejection;

/// What the filters said about each node.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    node_count: usize,
    reasons: BTreeMap<String, usize>,
    /// The plugins that rejected a node: only they can say when to try again.
    pub plugins: BTreeSet<&'static str>,
    /// Nodes that may take the pod when others have left them.
    pub preemptible: Vec<Box<str>>,
}

impl Diagnosis {
    pub fn new(node_count: usize) -> Self {
        Self { node_count, ..Self::default() }
    }

    pub fn node_count(&self) -> usize {
        self.node_count
    }

    pub fn rejected(&mut self, node: &str, plugin: &'static str, rejection: Rejection) {
        if !rejection.is_hopeless {
            self.preemptible.push(node.into());
        }
        self.plugins.insert(plugin);
        for reason in rejection.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
    pub fn message(&self) -> String {
        if self.node_count == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut parts: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        format!("0/{} nodes are available: {}.", self.node_count, parts.join(", "))
    }
}
