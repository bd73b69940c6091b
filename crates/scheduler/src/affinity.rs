//! What a pod says about where other pods are: terms of inter-pod affinity and topology spread constraints, decoded once.

use api::Object;
use api::selector::{LabelSelector, Operator, Requirement};
use api::typed::k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, TopologySpreadConstraint};
use api::typed::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as TypedSelector;

use crate::cluster::Cluster;
use crate::pod::PodInfo;

/// A pod's affinities to other pods.
#[derive(Clone, Debug)]
pub struct PodAffinities {
    /// On nodes of whose topology such a pod is.
    pub required: Vec<Term>,
    /// On none of them.
    pub required_anti: Vec<Term>,
    /// Rather there; rather not where the weight is negative.
    pub preferred: Vec<(i64, Term)>,
}

#[derive(Clone, Debug)]
pub struct Term {
    pub topology_key: Box<str>,
    selector: LabelSelector,
    namespaces: Vec<Box<str>>,
    namespace_selector: LabelSelector,
}

/// A TopologySpreadConstraint.
#[derive(Clone, Debug)]
pub struct Spread {
    pub topology_key: Box<str>,
    pub max_skew: i64,
    pub min_domains: usize,
    /// `DoNotSchedule`, and not only `ScheduleAnyway`.
    pub is_hard: bool,
    pub selector: LabelSelector,
    /// Only nodes that the pod's node affinity allows count as domains.
    pub honors_affinity: bool,
    /// Only nodes whose taints it tolerates do.
    pub honors_taints: bool,
}

impl PodAffinities {
    /// Nothing for a pod that says nothing about others.
    pub fn read(pod: &Object, affinity: Option<&Affinity>) -> Option<Box<Self>> {
        let affinity = affinity?;
        let (near, far) = (affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref());
        let term = |term: &PodAffinityTerm| Term::read(pod, term);
        let required = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
        let anti = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
        let liked = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
        let disliked = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
        let liked = liked.into_iter().flatten().map(|one| (i64::from(one.weight), term(&one.pod_affinity_term)));
        let disliked = disliked.into_iter().flatten().map(|one| (-i64::from(one.weight), term(&one.pod_affinity_term)));
        let all = Self {
            required: required.into_iter().flatten().map(term).collect(),
            required_anti: anti.into_iter().flatten().map(term).collect(),
            preferred: liked.chain(disliked).collect(),
        };
        let is_empty = all.required.is_empty() && all.required_anti.is_empty() && all.preferred.is_empty();
        (!is_empty).then(|| Box::new(all))
    }
}

impl Term {
    fn read(pod: &Object, term: &PodAffinityTerm) -> Self {
        let mut selector = selector_of(term.label_selector.as_ref());
        selector = with_keys(selector, pod, term.match_label_keys.as_ref(), Operator::In);
        selector = with_keys(selector, pod, term.mismatch_label_keys.as_ref(), Operator::NotIn);
        let mut namespaces: Vec<Box<str>> = term.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(pod.namespace().into());
        }
        Self {
            topology_key: term.topology_key.as_str().into(),
            selector,
            namespaces,
            namespace_selector: selector_of(term.namespace_selector.as_ref()),
        }
    }

    /// Whether the term means this pod.
    pub fn matches(&self, pod: &PodInfo, cluster: &Cluster) -> bool {
        let namespace = &*pod.key.namespace;
        let is_there = self.namespaces.iter().any(|name| **name == *namespace)
            || self.namespace_selector.is_everything()
            || cluster.namespace(namespace).is_some_and(|found| self.namespace_selector.matches_object(found));
        is_there && self.selector.matches_object(&pod.object)
    }
}

impl Spread {
    pub fn read(pod: &Object, constraint: &TopologySpreadConstraint) -> Self {
        let selector = selector_of(constraint.label_selector.as_ref());
        let honors = |policy: &Option<String>, usual: bool| policy.as_ref().map_or(usual, |policy| policy == "Honor");
        Self {
            topology_key: constraint.topology_key.as_str().into(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: constraint.min_domains.and_then(|least| usize::try_from(least).ok()).unwrap_or(1),
            is_hard: constraint.when_unsatisfiable == "DoNotSchedule",
            selector: with_keys(selector, pod, constraint.match_label_keys.as_ref(), Operator::In),
            honors_affinity: honors(&constraint.node_affinity_policy, true),
            honors_taints: honors(&constraint.node_taints_policy, false),
        }
    }
}

/// Absent or malformed selects nothing.
fn selector_of(selector: Option<&TypedSelector>) -> LabelSelector {
    let tree = selector.and_then(|selector| serde_json::to_value(selector).ok());
    LabelSelector::from_object(tree.as_ref()).unwrap_or_else(|_| LabelSelector::nothing())
}

/// Narrows a selector by the pod's own values of some labels (matchLabelKeys, KEP-3243 and KEP-3633). Labels that the pod
/// has not are left out.
fn with_keys(selector: LabelSelector, pod: &Object, keys: Option<&Vec<String>>, operator: Operator) -> LabelSelector {
    let values = keys.into_iter().flatten().filter_map(|key| Some((key, pod.label(key)?)));
    let more = values.filter_map(|(key, value)| Requirement::new(key, operator, vec![value.to_owned()]).ok());
    selector.narrowed(more)
}
