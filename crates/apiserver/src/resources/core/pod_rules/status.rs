//! What a write to a pod's status must keep to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_subdomain, ip, qualified_name};
use serde_json::Value;

use super::containers::is_sidecar;
use super::security::valid_id;
use super::update::annotation_changes;
use crate::internal_form;
use crate::tree;

pub fn validate(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = annotation_changes(new, old);
    let path = Path::new("metadata").child("conditions");
    for (i, condition) in tree::list(new, "status.conditions").iter().enumerate() {
        let kind = tree::text(condition, "type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            // Upstream names the metadata here.
            causes.extend(path.index(i).child("Type").invalid_each(kind, qualified_name(kind)));
        }
    }
    let path = Path::new("status");
    let nominated = tree::text(new, "status.nominatedNodeName");
    if nominated != tree::text(old, "status.nominatedNodeName") && !nominated.is_empty() {
        causes.extend(path.child("nominatedNodeName").invalid_each(nominated, dns1123_subdomain(nominated)));
    }
    let class = tree::text(new, "status.qosClass");
    if class != tree::text(old, "status.qosClass") {
        causes.push(path.child("qosClass").invalid(class, "field is immutable"));
    }
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        transitions(new, old, list, &path.child(list), &mut causes);
    }
    claim_statuses(new, &path.child("resourceClaimStatuses"), &mut causes);
    addresses(new, "podIPs", "PodIP", &path, &mut causes);
    let host = tree::list(new, "status.hostIPs");
    if let Some(first) = host.first().map(|first| tree::text(first, "ip"))
        && first != tree::text(new, "status.hostIP")
    {
        causes.push(path.child("hostIPs").index(0).child("ip").invalid(first, "must be equal to `hostIP`"));
    }
    addresses(new, "hostIPs", "HostIP", &path, &mut causes);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        users(new, list, &path.child(list), &mut causes);
    }
    causes
}

/// What has ended for good does not begin again.
fn transitions(new: &Value, old: &Value, list: &str, path: &Path, out: &mut Vec<Cause>) {
    let policy = if list == "ephemeralContainerStatuses" { "Never" } else { tree::text(old, "spec.restartPolicy") };
    if policy == "Always" {
        return;
    }
    for (i, before) in tree::list(old, &format!("status.{list}")).iter().enumerate() {
        let Some(code) = tree::int(before, "state.terminated.exitCode") else { continue };
        if code != 0 && policy == "OnFailure" || may_restart(old, list, tree::text(before, "name")) {
            continue;
        }
        for after in tree::list(new, &format!("status.{list}")) {
            if after.get("name") == before.get("name") && !tree::is_set(after, "state.terminated") {
                out.push(path.index(i).child("state").forbidden("may not be transitioned to non-terminated state"));
            }
        }
    }
}

/// A container with a policy or rules of its own, whatever the pod's policy is.
fn may_restart(pod: &Value, list: &str, name: &str) -> bool {
    let field = match list {
        "initContainerStatuses" => "spec.initContainers",
        "containerStatuses" => "spec.containers",
        _ => return false,
    };
    let container = tree::list(pod, field).iter().find(|container| tree::text(container, "name") == name);
    container.is_some_and(|container| {
        let has_own = !matches!(tree::text(container, "restartPolicy"), "" | "Never");
        is_sidecar(container) || has_own || !tree::list(container, "restartPolicyRules").is_empty()
    })
}

fn claim_statuses(pod: &Value, path: &Path, out: &mut Vec<Cause>) {
    let known: BTreeSet<&str> =
        tree::list(pod, "spec.resourceClaims").iter().map(|claim| tree::text(claim, "name")).collect();
    let mut seen = BTreeSet::new();
    for (i, status) in tree::list(pod, "status.resourceClaimStatuses").iter().enumerate() {
        let at = path.index(i).child("name");
        let name = tree::text(status, "name");
        if !known.contains(name) {
            out.push(at.invalid(name, "must match the name of an entry in `spec.resourceClaims`"));
        }
        if !seen.insert(name) {
            out.push(at.duplicate(name));
        }
        if let Some(claim) = tree::at(status, "resourceClaimName").and_then(Value::as_str) {
            out.extend(at.invalid_each(claim, dns1123_subdomain(claim)));
        }
    }
}

fn addresses(pod: &Value, field: &str, ty: &str, path: &Path, out: &mut Vec<Cause>) {
    let path = path.child(field);
    let all = tree::list(pod, &format!("status.{field}"));
    let texts: Vec<&str> = all.iter().map(|address| tree::text(address, "ip")).collect();
    for (i, address) in texts.iter().enumerate() {
        out.extend(path.index(i).invalid_each(address, ip(address)));
    }
    if texts.len() < 2 {
        return;
    }
    let parsed: Vec<IpAddr> = texts.iter().filter_map(|address| address.parse().ok()).collect();
    let is_dual = parsed.iter().any(IpAddr::is_ipv4) && parsed.iter().any(IpAddr::is_ipv6);
    if !is_dual || texts.len() > 2 {
        let shown: Vec<String> = all.iter().map(|address| internal_form::shown(ty, address)).collect();
        let why = "may specify no more than one IP for each IP family";
        let message = format!("Invalid value: [{}]: {why}", shown.join(","));
        out.push(Cause { message, ..path.invalid("", why) });
    }
    for (i, address) in texts.iter().enumerate().filter(|(i, address)| texts[..*i].contains(address)) {
        debug_assert!(!address.is_empty() || texts.len() > 1);
        out.push(internal_form::duplicate(&path.index(i), ty, &all[i]));
    }
}

fn users(pod: &Value, list: &str, path: &Path, out: &mut Vec<Cause>) {
    let is_windows = tree::text(pod, "spec.os.name") == "windows";
    for (i, status) in tree::list(pod, &format!("status.{list}")).iter().enumerate() {
        let Some(user) = tree::at(status, "user.linux").filter(|user| !user.is_null()) else { continue };
        let at = path.index(i).child("linux");
        if is_windows {
            out.push(at.forbidden("cannot be set for a windows pod"));
            continue;
        }
        for field in ["uid", "gid"] {
            out.extend(valid_id(tree::int(user, field).unwrap_or_default(), &at.child(field)));
        }
        for (j, group) in tree::list(user, "supplementalGroups").iter().enumerate() {
            out.extend(valid_id(group.as_i64().unwrap_or_default(), &at.child("supplementalGroups").index(j)));
        }
    }
}
