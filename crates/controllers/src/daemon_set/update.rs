//! The rolling update of a DaemonSet: the old pod goes first (maxUnavailable), or the new one comes first (maxSurge).

use super::nodes::Fit;
use super::{Pod, Set, Work};
use crate::template::scaled_value;
use crate::tree::Tree;

/// The living pods of one node.
struct Pair<'a> {
    new: Option<&'a Pod>,
    old: Option<&'a Pod>,
}

impl Set<'_> {
    /// How many nodes shall have a pod.
    pub(super) fn desired(&self) -> i64 {
        let wanted = self.nodes.values().filter(|fit| **fit == Fit::Runs).count();
        i64::try_from(wanted).unwrap_or(i64::MAX)
    }

    pub(super) fn max_surge(&self) -> i64 {
        if self.tree.text("spec.updateStrategy.type") == "OnDelete" {
            return 0;
        }
        scaled_value(self.tree.at("spec.updateStrategy.rollingUpdate.maxSurge"), self.desired(), true)
    }

    fn max_unavailable(&self) -> i64 {
        let asked = self.tree.at("spec.updateStrategy.rollingUpdate.maxUnavailable");
        let unavailable = if asked.is_null() { 1 } else { scaled_value(asked, self.desired(), true) };
        // Both zero would never get on.
        if unavailable == 0 && self.max_surge() == 0 { 1 } else { unavailable }
    }

    pub(super) fn roll<'s>(&'s self, work: &mut Work<'s>) {
        if self.tree.text("spec.updateStrategy.type") == "OnDelete" {
            return;
        }
        if self.max_surge() == 0 { self.replace(work) } else { self.surge(work) }
    }

    /// The node's one new and one old pod; nothing where there are more, which is not for the update to decide.
    fn pair(&self, node: &str) -> Option<Pair<'_>> {
        let mut pair = Pair { new: None, old: None };
        for pod in self.on(node).iter().filter(|pod| !pod.object.is_deleting()) {
            let side = if self.is_updated(pod) { &mut pair.new } else { &mut pair.old };
            if side.replace(pod).is_some() {
                return None;
            }
        }
        Some(pair)
    }

    fn running_nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, fit)| **fit == Fit::Runs).map(|(node, _)| *node)
    }

    /// Deletes old pods as long as few enough nodes are without an available one. A broken one costs nothing more.
    fn replace<'s>(&'s self, work: &mut Work<'s>) {
        let mut unavailable = 0;
        let mut candidates = Vec::new();
        for node in self.running_nodes() {
            match self.pair(node) {
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => candidates.push(old),
                Some(Pair { new: None, old: Some(old) }) => {
                    unavailable += 1;
                    work.deletions.push(old);
                }
                Some(Pair { new: Some(new), old: None }) if self.is_available(new) => {}
                _ => unavailable += 1,
            }
        }
        let left = usize::try_from(self.max_unavailable() - unavailable).unwrap_or(0);
        work.deletions.extend(candidates.into_iter().take(left));
    }

    /// Makes new pods beside old ones as far as the surge goes; where the old one is broken, anyway. The old one goes when
    /// the new one is available.
    fn surge<'s>(&'s self, work: &mut Work<'s>) {
        let mut surging = 0;
        let mut candidates = Vec::new();
        for node in self.running_nodes() {
            match self.pair(node) {
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => candidates.push(node),
                Some(Pair { new: None, old: Some(_) }) => {
                    work.creations.insert(node);
                }
                Some(Pair { new: Some(new), old: Some(_) }) if !self.is_available(new) => surging += 1,
                _ => {}
            }
        }
        let left = usize::try_from(self.max_surge() - surging).unwrap_or(0);
        work.creations.extend(candidates.into_iter().take(left));
    }
}
