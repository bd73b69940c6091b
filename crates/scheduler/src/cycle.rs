//! One scheduling cycle: filter all nodes, score the feasible ones, take the best.

use stdx::Rng;

use crate::cluster::Cluster;
use crate::diagnosis::Diagnosis;
use crate::node::NodeInfo;
use crate::plugin::Plugin;
use crate::pod::PodInfo;

/// The name of the best node for the pod, or why there is none. Equal nodes are drawn by lot.
pub fn place(pod: &PodInfo, cluster: &Cluster, plugins: &[Box<dyn Plugin>], rng: &Rng) -> Result<Box<str>, Diagnosis> {
    let feasible = feasible_nodes(pod, cluster, plugins)?;
    if let [only] = feasible.as_slice() {
        return Ok(only.name.clone());
    }
    let scores = total_scores(pod, &feasible, plugins);
    let best = scores.iter().copied().max().unwrap_or(0);
    let winners: Vec<&NodeInfo> =
        feasible.iter().zip(&scores).filter(|(_, score)| **score == best).map(|(node, _)| *node).collect();
    let drawn = usize::try_from(rng.below(winners.len() as u64)).unwrap_or(0);
    Ok(winners[drawn].name.clone())
}

fn feasible_nodes<'a>(
    pod: &PodInfo,
    cluster: &'a Cluster,
    plugins: &[Box<dyn Plugin>],
) -> Result<Vec<&'a NodeInfo>, Diagnosis> {
    let mut diagnosis = Diagnosis::new(cluster.nodes().len());
    let mut feasible = Vec::new();
    for node in cluster.nodes() {
        let rejection = plugins.iter().find_map(|plugin| Some((plugin.name(), plugin.filter(pod, node).err()?)));
        match rejection {
            None => feasible.push(node),
            Some((plugin, rejection)) => diagnosis.rejected(plugin, rejection),
        }
    }
    if feasible.is_empty() { Err(diagnosis) } else { Ok(feasible) }
}

fn total_scores(pod: &PodInfo, nodes: &[&NodeInfo], plugins: &[Box<dyn Plugin>]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    for plugin in plugins {
        let Some(weight) = plugin.weight() else { continue };
        let mut scores: Vec<i64> = nodes.iter().map(|node| plugin.score(pod, node)).collect();
        plugin.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    totals
}
