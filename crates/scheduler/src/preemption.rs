//! Preemption: room for a pod of higher priority where pods of lower priority go
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>).
//!
//! On each node that could help, all pods of lower priority are lifted off the picture of the cluster; if the pod fits then,
//! as many as possible are put back, the more important first, those that a disruption budget protects before all. Of
//! the nodes, the one is taken where the least is lost. The picture is afterwards as it was.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::Object;
use jiff::Timestamp;

use crate::cluster::{Cluster, Lifted};
use crate::cycle::fits;
use crate::diagnosis::Diagnosis;
use crate::plugin::Plugin;
use crate::pod::PodInfo;

/// No more nodes than this are weighed against each other.
const CANDIDATES_MAX: usize = 100;

/// A node, and the pods that have to leave it.
#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: Box<str>,
    pub victims: Vec<Object>,
}

struct Candidate {
    node: Box<str>,
    victims: Vec<Arc<PodInfo>>,
    /// Victims whose budget does not allow another disruption.
    violations: usize,
}

/// Who has to go for the pod, or why nobody's going would help.
pub fn preempt(
    pod: &PodInfo,
    cluster: &mut Cluster,
    plugins: &[Box<dyn Plugin>],
    diagnosis: &Diagnosis,
) -> Result<Preemption, String> {
    if pod.never_preempts {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let by_node = lower_pods(pod, cluster);
    let waits_for = |pods: &Vec<Arc<PodInfo>>| pods.iter().any(|lower| lower.object.is_deleting());
    if by_node.get(&pod.nominated_node).is_some_and(waits_for) {
        return Err("not eligible due to a terminating pod on the nominated node.".to_owned());
    }
    let mut candidates = Vec::new();
    for node in &diagnosis.preemptible {
        let Some(lower) = by_node.get(node) else { continue };
        candidates.extend(candidate(pod, node, lower, cluster, plugins));
        if candidates.len() == CANDIDATES_MAX {
            break;
        }
    }
    match candidates.into_iter().min_by_key(loss) {
        Some(best) => {
            let victims = best.victims.iter().map(|victim| victim.object.clone()).collect();
            Ok(Preemption { node: best.node, victims })
        }
        None => Err(hopeless(diagnosis)),
    }
}

fn hopeless(diagnosis: &Diagnosis) -> String {
    let (all, tried) = (diagnosis.node_count(), diagnosis.preemptible.len());
    let parts = [
        (tried, "No preemption victims found for incoming pod"),
        (all - tried, "Preemption is not helpful for scheduling"),
    ];
    let said: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    format!("0/{all} nodes are available: {}.", said.join(", "))
}

/// The pods of lower priority, by node.
fn lower_pods(pod: &PodInfo, cluster: &Cluster) -> BTreeMap<Box<str>, Vec<Arc<PodInfo>>> {
    let mut by_node = BTreeMap::<Box<str>, Vec<Arc<PodInfo>>>::new();
    for (other, node) in cluster.claims().filter(|(other, _)| other.priority < pod.priority) {
        by_node.entry(node.into()).or_default().push(other.clone());
    }
    for pods in by_node.values_mut() {
        pods.sort_by_key(|pod| importance(pod));
    }
    by_node
}

/// The more important pod first.
fn importance(pod: &PodInfo) -> (Reverse<i32>, Option<Timestamp>, Box<str>) {
    (Reverse(pod.priority), pod.start_time, pod.uid.clone())
}

fn candidate(
    pod: &PodInfo,
    node: &str,
    lower: &[Arc<PodInfo>],
    cluster: &mut Cluster,
    plugins: &[Box<dyn Plugin>],
) -> Option<Candidate> {
    let mut lifted: BTreeMap<Box<str>, Lifted> = BTreeMap::new();
    for victim in lower {
        lifted.extend(cluster.lift(&victim.uid).map(|claim| (victim.uid.clone(), claim)));
    }
    let found = fits(pod, node, cluster, plugins).then(|| {
        let (protected, others) = by_protection(lower, cluster);
        let mut found = Candidate { node: node.into(), victims: Vec::new(), violations: 0 };
        for (victim, is_protected) in
            protected.into_iter().map(|pod| (pod, true)).chain(others.into_iter().map(|pod| (pod, false)))
        {
            let Some(claim) = lifted.remove(&victim.uid) else { continue };
            cluster.put_back(claim);
            if fits(pod, node, cluster, plugins) {
                continue;
            }
            lifted.extend(cluster.lift(&victim.uid).map(|claim| (victim.uid.clone(), claim)));
            found.violations += usize::from(is_protected);
            found.victims.push(victim);
        }
        found
    });
    for claim in lifted.into_values() {
        cluster.put_back(claim);
    }
    found.filter(|found| !found.victims.is_empty())
}

/// Pods whose going would break a disruption budget, and all others; each in the order of their importance.
fn by_protection(pods: &[Arc<PodInfo>], cluster: &Cluster) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: Vec<i64> = cluster.budgets().map(|budget| budget.allowed).collect();
    let mut is_protected = |pod: &Arc<PodInfo>| {
        let mut breaks = false;
        for (budget, left) in cluster.budgets().zip(&mut allowed) {
            if budget.protects(&pod.object) {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    };
    pods.iter().cloned().partition(|pod| is_protected(pod))
}

/// What is lost on a node, in the order in which it counts: broken budgets, the most important victim, the sum of
/// priorities, the number of victims, and how long the most important ones have run.
fn loss(candidate: &Candidate) -> (usize, i32, i64, usize, Reverse<Option<Timestamp>>) {
    let victims = &candidate.victims;
    let most = victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
    // Priorities may be below zero: each victim costs something.
    let sum = victims.iter().map(|victim| i64::from(victim.priority) - i64::from(i32::MIN)).sum();
    let longest = victims.iter().filter(|victim| victim.priority == most).map(|victim| victim.start_time).min();
    (candidate.violations, most, sum, victims.len(), Reverse(longest.flatten()))
}
