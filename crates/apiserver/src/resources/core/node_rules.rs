//! What a Node must be, and what of it may change.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{cidr, label_value, parse_cidr, qualified_name};
use serde_json::{Value, json};

use super::pod_rules::taint_effect;
use super::resource_names::amount;
use crate::internal_form;
use crate::tree;

pub fn validate(node: &Value) -> Vec<Cause> {
    // Upstream tells of taints as if they were metadata.
    let mut causes = taints(node, &Path::new("metadata").child("taints"));
    causes.extend(amounts(node));
    causes.extend(ranges(node, &Path::new("spec").child("podCIDRs")));
    causes
}

fn taints(node: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in tree::list(node, "spec.taints").iter().enumerate() {
        let at = path.index(i);
        let text = |field: &str| tree::text(taint, field);
        causes.extend(at.child("key").invalid_each(text("key"), qualified_name(text("key"))));
        let whys = label_value(text("value"));
        if !whys.is_empty() {
            causes.push(at.child("value").invalid(text("value"), &whys.join(";")));
        }
        let effect = at.child("effect");
        match text("effect") {
            "" => causes.push(effect.required("")),
            other => causes.extend(taint_effect(other, &effect)),
        }
        if !seen.insert((text("key"), text("effect"))) {
            let mut cause = internal_form::duplicate(&at, "Taint", taint);
            cause.message.push_str(": taints must be unique by key and effect pair");
            causes.push(cause);
        }
    }
    causes
}

fn amounts(node: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for kind in ["capacity", "allocatable"] {
        let all = tree::at(node, &format!("status.{kind}")).and_then(Value::as_object).into_iter().flatten();
        for (name, value) in all {
            causes.extend(amount(name, value, &Path::new("status").child(kind).child(name)));
        }
    }
    causes
}

fn ranges(node: &Value, path: &Path) -> Vec<Cause> {
    let ranges = tree::texts(node, "spec.podCIDRs");
    let mut causes = Vec::new();
    for (i, range) in ranges.iter().enumerate() {
        causes.extend(path.index(i).invalid_each(range, cidr(range)));
    }
    if ranges.len() < 2 {
        return causes;
    }
    let parsed: Vec<bool> = ranges.iter().filter_map(|range| Some(parse_cidr(range)?.0.is_ipv4())).collect();
    if ranges.len() > 2 || !parsed.contains(&true) || !parsed.contains(&false) {
        causes.push(path.invalid(json!(ranges), "may specify no more than one CIDR for each IP family"));
    }
    for (i, range) in ranges.iter().enumerate().filter(|(i, range)| ranges[..*i].contains(range)) {
        causes.push(path.index(i).duplicate(*range));
    }
    causes
}

/// For the node and its status alike.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = amounts(new);
    let addresses = tree::list(new, "status.addresses");
    for (i, address) in addresses.iter().enumerate().filter(|(i, address)| addresses[..*i].contains(address)) {
        let at = Path::new("status").child("addresses").index(i);
        causes.push(internal_form::duplicate(&at, "NodeAddress", address));
    }
    let path = Path::new("spec");
    let (after, before) = (tree::texts(new, "spec.podCIDRs"), tree::texts(old, "spec.podCIDRs"));
    let why = "node updates may not change podCIDR except from \"\" to valid";
    if !before.is_empty() && before.len() != after.len() {
        causes.push(path.child("podCIDRs").forbidden(why));
    } else {
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
        causes.extend(changed.map(|_| path.child("podCIDRs").forbidden(why)));
    }
    let provider = tree::text(old, "spec.providerID");
    if !provider.is_empty() && provider != tree::text(new, "spec.providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        causes.push(path.child("providerID").forbidden(why));
    }
    causes.extend(taints(new, &Path::new("metadata").child("taints")));
    if tree::text(new, "spec.externalID") != tree::text(old, "spec.externalID") {
        causes.push(path.child("externalID").forbidden("may not be updated"));
    }
    causes
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn told(causes: &[Cause]) -> String {
        causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
    }

    #[test]
    fn taints_ranges_and_amounts_have_a_form() {
        let node = json!({
            "spec": {"podCIDRs": ["10.0.0.0/8", "x", "10.0.0.0/8"], "taints": [
                {"key": "a", "effect": "Never"}, {"key": "b c", "value": "d e"}, {"key": "f", "effect": "NoExecute"}, {"key": "f", "effect": "NoExecute"}]},
            "status": {"capacity": {"pods": "1500m", "cpu": "-1"}},
        });
        expect![[r#"
            metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            metadata.taints[1].key: Invalid value: "b c": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            metadata.taints[1].value: Invalid value: "d e": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            metadata.taints[1].effect: Required value
            metadata.taints[3]: Duplicate value: {"Key":"f","Value":"","Effect":"NoExecute","TimeAdded":null}: taints must be unique by key and effect pair
            status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0
            status.capacity.pods: Invalid value: "1500m": must be an integer
            spec.podCIDRs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.podCIDRs: Invalid value: ["10.0.0.0/8","x","10.0.0.0/8"]: may specify no more than one CIDR for each IP family
            spec.podCIDRs[2]: Duplicate value: "10.0.0.0/8"
        "#]].assert_eq(&told(&validate(&node)));
    }

    #[test]
    fn what_a_node_was_given_stays() {
        let old = json!({"spec": {"podCIDRs": ["10.0.0.0/8"], "providerID": "a"}});
        let address = json!({"type": "InternalIP", "address": "1.1.1.1"});
        let new = json!({"spec": {"podCIDRs": ["10.0.0.0/9"], "providerID": "b"}, "status": {"addresses": [address, address]}});
        expect![[r#"
            status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.1.1.1"}
            spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid
            spec.providerID: Forbidden: node updates may not change providerID except from "" to valid
        "#]]
        .assert_eq(&told(&validate_update(&new, &old)));
        expect![[""]].assert_eq(&told(&validate_update(&old, &json!({"spec": {}}))));
    }
}
