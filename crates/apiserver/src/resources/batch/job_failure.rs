//! When a Job has failed or succeeded before its pods are through: its failure, success and replacement policies.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::qualified_name;
use api::validation::number::nonnegative;
use serde_json::Value;

use super::indexes;
use super::job_rules::indexed;
use crate::tree;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_LEN_MAX: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

pub fn policies(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let failure = spec.get("podFailurePolicy").filter(|policy| !policy.is_null());
    if let Some(policy) = failure {
        causes.extend(failure_policy(spec, policy, &path.child("podFailurePolicy").child("rules")));
    }
    if let Some(policy) = spec.get("successPolicy").filter(|policy| !policy.is_null()) {
        let at = path.child("successPolicy");
        if indexed(spec) {
            causes.extend(success_policy(spec, policy, &at.child("rules")));
        } else {
            causes.push(at.invalid_shown(&shown_success(policy), "requires indexed completion mode"));
        }
    }
    if let Some(policy) = spec.get("podReplacementPolicy").and_then(Value::as_str) {
        let supported: &[&str] = if failure.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        if !supported.contains(&policy) {
            causes.push(path.child("podReplacementPolicy").not_supported(policy, supported));
        }
    }
    causes
}

/// As upstream prints its own struct.
fn shown_success(policy: &Value) -> String {
    let field = |rule: &Value, name: &str| rule.get(name).cloned().unwrap_or_default().to_string();
    let rules = policy.get("rules").and_then(Value::as_array).map_or("null".to_owned(), |rules| {
        let one = |rule: &Value| {
            let (indexes, count) = (field(rule, "succeededIndexes"), field(rule, "succeededCount"));
            format!(r#"{{"SucceededIndexes":{indexes},"SucceededCount":{count}}}"#)
        };
        format!("[{}]", rules.iter().map(one).collect::<Vec<_>>().join(","))
    });
    format!(r#"{{"Rules":{rules}}}"#)
}

/// Upstream's list of values: `["In" "NotIn"]`.
fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn failure_policy(spec: &Value, policy: &Value, path: &Path) -> Vec<Cause> {
    let rules = tree::list(policy, "rules");
    let mut causes = Vec::new();
    if rules.len() > RULES_MAX {
        causes.push(path.too_many(rules.len(), RULES_MAX));
    }
    let lists = ["template.spec.containers", "template.spec.initContainers"];
    let containers: Vec<&str> =
        lists.iter().flat_map(|list| tree::list(spec, list)).map(|container| tree::text(container, "name")).collect();
    for (at, rule) in rules.iter().enumerate() {
        causes.extend(failure_rule(spec, rule, &path.index(at), &containers));
    }
    causes
}

fn failure_rule(spec: &Value, rule: &Value, path: &Path, containers: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let at = path.child("action");
    match tree::text(rule, "action") {
        "" => causes.push(at.required(&valid_values(ACTIONS))),
        "FailIndex" if !tree::is_set(spec, "backoffLimitPerIndex") => {
            causes.push(at.invalid("FailIndex", "requires the backoffLimitPerIndex to be set"));
        }
        action if !ACTIONS.contains(&action) => causes.push(at.not_supported(action, ACTIONS)),
        _ => {}
    }
    let codes = rule.get("onExitCodes").filter(|codes| !codes.is_null());
    let conditions = tree::list(rule, "onPodConditions");
    if let Some(codes) = codes {
        causes.extend(exit_codes(codes, &path.child("onExitCodes"), containers));
    }
    if !conditions.is_empty() {
        causes.extend(pod_conditions(conditions, &path.child("onPodConditions")));
    }
    match (codes.is_some(), conditions.is_empty()) {
        (true, false) => {
            causes.push(path.invalid_whole("specifying both OnExitCodes and OnPodConditions is not supported"));
        }
        (false, true) => {
            causes.push(path.invalid_whole("specifying one of OnExitCodes and OnPodConditions is required"));
        }
        (true, true) | (false, false) => {}
    }
    causes
}

fn exit_codes(codes: &Value, path: &Path, containers: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let operator = tree::text(codes, "operator");
    match operator {
        "" => causes.push(path.child("operator").required(&valid_values(&["In", "NotIn"]))),
        "In" | "NotIn" => {}
        other => causes.push(path.child("operator").not_supported(other, &["In", "NotIn"])),
    }
    if let Some(name) = codes.get("containerName").and_then(Value::as_str).filter(|name| !containers.contains(name)) {
        let why = "must be one of the container or initContainer names in the pod template";
        causes.push(path.child("containerName").invalid(name, why));
    }
    let at = path.child("values");
    let values: Vec<i64> = tree::list(codes, "values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        let shown = codes.get("values").cloned().unwrap_or_default();
        causes.push(at.invalid(shown, "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        causes.push(at.too_many(values.len(), EXIT_CODES_MAX));
    }
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            causes.push(at.index(i).invalid(*value, "must not be 0 for the In operator"));
        }
        if values[..i].contains(value) {
            causes.push(at.index(i).duplicate(*value));
        }
    }
    if !values.is_sorted() {
        causes.push(at.invalid(values, "must be ordered"));
    }
    causes
}

fn pod_conditions(patterns: &[Value], path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if patterns.len() > CONDITIONS_MAX {
        causes.push(path.too_many(patterns.len(), CONDITIONS_MAX));
    }
    for (at, pattern) in patterns.iter().enumerate() {
        let (path, kind) = (path.index(at), tree::text(pattern, "type"));
        causes.extend(path.child("type").invalid_each(kind, qualified_name(kind)));
        match tree::text(pattern, "status") {
            "" => causes.push(path.child("status").required(&valid_values(STATUSES))),
            status if !STATUSES.contains(&status) => {
                causes.push(path.child("status").not_supported(status, STATUSES));
            }
            _ => {}
        }
    }
    causes
}

fn success_policy(spec: &Value, policy: &Value, path: &Path) -> Vec<Cause> {
    let rules = tree::list(policy, "rules");
    let mut causes = Vec::new();
    if rules.is_empty() {
        causes.push(path.required("at least one rules must be specified when the successPolicy is specified"));
    }
    if rules.len() > RULES_MAX {
        causes.push(path.too_many(rules.len(), RULES_MAX));
    }
    let completions = tree::int(spec, "completions").unwrap_or_default();
    for (at, rule) in rules.iter().enumerate() {
        causes.extend(success_rule(rule, completions, &path.index(at)));
    }
    causes
}

fn success_rule(rule: &Value, completions: i64, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let indexes = rule.get("succeededIndexes").and_then(Value::as_str);
    let count = tree::int(rule, "succeededCount");
    if indexes.is_none() && count.is_none() {
        causes.push(path.required("at least one of succeededCount or succeededIndexes must be specified"));
    }
    let mut total = 0;
    if let Some(text) = indexes {
        let at = path.child("succeededIndexes");
        if text.len() > INDEXES_LEN_MAX {
            causes.push(at.too_long(INDEXES_LEN_MAX));
        }
        match indexes::count(text, completions) {
            Ok(number) => total = number,
            Err(why) => causes.push(at.invalid(text, &format!("error parsing succeededIndexes: {why}"))),
        }
    }
    if let Some(count) = count {
        let at = path.child("succeededCount");
        causes.extend(nonnegative(rule.get("succeededCount"), &at));
        let mut at_most = |most: i64, what: &str| {
            if count > most {
                causes.push(at.invalid(count, &format!("must be less than or equal to {most} ({what})")));
            }
        };
        at_most(completions, "the number of specified completions");
        if indexes.is_some() {
            at_most(total, "the number of indexes in the specified succeededIndexes field");
        }
    }
    causes
}
