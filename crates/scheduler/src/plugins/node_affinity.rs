//! NodeAffinity: nodeSelector and node affinity, required and preferred.

use api::selector::node_requirement_holds;
use api::typed::k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection, normalize_to_max};
use crate::pod::PodInfo;

pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        if required_matches(pod, node) {
            return Ok(());
        }
        Err(Rejection::hopeless("node(s) didn't match Pod's node affinity/selector"))
    }

    fn weight(&self) -> Option<i64> {
        Some(2)
    }

    /// The summed weights of the preferred terms that the node matches.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let preferred = pod
            .node_affinity
            .iter()
            .flat_map(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten());
        preferred.filter(|term| term_matches(&term.preference, node)).map(|term| i64::from(term.weight)).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_to_max(scores, false);
    }

    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(node) => required_matches(pod, node),
            ClusterEvent::NodeUpdated { before, after } => {
                !required_matches(pod, before) && required_matches(pod, after)
            }
            ClusterEvent::PodUpdated => true,
            ClusterEvent::PodReleased | ClusterEvent::PodPlaced(_) => false,
        }
    }
}

pub fn required_matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    if !pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value)) {
        return false;
    }
    let required = pod
        .node_affinity
        .as_ref()
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

/// All of a term's requirements hold; an empty term matches nothing.
fn term_matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.labels.get(key).map(|value| &**value);
    let field = |key: &str| (key == "metadata.name").then_some(&*node.name);
    expressions.iter().all(|requirement| requirement_holds(requirement, label(&requirement.key)))
        && fields.iter().all(|requirement| requirement_holds(requirement, field(&requirement.key)))
}

fn requirement_holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    node_requirement_holds(&requirement.operator, values, actual)
}
