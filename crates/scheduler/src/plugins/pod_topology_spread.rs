//! PodTopologySpread: pods of a kind evenly over the values of a node label (zones, hosts), required and preferred (KEP-895).

use std::collections::BTreeMap;

use crate::affinity::Spread;
use crate::cluster::Cluster;
use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Rejection, SCORE_MAX};
use crate::plugins::node_affinity::required_matches;
use crate::plugins::taint_toleration::admits;
use crate::pod::PodInfo;

pub struct PodTopologySpread;

/// One constraint, and how many matching pods each domain has.
struct Counted<'a> {
    spread: &'a Spread,
    /// The pod counts for its own constraint.
    counts_itself: i64,
    domains: BTreeMap<&'a str, i64>,
}

struct State<'a> {
    hard: Vec<Counted<'a>>,
    soft: Vec<Counted<'a>>,
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, cluster: &'a Cluster) -> Option<Box<dyn Prepared + 'a>> {
        if pod.spread.is_empty() {
            return None;
        }
        let of = |is_hard: bool| {
            let spreads: Vec<&Spread> = pod.spread.iter().filter(|spread| spread.is_hard == is_hard).collect();
            count(pod, &spreads, cluster)
        };
        Some(Box::new(State { hard: of(true), soft: of(false) }))
    }

    fn weight(&self) -> Option<i64> {
        Some(2)
    }

    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        match event {
            ClusterEvent::PodPlaced(placed) => {
                placed.key.namespace == pod.key.namespace
                    && pod.spread.iter().any(|spread| spread.selector.matches_object(&placed.object))
            }
            _ => true,
        }
    }
}

/// The domains of nodes that count, and the pods in them. A node counts if it has the label of every constraint.
fn count<'a>(pod: &PodInfo, spreads: &[&'a Spread], cluster: &'a Cluster) -> Vec<Counted<'a>> {
    let counts = |spread: &Spread, node: &NodeInfo| {
        spreads.iter().all(|other| node.labels.contains_key(&other.topology_key))
            && (!spread.honors_affinity || required_matches(pod, node))
            && (!spread.honors_taints || admits(pod, node))
    };
    let mut all = Vec::new();
    for spread in spreads.iter().copied() {
        let mut domains = BTreeMap::new();
        for node in cluster.nodes().filter(|node| counts(spread, node)) {
            domains.entry(&*node.labels[&spread.topology_key]).or_insert(0);
        }
        for (other, node) in cluster.placed() {
            let is_meant = other.key.namespace == pod.key.namespace
                && !other.object.is_deleting()
                && spread.selector.matches_object(&other.object);
            if is_meant
                && counts(spread, node)
                && let Some(pods) = domains.get_mut(&*node.labels[&spread.topology_key])
            {
                *pods += 1;
            }
        }
        all.push(Counted { spread, counts_itself: spread.selector.matches_object(&pod.object).into(), domains });
    }
    all
}

impl Counted<'_> {
    fn at(&self, node: &NodeInfo) -> Option<i64> {
        let domain = node.labels.get(&self.spread.topology_key)?;
        Some(self.domains.get(&**domain).copied().unwrap_or(0))
    }

    /// The fewest in a domain; none where there are fewer domains than there should be.
    fn least(&self) -> i64 {
        let is_short = self.domains.len() < self.spread.min_domains;
        if is_short { 0 } else { self.domains.values().copied().min().unwrap_or(0) }
    }
}

impl Prepared for State<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for counted in &self.hard {
            let Some(pods) = counted.at(node) else {
                let why = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::hopeless(why));
            };
            if pods + counted.counts_itself - counted.least() > counted.spread.max_skew {
                return Err(Rejection::because("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    /// Fewer matching pods are better; few domains weigh less than many. Nodes that lack a label are last.
    fn scores(&self, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        if self.soft.is_empty() {
            return None;
        }
        let cost = |node: &&NodeInfo| -> Option<f64> {
            let mut cost = 0.0;
            for counted in &self.soft {
                let (pods, domains) = (counted.at(node)?, counted.domains.len());
                cost += small(pods) * (small_len(domains) + 2.0).ln() + small(counted.spread.max_skew - 1);
            }
            Some(cost.round())
        };
        let costs: Vec<Option<f64>> = nodes.iter().map(cost).collect();
        let known = || costs.iter().flatten().copied();
        let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max));
        let score = |cost: &Option<f64>| match cost {
            None => 0,
            Some(_) if most == 0.0 => SCORE_MAX,
            Some(cost) => whole(small(SCORE_MAX) * (most + least - cost) / most),
        };
        Some(costs.iter().map(score).collect())
    }
}

/// Numbers of pods and domains fit a float exactly.
fn small(number: i64) -> f64 {
    f64::from(i32::try_from(number).unwrap_or(i32::MAX))
}

fn small_len(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A score is between 0 and [`SCORE_MAX`].
fn whole(score: f64) -> i64 {
    (0..=SCORE_MAX).rev().find(|whole| small(*whole) <= score).unwrap_or(0)
}
