//! What a DaemonSet's status says.

use cache::Action;
use serde_json::{Value, json};

use super::nodes::Fit;
use super::{DAEMON_SETS, Set};
use crate::pods::is_ready;
use crate::tree::{Tree, set};

/// Zeros that upstream's encoding writes; others are left out.
const ALWAYS: [&str; 4] = ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"];

impl Set<'_> {
    /// Writes the status if it says something new.
    pub(super) fn status_update(&self) -> Option<Action> {
        let old = self.tree.at("status");
        let mut status = self.status();
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|name, value| value.as_i64() != Some(0) || ALWAYS.contains(&name.as_str()));
        }
        if self.collision_count > 0 {
            status["collisionCount"] = json!(self.collision_count);
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
        Some(Action::Update { resource: DAEMON_SETS, key, subresource: "status".into(), object })
    }

    fn status(&self) -> Value {
        let (mut scheduled, mut ready, mut available, mut updated, mut astray) = (0, 0, 0, 0, 0);
        for (node, fit) in &self.nodes {
            let Some(oldest) = self.on(node).first() else { continue };
            if *fit != Fit::Runs {
                astray += 1;
                continue;
            }
            scheduled += 1;
            ready += i64::from(is_ready(&oldest.tree));
            available += i64::from(self.is_available(oldest));
            updated += i64::from(self.is_updated(oldest));
        }
        let desired = self.desired();
        json!({
            "currentNumberScheduled": scheduled,
            "desiredNumberScheduled": desired,
            "numberAvailable": available,
            "numberMisscheduled": astray,
            "numberReady": ready,
            "numberUnavailable": desired - available,
            "observedGeneration": self.tree.int("metadata.generation"),
            "updatedNumberScheduled": updated,
        })
    }
}
