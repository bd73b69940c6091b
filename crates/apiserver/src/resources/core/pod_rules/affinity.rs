//! Affinity: to nodes by their labels and fields, to and against other pods.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, label_value, qualified_name};
use api::validation::selector::label_selector;
use serde_json::Value;

use crate::tree;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn all(affinity: Option<&Value>, path: &Path, out: &mut Vec<Cause>) {
    let Some(affinity) = affinity.filter(|affinity| !affinity.is_null()) else { return };
    if let Some(node) = affinity.get("nodeAffinity").filter(|node| !node.is_null()) {
        let path = path.child("nodeAffinity");
        if let Some(selector) = node.get(REQUIRED).filter(|selector| !selector.is_null()) {
            out.extend(node_selector(selector, &path.child(REQUIRED)));
        }
        for (i, term) in tree::list(node, PREFERRED).iter().enumerate() {
            let at = path.child(PREFERRED).index(i);
            weight(term, &at, out);
            let empty = Value::Null;
            // A preference with an odd value only never comes true.
            node_term(term.get("preference").unwrap_or(&empty), &at.child("preference"), false, out);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        if let Some(pods) = affinity.get(kind).filter(|pods| !pods.is_null()) {
            pod_affinity(pods, &path.child(kind), out);
        }
    }
}

fn weight(term: &Value, path: &Path, out: &mut Vec<Cause>) {
    let weight = tree::int(term, "weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        out.push(path.child("weight").invalid(weight, "must be in the range 1-100"));
    }
}

/// Terms of which one must fit.
pub fn node_selector(selector: &Value, path: &Path) -> Vec<Cause> {
    let path = path.child("nodeSelectorTerms");
    let terms = tree::list(selector, "nodeSelectorTerms");
    let mut causes = Vec::new();
    if terms.is_empty() {
        causes.push(path.required("must have at least one node selector term"));
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(term, &path.index(i), true, &mut causes);
    }
    causes
}

fn node_term(term: &Value, path: &Path, checks_values: bool, out: &mut Vec<Cause>) {
    for (i, requirement) in tree::list(term, "matchExpressions").iter().enumerate() {
        node_label(requirement, &path.child("matchExpressions").index(i), checks_values, out);
    }
    for (i, requirement) in tree::list(term, "matchFields").iter().enumerate() {
        node_field(requirement, &path.child("matchFields").index(i), out);
    }
}

fn node_label(requirement: &Value, path: &Path, checks_values: bool, out: &mut Vec<Cause>) {
    let values = tree::texts(requirement, "values");
    let at = path.child("values");
    match tree::text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => {
            out.push(at.required("must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            out.push(at.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            out.push(at.required("must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => out.push(path.child("operator").invalid(other, "not a valid selector operator")),
    }
    label_name(tree::text(requirement, "key"), &path.child("key"), out);
    if checks_values {
        for (i, value) in values.iter().enumerate() {
            out.extend(at.index(i).invalid_each(value, label_value(value)));
        }
    }
}

fn node_field(requirement: &Value, path: &Path, out: &mut Vec<Cause>) {
    let values = tree::texts(requirement, "values");
    match tree::text(requirement, "operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            out.push(path.child("values").required(why));
        }
        "In" | "NotIn" => {}
        other => out.push(path.child("operator").invalid(other, "not a valid selector operator")),
    }
    let key = tree::text(requirement, "key");
    if key != "metadata.name" {
        out.push(path.child("key").invalid(key, "not a valid field selector key"));
        return;
    }
    for (i, value) in values.iter().enumerate() {
        out.extend(path.child("values").index(i).invalid_each(value, dns1123_subdomain(value)));
    }
}

pub fn label_name(name: &str, path: &Path, out: &mut Vec<Cause>) {
    out.extend(path.invalid_each(name, qualified_name(name)));
}

fn pod_affinity(affinity: &Value, path: &Path, out: &mut Vec<Cause>) {
    for (i, term) in tree::list(affinity, REQUIRED).iter().enumerate() {
        pod_term(term, &path.child(REQUIRED).index(i), out);
    }
    for (i, term) in tree::list(affinity, PREFERRED).iter().enumerate() {
        let at = path.child(PREFERRED).index(i);
        weight(term, &at, out);
        let empty = Value::Null;
        pod_term(term.get("podAffinityTerm").unwrap_or(&empty), &at.child("podAffinityTerm"), out);
    }
}

fn pod_term(term: &Value, path: &Path, out: &mut Vec<Cause>) {
    for field in ["labelSelector", "namespaceSelector"] {
        out.extend(label_selector(term.get(field), &path.child(field)));
    }
    for namespace in tree::texts(term, "namespaces") {
        out.extend(path.child("namespace").invalid_each(namespace, dns1123_label(namespace)));
    }
    label_keys(term, path, out);
    let key = tree::text(term, "topologyKey");
    let at = path.child("topologyKey");
    if key.is_empty() {
        out.push(at.required("can not be empty"));
    }
    label_name(key, &at, out);
}

/// matchLabelKeys and mismatchLabelKeys: keys whose values the pod's own labels give.
fn label_keys(term: &Value, path: &Path, out: &mut Vec<Cause>) {
    let selector = term.get("labelSelector").filter(|selector| !selector.is_null());
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = tree::texts(term, field);
        let at = path.child(field);
        if !keys.is_empty() && selector.is_none() {
            out.push(at.forbidden("must not be specified when labelSelector is not set"));
        } else {
            keys.iter().enumerate().for_each(|(i, key)| label_name(key, &at.index(i), out));
        }
    }
    let matched = tree::texts(term, "matchLabelKeys");
    if let Some(selector) = selector {
        doubled_keys(&matched, selector, path, out);
    }
    let mismatched = tree::texts(term, "mismatchLabelKeys");
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let why = "exists in both matchLabelKeys and mismatchLabelKeys";
        out.push(path.child("matchLabelKeys").index(i).invalid(*key, why));
    }
}

/// Keys that a client put into both. The server has already added a requirement to the selector for each of the keys, so
/// only a second one is the client's.
pub fn doubled_keys(keys: &[&str], selector: &Value, path: &Path, out: &mut Vec<Cause>) {
    let labels = tree::at(selector, "matchLabels").and_then(Value::as_object);
    let mut seen: BTreeSet<&str> = labels.into_iter().flat_map(|labels| labels.keys().map(String::as_str)).collect();
    for requirement in tree::list(selector, "matchExpressions") {
        let key = tree::text(requirement, "key");
        if let Some(i) = keys.iter().rposition(|matched| *matched == key)
            && seen.contains(key)
        {
            out.push(path.index(i).invalid(key, "exists in both matchLabelKeys and labelSelector"));
        }
        seen.insert(key);
    }
}
