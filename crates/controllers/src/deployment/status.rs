//! What a Deployment's status says: counts, and the conditions Available, Progressing and ReplicaFailure.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use cache::Plan;

use super::sets::{Rollout, Set};
use crate::tree::{Tree, condition, set, time_text};

/// "No deadline" as upstream writes it.
const NO_DEADLINE: i64 = i32::MAX as i64;

/// The counts of a status.
#[derive(Clone, Copy, PartialEq)]
struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
}

impl Rollout<'_> {
    pub(super) fn status_replicas(&self) -> i64 {
        self.tree.int("status.replicas")
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.tree.at("spec.progressDeadlineSeconds").as_i64().is_some_and(|secs| secs != NO_DEADLINE)
    }

    pub(super) fn progressing(&self) -> Option<&Value> {
        condition(&self.conditions, "Progressing")
    }

    fn progress_reason(&self) -> &str {
        self.progressing().map_or("", |condition| condition.text("reason"))
    }

    /// Sets a condition. One that has this status and reason already stays as it is.
    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = time_text(self.now);
        let mut since = now.clone();
        if let Some(current) = condition(&self.conditions, kind)
            && current.text("status") == status
        {
            if current.text("reason") == reason {
                return;
            }
            since = current.text("lastTransitionTime").to_owned();
        }
        self.conditions.retain(|condition| condition.text("type") != kind);
        self.conditions.push(json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": since,
        }));
    }

    /// Shows in Progressing that a pause began or ended, so that the deadline does not run meanwhile.
    pub(super) fn note_pause(&mut self) {
        if !self.has_deadline() || self.progress_reason() == "ProgressDeadlineExceeded" {
            return;
        }
        let shown = self.progress_reason() == "DeploymentPaused";
        if self.is_paused() && !shown {
            self.set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
        } else if !self.is_paused() && shown {
            self.set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
        }
    }

    pub(super) fn status_only(self) -> Plan {
        self.into_plan()
    }

    fn counts(&self) -> Counts {
        let sum = |field: &str| self.sets.iter().map(|set| set.tree.int(field)).sum();
        Counts {
            replicas: sum("status.replicas"),
            updated: self.new.map_or(0, |new| self.sets[new].tree.int("status.replicas")),
            ready: sum("status.readyReplicas"),
            available: sum("status.availableReplicas"),
        }
    }

    fn shown_counts(&self) -> Counts {
        Counts {
            replicas: self.tree.int("status.replicas"),
            updated: self.tree.int("status.updatedReplicas"),
            ready: self.tree.int("status.readyReplicas"),
            available: self.tree.int("status.availableReplicas"),
        }
    }

    /// All pods are of the new template and available.
    pub(super) fn is_complete(&self) -> bool {
        let counts = self.counts();
        [counts.updated, counts.replicas, counts.available].iter().all(|count| *count == self.replicas())
    }

    /// Brings Progressing and ReplicaFailure up to date with how the roll is going.
    pub(super) fn progress(&mut self) {
        let counts = self.counts();
        let settled = counts.replicas == counts.updated && self.progress_reason() == "NewReplicaSetAvailable";
        if self.has_deadline() && !settled {
            self.tell_progress(counts);
        }
        let failure =
            self.new.into_iter().chain(self.old()).find_map(|index| {
                condition(self.sets[index].tree.items("status.conditions"), "ReplicaFailure").cloned()
            });
        match failure {
            Some(failure) => {
                let (status, reason) = (failure.text("status"), failure.text("reason"));
                self.set_condition("ReplicaFailure", status, reason, failure.text("message"));
            }
            None => self.conditions.retain(|condition| condition.text("type") != "ReplicaFailure"),
        }
    }

    fn tell_progress(&mut self, counts: Counts) {
        let subject = match self.new {
            Some(new) => format!("ReplicaSet {:?}", self.sets[new].object.name()),
            None => format!("Deployment {:?}", self.object.name()),
        };
        let shown = self.shown_counts();
        let got_on = counts.updated > shown.updated
            || counts.replicas - counts.updated < shown.replicas - shown.updated
            || counts.ready > shown.ready
            || counts.available > shown.available;
        if self.is_complete() {
            let message = format!("{subject} has successfully progressed.");
            self.set_condition("Progressing", "True", "NewReplicaSetAvailable", &message);
        } else if got_on {
            let message = format!("{subject} is progressing.");
            // Set anew even if it says the same: the deadline runs from its update.
            let since = self.progressing().filter(|condition| condition.text("status") == "True").cloned();
            self.conditions.retain(|condition| condition.text("type") != "Progressing");
            self.set_condition("Progressing", "True", "ReplicaSetUpdated", &message);
            if let (Some(since), Some(last)) = (since, self.conditions.last_mut()) {
                last["lastTransitionTime"] = since["lastTransitionTime"].clone();
            }
        } else if self.is_overdue() {
            let message = format!("{subject} has timed out progressing.");
            self.set_condition("Progressing", "False", "ProgressDeadlineExceeded", &message);
        }
    }

    fn is_overdue(&self) -> bool {
        self.progress_reason() == "ProgressDeadlineExceeded" || self.overdue_at().is_some_and(|at| at < self.now)
    }

    /// When the roll will have taken too long since it last got on.
    fn overdue_at(&self) -> Option<Timestamp> {
        if !self.has_deadline() || self.is_paused() {
            return None;
        }
        let since = self.progressing()?.time("lastUpdateTime")?;
        match self.progress_reason() {
            "NewReplicaSetAvailable" | "ProgressDeadlineExceeded" => None,
            _ => Some(since + SignedDuration::from_secs(self.tree.int("spec.progressDeadlineSeconds") + 1)),
        }
    }

    /// When to look again whether it has.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.overdue_at().filter(|at| *at >= self.now)
    }

    /// The Deployment with its new status, if that says something new.
    pub(super) fn status_update(&mut self) -> Option<Value> {
        let counts = self.counts();
        let unavailable = (self.sets.iter().map(Set::replicas).sum::<i64>() - counts.available).max(0);
        if counts.available >= self.replicas() - self.max_unavailable() {
            let message = "Deployment has minimum availability.";
            self.set_condition("Available", "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.";
            self.set_condition("Available", "False", "MinimumReplicasUnavailable", message);
        }
        let ending: i64 = self.sets.iter().map(|set| set.tree.int("status.terminatingReplicas")).sum();
        let mut status = json!({"terminatingReplicas": ending, "conditions": self.conditions});
        let numbers = [
            ("observedGeneration", self.tree.int("metadata.generation")),
            ("replicas", counts.replicas),
            ("updatedReplicas", counts.updated),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
            ("unavailableReplicas", unavailable),
        ];
        for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
            status[name] = json!(number);
        }
        if let Some(count) = self.collision_count {
            status["collisionCount"] = json!(count);
        }
        if without_zeros(self.tree.at("status")) == without_zeros(&status) {
            return None;
        }
        let mut object = self.tree.clone();
        set(&mut object, "status", status);
        Some(object)
    }
}

/// Counts of zero and absent ones are the same.
fn without_zeros(status: &Value) -> Value {
    let fields = status.as_object().into_iter().flatten();
    let kept = fields.filter(|(_, value)| value.as_i64() != Some(0) && !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}
