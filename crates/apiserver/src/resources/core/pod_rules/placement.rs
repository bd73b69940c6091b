//! Where a pod may go besides affinity: tolerations, spreading over domains, gates.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{label_value, qualified_name};
use api::validation::selector::label_selector;
use serde_json::Value;

use super::affinity::{doubled_keys, label_name};
use crate::tree;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub fn tolerations(tolerations: &[Value], path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        self::toleration(toleration, &path.index(i), &mut causes);
    }
    causes
}

fn toleration(toleration: &Value, path: &Path, out: &mut Vec<Cause>) {
    let text = |field: &str| tree::text(toleration, field);
    let (key, operator, value, effect) = (text("key"), text("operator"), text("value"), text("effect"));
    let at = path.child("operator");
    if !key.is_empty() {
        label_name(key, &path.child("key"), out);
    } else if operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        out.push(at.invalid(operator, why));
    }
    if tree::is_set(toleration, "tolerationSeconds") && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        out.push(path.child("effect").invalid(effect, why));
    }
    match operator {
        "Equal" | "" => {
            let whys = label_value(value);
            if !whys.is_empty() {
                out.push(at.invalid(value, &whys.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            out.push(at.invalid(value, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        other => out.push(at.not_supported(other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        out.extend(taint_effect(effect, &path.child("effect")));
    }
}

pub fn taint_effect(effect: &str, path: &Path) -> Option<Cause> {
    (!EFFECTS.contains(&effect)).then(|| path.not_supported(effect, EFFECTS))
}

/// Readiness gates and scheduling gates.
pub fn gates(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    for (i, gate) in tree::list(spec, "readinessGates").iter().enumerate() {
        let kind = tree::text(gate, "conditionType");
        let at = path.child("readinessGates").index(i).child("conditionType");
        out.extend(at.invalid_each(kind, qualified_name(kind)));
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in tree::list(spec, "schedulingGates").iter().enumerate() {
        let name = tree::text(gate, "name");
        let at = path.child("schedulingGates").index(i);
        out.extend(at.invalid_each(name, qualified_name(name)));
        if !seen.insert(name) {
            out.push(at.duplicate(name));
        }
    }
}

pub fn spread(constraints: &[Value], path: &Path, out: &mut Vec<Cause>) {
    const POSITIVE: &str = "must be greater than zero";
    for (i, constraint) in constraints.iter().enumerate() {
        let at = path.index(i);
        let skew = tree::int(constraint, "maxSkew").unwrap_or_default();
        if skew <= 0 {
            out.push(at.child("maxSkew").invalid(skew, POSITIVE));
        }
        let (key, action) = (tree::text(constraint, "topologyKey"), tree::text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            out.push(at.child("topologyKey").required("can not be empty"));
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            out.push(at.child("whenUnsatisfiable").not_supported(action, &["DoNotSchedule", "ScheduleAnyway"]));
        }
        let same = |other: &&Value| {
            tree::text(other, "topologyKey") == key && tree::text(other, "whenUnsatisfiable") == action
        };
        if constraints[i + 1..].iter().any(|other| same(&other)) {
            out.push(at.child("{topologyKey, whenUnsatisfiable}").duplicate(format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = tree::int(constraint, "minDomains") {
            let at = at.child("minDomains");
            if domains <= 0 {
                out.push(at.invalid(domains, POSITIVE));
            }
            if action != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                out.push(at.invalid(domains, &why));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(policy) = tree::at(constraint, field).and_then(Value::as_str)
                && !matches!(policy, "Honor" | "Ignore")
            {
                out.push(at.child(field).not_supported(policy, &["Honor", "Ignore"]));
            }
        }
        spread_keys(constraint, &at.child("matchLabelKeys"), out);
        out.extend(label_selector(constraint.get("labelSelector"), &at.child("labelSelector")));
    }
}

fn spread_keys(constraint: &Value, path: &Path, out: &mut Vec<Cause>) {
    let keys = tree::texts(constraint, "matchLabelKeys");
    if keys.is_empty() {
        return;
    }
    let Some(selector) = constraint.get("labelSelector").filter(|selector| !selector.is_null()) else {
        out.push(path.forbidden("must not be specified when labelSelector is not set"));
        keys.iter().enumerate().for_each(|(i, key)| label_name(key, &path.index(i), out));
        return;
    };
    keys.iter().enumerate().for_each(|(i, key)| label_name(key, &path.index(i), out));
    doubled_keys(&keys, selector, path, out);
}
