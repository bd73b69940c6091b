//! What controllers ask of a pod: whether it lives, is ready, is available, and since when.

use api::Gvr;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::tree::{Tree, condition};

pub(crate) const PODS: Gvr = Gvr::new("", "v1", "pods");

/// It has not ended and is not being deleted.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_terminal(pod) && pod.at("metadata.deletionTimestamp").is_null()
}

/// It has ended, one way or the other.
pub(crate) fn is_terminal(pod: &Value) -> bool {
    matches!(pod.text("status.phase"), "Succeeded" | "Failed")
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod.items("status.conditions"), "Ready").is_some_and(|ready| ready.text("status") == "True")
}

/// Since when it has been ready; `None` when it is not.
pub(crate) fn ready_since(pod: &Value) -> Option<Timestamp> {
    let ready = condition(pod.items("status.conditions"), "Ready")?;
    if ready.text("status") == "True" { ready.time("lastTransitionTime") } else { None }
}

/// When the pod has been or will have been ready for long enough; `None` when it is not ready.
pub(crate) fn available_at(pod: &Value, min_ready_secs: i64) -> Option<Timestamp> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready_secs == 0 {
        return Some(Timestamp::UNIX_EPOCH);
    }
    Some(ready_since(pod)? + SignedDuration::from_secs(min_ready_secs))
}

/// Whether a toleration lets a pod be on a node with the taint.
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let view = api::taint::Toleration {
        key: toleration.text("key"),
        operator: toleration.text("operator"),
        value: toleration.text("value"),
        effect: toleration.text("effect"),
    };
    view.tolerates(&api::taint::Taint {
        key: taint.text("key"),
        value: taint.text("value"),
        effect: taint.text("effect"),
    })
}
