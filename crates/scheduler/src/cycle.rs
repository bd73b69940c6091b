//! One scheduling cycle: filter all nodes, score the feasible ones, take the best.

use stdx::Rng;

use crate::cluster::Cluster;
use crate::diagnosis::Diagnosis;
use crate::node::NodeInfo;
use crate::plugin::{Plugin, Prepared, Rejection};
use crate::pod::PodInfo;

/// The name of the best node for the pod, or why there is none. Equal nodes are drawn by lot.
pub fn place(pod: &PodInfo, cluster: &Cluster, plugins: &[Box<dyn Plugin>], rng: &Rng) -> Result<Box<str>, Diagnosis> {
    let plugins: Vec<Ready<'_>> =
        plugins.iter().map(|plugin| Ready { plugin: &**plugin, prepared: plugin.prepare(pod, cluster) }).collect();
    let feasible = feasible_nodes(pod, cluster, &plugins)?;
    if let [only] = feasible.as_slice() {
        return Ok(only.name.clone());
    }
    let scores = total_scores(pod, &feasible, &plugins);
    let best = scores.iter().copied().max().unwrap_or(0);
    let winners: Vec<&NodeInfo> =
        feasible.iter().zip(&scores).filter(|(_, score)| **score == best).map(|(node, _)| *node).collect();
    let drawn = usize::try_from(rng.below(winners.len() as u64)).unwrap_or(0);
    Ok(winners[drawn].name.clone())
}

/// A plugin, with what it worked out for this cycle.
struct Ready<'a> {
    plugin: &'a dyn Plugin,
    prepared: Option<Box<dyn Prepared + 'a>>,
}

impl Ready<'_> {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        self.plugin.filter(pod, node)?;
        self.prepared.as_ref().map_or(Ok(()), |prepared| prepared.filter(node))
    }

    fn scores(&self, pod: &PodInfo, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        if let Some(prepared) = &self.prepared {
            return prepared.scores(nodes);
        }
        let mut scores: Vec<i64> = nodes.iter().map(|node| self.plugin.score(pod, node)).collect();
        self.plugin.normalize(&mut scores);
        Some(scores)
    }
}

fn feasible_nodes<'a>(
    pod: &PodInfo,
    cluster: &'a Cluster,
    plugins: &[Ready<'_>],
) -> Result<Vec<&'a NodeInfo>, Diagnosis> {
    let mut diagnosis = Diagnosis::new(cluster.nodes().len());
    let mut feasible = Vec::new();
    for node in cluster.nodes() {
        let nominated = with_nominated(pod, node, cluster);
        let shown = nominated.as_ref().unwrap_or(node);
        let rejection = plugins.iter().find_map(|ready| Some((ready.plugin.name(), ready.filter(pod, shown).err()?)));
        match rejection {
            None => feasible.push(node),
            Some((plugin, rejection)) => diagnosis.rejected(&node.name, plugin, rejection),
        }
    }
    if feasible.is_empty() { Err(diagnosis) } else { Ok(feasible) }
}

/// The node with the claims of pods that preempted others for it, where these are no less important than this one.
fn with_nominated(pod: &PodInfo, node: &NodeInfo, cluster: &Cluster) -> Option<NodeInfo> {
    let mut claimed = None;
    for other in cluster.nominated(&node.name) {
        if other.priority >= pod.priority && other.uid != pod.uid {
            claimed.get_or_insert_with(|| node.clone()).claim(other);
        }
    }
    claimed
}

/// Whether the pod could run on the node.
pub fn fits(pod: &PodInfo, node: &str, cluster: &Cluster, plugins: &[Box<dyn Plugin>]) -> bool {
    let Some(node) = cluster.node(node) else { return false };
    let nominated = with_nominated(pod, node, cluster);
    let shown = nominated.as_ref().unwrap_or(node);
    plugins.iter().all(|plugin| {
        let ready = Ready { plugin: &**plugin, prepared: plugin.prepare(pod, cluster) };
        ready.filter(pod, shown).is_ok()
    })
}

fn total_scores(pod: &PodInfo, nodes: &[&NodeInfo], plugins: &[Ready<'_>]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    for ready in plugins {
        let Some(weight) = ready.plugin.weight() else { continue };
        let Some(scores) = ready.scores(pod, nodes) else { continue };
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    totals
}
