//! What webhooks and policies share: rules that say which requests are meant, and conditions on them.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{path_segment, qualified_name};
use api::validation::selector::label_selector;
use serde_json::Value;

use crate::resources::fields::one_of_at;
use crate::tree;

const CONDITIONS_MAX: usize = 64;
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// Operations, groups, versions and resources.
pub fn rule(rule: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let operations = tree::texts(rule, "operations");
    causes.extend(wildcard(&operations, &at.child("operations"), "operations"));
    for (i, operation) in operations.into_iter().enumerate() {
        if !OPERATIONS.contains(&operation) {
            causes.push(at.child("operations").index(i).not_supported(operation, OPERATIONS));
        }
    }
    causes.extend(wildcard(&tree::texts(rule, "apiGroups"), &at.child("apiGroups"), "API groups"));
    let versions = tree::texts(rule, "apiVersions");
    causes.extend(wildcard(&versions, &at.child("apiVersions"), "API versions"));
    for (i, _) in versions.iter().enumerate().filter(|(_, version)| version.is_empty()) {
        causes.push(at.child("apiVersions").index(i).required(""));
    }
    causes.extend(resources(&tree::texts(rule, "resources"), &at.child("resources")));
    causes.extend(one_of_at(rule.get("scope"), &at.child("scope"), &["*", "Cluster", "Namespaced"]));
    causes
}

/// At least one, and nothing beside `*`.
fn wildcard(list: &[&str], at: &Path, what: &str) -> Vec<Cause> {
    if list.is_empty() {
        vec![at.required("")]
    } else if list.len() > 1 && list.contains(&"*") {
        vec![at.invalid(list.to_vec(), &format!("if '*' is present, must not specify other {what}"))]
    } else {
        Vec::new()
    }
}

fn resources(list: &[&str], at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if list.is_empty() {
        causes.push(at.required(""));
    }
    let (mut all_subresources, mut of_all_resources) = (Vec::new(), Vec::new());
    let mut plain = false;
    for (i, one) in list.iter().enumerate() {
        let at = at.index(i);
        if one.is_empty() {
            causes.push(at.required(""));
            continue;
        }
        let Some((resource, sub)) = one.split_once('/') else {
            plain = *one != "*";
            continue;
        };
        if all_subresources.contains(&resource) {
            causes.push(at.invalid(*one, &format!("if '{resource}/*' is present, must not specify {one}")));
        }
        if of_all_resources.contains(&sub) {
            causes.push(at.invalid(*one, &format!("if '*/{sub}' is present, must not specify {one}")));
        }
        if sub == "*" {
            all_subresources.push(resource);
        }
        if resource == "*" {
            of_all_resources.push(sub);
        }
    }
    if list.len() > 1 && list.contains(&"*/*") {
        causes.push(at.invalid(list.to_vec(), "if '*/*' is present, must not specify other resources"));
    }
    if list.contains(&"*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        causes.push(at.invalid(list.to_vec(), why));
    }
    causes
}

/// `matchConstraints` of a policy, `matchResources` of a binding.
pub fn match_resources(resources: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let policy = at.child("matchPolicy");
    match resources.get("matchPolicy") {
        None => causes.push(policy.required("")),
        found => causes.extend(one_of_at(found, &policy, &["Equivalent", "Exact"])),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match resources.get(field) {
            None => causes.push(at.child(field).required("")),
            selector => causes.extend(label_selector(selector, &at.child(field))),
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for (i, one) in tree::list(resources, list).iter().enumerate() {
            causes.extend(named_rule(one, &at.child(list).index(i)));
        }
    }
    causes
}

fn named_rule(one: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let names = tree::texts(one, "resourceNames");
    for (i, name) in names.iter().enumerate() {
        let at = at.child("resourceNames").index(i);
        causes.extend(at.invalid_each(name, path_segment(name)));
        if names[..i].contains(name) {
            causes.push(at.duplicate(*name));
        }
    }
    causes.extend(rule(one, at));
    causes
}

/// Expressions are stored as they are written; that they compile is for whoever evaluates them.
pub fn conditions(object: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("matchConditions");
    let conditions = tree::list(object, "matchConditions");
    let mut causes = Vec::new();
    if conditions.len() > CONDITIONS_MAX {
        causes.push(at.too_many(conditions.len(), CONDITIONS_MAX));
    }
    let mut names = Vec::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = at.index(i);
        if tree::text(condition, "expression").trim().is_empty() {
            causes.push(at.child("expression").required(""));
        }
        match tree::text(condition, "name") {
            "" => causes.push(at.child("name").required("")),
            name => {
                causes.extend(at.child("name").invalid_each(name, qualified_name(name)));
                if names.contains(&name) {
                    causes.push(at.child("name").duplicate(name));
                }
                names.push(name);
            }
        }
    }
    causes
}
