//! What a Job's rules make of a pod that failed (podFailurePolicy) and of indexes that succeeded (successPolicy).

use serde_json::Value;

use super::indexes::{Indexes, parse};
use crate::tree::{Tree, condition};

/// What a failed pod means for its Job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Count,
    Ignore,
    FailIndex,
    /// The whole Job fails, for this reason.
    FailJob(String),
}

/// The verdict of the first rule that the pod matches.
pub(super) fn judge(job: &Value, pod: &Value) -> Verdict {
    for (at, rule) in job.items("spec.podFailurePolicy.rules").iter().enumerate() {
        let action = rule.text("action");
        let (namespace, name) = (pod.text("metadata.namespace"), pod.text("metadata.name"));
        let found = if rule.at("onExitCodes").is_null() {
            matching_condition(rule, pod)
                .map(|kind| format!("Pod {namespace}/{name} has condition {kind} matching {action} rule at index {at}"))
        } else {
            matching_container(rule.at("onExitCodes"), pod).map(|(container, code)| {
                format!(
                    "Container {container} for pod {namespace}/{name} failed with exit code {code} matching {action} \
                     rule at index {at}"
                )
            })
        };
        let Some(message) = found else { continue };
        match action {
            "Ignore" => return Verdict::Ignore,
            "Count" => return Verdict::Count,
            "FailIndex" => return Verdict::FailIndex,
            "FailJob" => return Verdict::FailJob(message),
            // An action of a newer version: the next rule may be known.
            _ => {}
        }
    }
    Verdict::Count
}

/// The container that ended in error and whose exit code the requirement means.
fn matching_container<'a>(wanted: &Value, pod: &'a Value) -> Option<(&'a str, i64)> {
    let of = |list| pod.at("status").items(list).iter();
    let mut statuses = of("initContainerStatuses").chain(of("containerStatuses"));
    let name = wanted.text("containerName");
    statuses.find_map(|status| {
        let code = status.at("state.terminated.exitCode").as_i64().filter(|code| *code != 0)?;
        let is_listed = wanted.items("values").iter().any(|value| value.as_i64() == Some(code));
        let is_meant = match wanted.text("operator") {
            "In" => is_listed,
            "NotIn" => !is_listed,
            _ => false,
        };
        let is_named = name.is_empty() || name == status.text("name");
        (is_meant && is_named).then(|| (status.text("name"), code))
    })
}

fn matching_condition<'a>(rule: &'a Value, pod: &Value) -> Option<&'a str> {
    let conditions = pod.items("status.conditions");
    let mut kinds = rule.items("onPodConditions").iter().filter(|pattern| {
        let wanted = pattern.at("status").as_str().unwrap_or("True");
        condition(conditions, pattern.text("type")).is_some_and(|found| found.text("status") == wanted)
    });
    kinds.next().map(|pattern| pattern.text("type"))
}

/// Why the Job is a success before all its indexes are, if it is.
pub(super) fn success(job: &Value, succeeded: &Indexes, completions: i64) -> Option<String> {
    let rules = job.items("spec.successPolicy.rules");
    let met = rules.iter().position(|rule| {
        let named = rule.at("succeededIndexes").as_str().map(|text| parse(text, completions));
        let count = rule.at("succeededCount").as_i64().and_then(|count| usize::try_from(count).ok());
        match (named, count) {
            (Some(named), Some(count)) => named.intersection(succeeded).count() >= count,
            (Some(named), None) => named.is_subset(succeeded),
            (None, Some(count)) => succeeded.len() >= count,
            (None, None) => false,
        }
    });
    met.map(|at| format!("Matched rules at index {at}"))
}
