//! A PodDisruptionBudget as preemption reads it.

use api::Object;
use api::selector::LabelSelector;
use serde_json::Value;

pub struct Budget {
    namespace: Box<str>,
    selector: LabelSelector,
    /// Pods whose disruption was granted already.
    disrupted: Vec<Box<str>>,
    pub allowed: i64,
}

impl Budget {
    pub fn read(object: &Object) -> Option<Self> {
        let tree = object.tree().ok()?;
        let disrupted = tree.pointer("/status/disruptedPods").and_then(Value::as_object);
        Some(Self {
            namespace: object.namespace().into(),
            selector: LabelSelector::from_object(tree.pointer("/spec/selector")).ok()?,
            disrupted: disrupted.into_iter().flatten().map(|(name, _)| name.as_str().into()).collect(),
            allowed: tree.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0),
        })
    }

    /// Whether another disruption of this pod would be counted.
    pub fn protects(&self, pod: &Object) -> bool {
        *self.namespace == *pod.namespace()
            && self.selector.matches_object(pod)
            && !self.disrupted.iter().any(|name| **name == *pod.name())
    }
}
