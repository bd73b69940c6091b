//! TTL after finished: a Job with ttlSecondsAfterFinished goes that long after it has ended (KEP-592).

use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot};
use jiff::{SignedDuration, Timestamp};

use crate::job::{JOBS, is_finished};
use crate::tree::{Tree, tree_of};

pub struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(JOBS, &[])]
    }

    fn wakes(&self, _snapshot: &Snapshot, _resource: &Gvr, change: &Change) -> Vec<Key> {
        change.after.iter().map(Object::key).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&JOBS, key).filter(|job| !job.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let job = tree_of(object)?;
        let Some(ttl) = job.at("spec.ttlSecondsAfterFinished").as_i64().filter(|_| is_finished(&job)) else {
            return Ok(Plan::nothing());
        };
        let ends = job.items("status.conditions").iter().filter(|condition| {
            matches!(condition.text("type"), "Complete" | "Failed") && condition.text("status") == "True"
        });
        let ended = ends.filter_map(|condition| condition.time("lastTransitionTime")).max().unwrap_or(now);
        let at = ended + SignedDuration::from_secs(ttl);
        if at > now {
            return Ok(Plan { steps: Vec::new(), wake_at: Some(at) });
        }
        Ok(Plan::act(vec![Action::Delete {
            resource: JOBS,
            key: key.clone(),
            precondition: Precondition::exactly(object),
            propagation: Some("Foreground"),
            grace_period_secs: None,
        }]))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::TtlAfterFinished;
    use crate::testing::plan;

    fn check(ttl: &str, conditions: &str, expected: Expect) {
        let yaml = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum, namespace: shop}}
spec: {{ttlSecondsAfterFinished: {ttl}}}\nstatus: {{conditions: [{conditions}]}}"
        );
        expected.assert_eq(&plan(&TtlAfterFinished, &yaml, "shop/sum"));
    }

    #[test]
    fn a_finished_job_goes_when_its_time_is_over() {
        let complete = "{type: Complete, status: 'True', lastTransitionTime: '2026-01-01T11:59:00Z'}";
        check(
            "60",
            complete,
            expect![[r#"
            delete jobs.batch shop/sum Foreground
        "#]],
        );
        check(
            "61",
            complete,
            expect![[r#"
            wake at 2026-01-01T12:00:01Z
        "#]],
        );
        check(
            "60",
            "{type: Suspended, status: 'True', lastTransitionTime: '2026-01-01T11:00:00Z'}",
            expect![[r#"
            nothing
        "#]],
        );
        check(
            "null",
            complete,
            expect![[r#"
            nothing
        "#]],
        );
    }
}
