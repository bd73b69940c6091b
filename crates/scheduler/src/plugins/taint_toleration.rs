//! TaintToleration: a pod stays off nodes whose taints it does not tolerate, and prefers those it tolerates best.

use api::typed::k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::node::NodeInfo;
use crate::plugin::{ClusterEvent, Plugin, Rejection, normalize_to_max};
use crate::pod::PodInfo;

pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        if admits(pod, node) {
            return Ok(());
        }
        Err(Rejection::hopeless("node(s) had untolerated taint(s)"))
    }

    fn weight(&self) -> Option<i64> {
        Some(3)
    }

    /// The number of PreferNoSchedule taints that the pod does not tolerate.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let untolerated = soft.filter(|taint| !tolerates(&pod.tolerations, taint)).count();
        i64::try_from(untolerated).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_to_max(scores, true);
    }

    fn wakes(&self, pod: &PodInfo, event: ClusterEvent<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(node) => admits(pod, node),
            ClusterEvent::NodeUpdated { before, after } => !admits(pod, before) && admits(pod, after),
            ClusterEvent::PodUpdated => true,
            ClusterEvent::PodReleased | ClusterEvent::PodPlaced(_) => false,
        }
    }
}

pub fn admits(pod: &PodInfo, node: &NodeInfo) -> bool {
    let mut hard = node.taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    hard.all(|taint| tolerates(&pod.tolerations, taint))
}

/// Whether one of the tolerations matches the taint.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| matches(toleration, taint))
}

fn matches(toleration: &Toleration, taint: &Taint) -> bool {
    let view = api::taint::Toleration {
        key: text(&toleration.key),
        operator: text(&toleration.operator),
        value: text(&toleration.value),
        effect: text(&toleration.effect),
    };
    view.tolerates(&api::taint::Taint { key: &taint.key, value: text(&taint.value), effect: &taint.effect })
}

fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}
