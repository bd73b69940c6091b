//! Restart policies: the pod's, a container's own, and rules for exit codes (KEP-5307, KEP-5532).

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use super::choice;
use crate::tree;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

pub fn pod_policy(policy: &str, path: &Path, out: &mut Vec<Cause>) {
    choice(policy, &["Always", "OnFailure", "Never"], path, out);
}

/// The container's own policy, for regular and init containers alike.
pub fn container(container: &Value, path: &Path, out: &mut Vec<Cause>) {
    let rules = tree::list(container, "restartPolicyRules");
    let at = path.child("restartPolicy");
    match tree::at(container, "restartPolicy").and_then(Value::as_str) {
        None if !rules.is_empty() => out.push(at.required("must specify restartPolicy when restart rules are used")),
        None => {}
        Some(policy) if !matches!(policy, "Always" | "Never" | "OnFailure") => {
            out.push(at.not_supported(policy, &["Always", "Never", "OnFailure"]));
        }
        Some(_) => {}
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        out.push(path.too_many(rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = path.index(i);
        let action = tree::text(rule, "action");
        if !matches!(action, "Restart" | "RestartAllContainers") {
            out.push(at.child("action").not_supported(action, &["Restart", "RestartAllContainers"]));
        }
        let at = at.child("exitCodes");
        if !tree::is_set(rule, "exitCodes") {
            out.push(at.required("must be specified"));
            continue;
        }
        let operator = tree::text(rule, "exitCodes.operator");
        if !matches!(operator, "In" | "NotIn") {
            out.push(at.child("operator").not_supported(operator, &["In", "NotIn"]));
        }
        let values = tree::list(rule, "exitCodes.values").len();
        if values > EXIT_CODES_MAX {
            out.push(at.child("values").too_many(values, EXIT_CODES_MAX));
        }
    }
}
