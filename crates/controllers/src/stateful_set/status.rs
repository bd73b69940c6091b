//! What a StatefulSet's status says.

use cache::Action;
use serde_json::{Value, json};

use super::{Pod, STATEFUL_SETS, Set};
use crate::tree::{Tree, set};

impl Set<'_> {
    /// Writes the status if it says something new.
    pub(super) fn status_update(&self) -> Option<Action> {
        let mut status = self.status();
        let old = self.tree.at("status");
        if let Some(fields) = status.as_object_mut() {
            // Upstream's encoding leaves out zeros of these.
            fields.retain(|name, value| {
                value.as_i64() != Some(0)
                    || matches!(name.as_str(), "replicas" | "availableReplicas" | "collisionCount")
            });
        }
        if !old.at("conditions").is_null() {
            status["conditions"] = old.at("conditions").clone();
        }
        if *old == status {
            return None;
        }
        let mut object = self.tree.clone();
        set(&mut object, "status", status);
        let key = self.object.key();
        Some(Action::Update { resource: STATEFUL_SETS, key, subresource: "status".into(), object })
    }

    fn status(&self) -> Value {
        let count = |counts: &dyn Fn(&Pod) -> bool| self.pods.iter().filter(|pod| counts(pod)).count();
        let is_of = |revision: &str, pod: &Pod| !pod.object.is_deleting() && pod.revision() == revision;
        let ready = count(&Pod::is_running_and_ready);
        let updated = count(&|pod| is_of(&self.update.name, pod));
        // A rolling update is done when all pods are new and ready.
        let is_done = self.tree.text("spec.updateStrategy.type") == "RollingUpdate"
            && updated == self.pods.len()
            && ready == self.pods.len();
        let current = if is_done { &self.update.name } else { &self.current.name };
        json!({
            "observedGeneration": self.tree.int("metadata.generation"),
            "replicas": self.pods.len(),
            "readyReplicas": ready,
            "availableReplicas": count(&|pod| self.is_available(pod)),
            "currentReplicas": count(&|pod| is_of(current, pod)),
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": self.update.name,
            "collisionCount": self.collision_count,
        })
    }
}
