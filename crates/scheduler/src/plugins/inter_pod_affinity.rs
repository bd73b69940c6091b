//! InterPodAffinity: pods near to or far from other pods, required and preferred, by the topology of their nodes.
//!
//! Required anti-affinity holds in both directions: a pod that is there already keeps others away.

use std::collections::{BTreeMap, BTreeSet};

use crate::affinity::{PodAffinities, Term};
use crate::cluster::Cluster;
use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Rejection, SCORE_MAX};
use crate::pod::PodInfo;

/// How much a pod's required affinity to this one counts as a preference of its place (upstream's hardPodAffinityWeight).
const HARD_WEIGHT: i64 = 1;

pub struct InterPodAffinity;

/// A label of nodes and its value.
type Place<'a> = (&'a str, &'a str);

struct State<'a> {
    affinity: Option<&'a PodAffinities>,
    /// Where pods are that match all required terms.
    near: BTreeSet<Place<'a>>,
    /// The pod itself matches its required terms: the first of its kind may go anywhere.
    is_of_its_kind: bool,
    /// Where pods are that match a required anti-affinity term.
    far: BTreeSet<Place<'a>>,
    /// Where pods are that do not want this one near.
    unwelcome: BTreeSet<Place<'a>>,
    liked: BTreeMap<Place<'a>, i64>,
}

fn place<'a>(term: &'a Term, node: &'a NodeInfo) -> Option<Place<'a>> {
    node.labels.get(&term.topology_key).map(|value| (&*term.topology_key, &**value))
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn prepare<'a>(&self, pod: &'a PodInfo, cluster: &'a Cluster) -> Option<Box<dyn Prepared + 'a>> {
        if pod.affinity.is_none() && cluster.choosy().next().is_none() {
            return None;
        }
        let affinity = pod.affinity.as_deref();
        let mut state = State {
            affinity,
            near: BTreeSet::new(),
            is_of_its_kind: affinity.is_some_and(|own| own.required.iter().all(|term| term.matches(pod, cluster))),
            far: BTreeSet::new(),
            unwelcome: BTreeSet::new(),
            liked: BTreeMap::new(),
        };
        for (other, node) in cluster.choosy() {
            state.hear(pod, other, node, cluster);
        }
        if let Some(own) = affinity {
            for (other, node) in cluster.placed() {
                state.look_at(own, other, node, cluster);
            }
        }
        Some(Box::new(state))
    }

    fn weight(&self) -> Option<i64> {
        Some(2)
    }

    fn wakes(&self, _pod: &PodInfo, _event: ClusterEvent<'_>) -> bool {
        true
    }
}

impl<'a> State<'a> {
    /// What a pod that is there says about this one.
    fn hear(&mut self, pod: &PodInfo, other: &'a PodInfo, node: &'a NodeInfo, cluster: &Cluster) {
        let Some(theirs) = other.affinity.as_deref() else { return };
        let means = |term: &&Term| term.matches(pod, cluster);
        self.unwelcome.extend(theirs.required_anti.iter().filter(means).filter_map(|term| place(term, node)));
        let required = theirs.required.iter().map(|term| (HARD_WEIGHT, term));
        let preferred = theirs.preferred.iter().map(|(weight, term)| (*weight, term));
        for (weight, term) in required.chain(preferred).filter(|(_, term)| means(term)) {
            if let Some(place) = place(term, node) {
                *self.liked.entry(place).or_default() += weight;
            }
        }
    }

    /// What this pod says about one that is there.
    fn look_at(&mut self, own: &'a PodAffinities, other: &PodInfo, node: &'a NodeInfo, cluster: &Cluster) {
        let means = |term: &&Term| term.matches(other, cluster);
        if !own.required.is_empty() && own.required.iter().all(|term| means(&term)) {
            self.near.extend(own.required.iter().filter_map(|term| place(term, node)));
        }
        self.far.extend(own.required_anti.iter().filter(means).filter_map(|term| place(term, node)));
        for (weight, term) in own.preferred.iter().filter(|(_, term)| means(&term)) {
            if let Some(place) = place(term, node) {
                *self.liked.entry(place).or_default() += weight;
            }
        }
    }

    fn is_near(&self, required: &'a [Term], node: &'a NodeInfo) -> bool {
        let mut has_all = true;
        for term in required {
            let Some(place) = place(term, node) else { return false };
            has_all &= self.near.contains(&place);
        }
        has_all || (self.near.is_empty() && self.is_of_its_kind)
    }

    fn is_at(&self, places: &BTreeSet<Place<'_>>, node: &NodeInfo) -> bool {
        places.iter().any(|(key, value)| node.labels.get(*key).is_some_and(|found| **found == **value))
    }
}

impl Prepared for State<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let required = self.affinity.map_or(&[][..], |own| &own.required);
        if !required.is_empty() && !self.is_near(required, node) {
            return Err(Rejection::hopeless("node(s) didn't match pod affinity rules"));
        }
        if self.is_at(&self.far, node) {
            return Err(Rejection::because("node(s) didn't match pod anti-affinity rules"));
        }
        if self.is_at(&self.unwelcome, node) {
            return Err(Rejection::because("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn scores(&self, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        if self.liked.is_empty() {
            return None;
        }
        let score = |node: &&NodeInfo| -> i64 {
            let here = |(key, value): &Place<'_>| node.labels.get(*key).is_some_and(|found| **found == **value);
            self.liked.iter().filter(|(place, _)| here(place)).map(|(_, weight)| weight).sum()
        };
        let scores: Vec<i64> = nodes.iter().map(score).collect();
        let (least, most) = (scores.iter().copied().min()?, scores.iter().copied().max()?);
        let span = most - least;
        Some(scores.into_iter().map(|score| if span == 0 { 0 } else { SCORE_MAX * (score - least) / span }).collect())
    }
}
