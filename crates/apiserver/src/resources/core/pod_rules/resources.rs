//! Resources: of containers, of the pod as a whole, overhead, and claims for devices.

use std::collections::BTreeSet;

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use super::containers::is_sidecar;
use crate::internal_form;
use crate::resources::core::resource_names::{
    amount, any_resource, container_resource, huge_page_size, is_huge_pages, may_overcommit,
};
use crate::tree;

/// How the name of a resource is checked.
type NameRule = fn(&str, &Path) -> Vec<Cause>;

pub fn container(container: &Value, spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let empty = Value::Null;
    let resources = container.get("resources").unwrap_or(&empty);
    requirements(resources, container_resource, path, out);
    claims(tree::list(resources, "claims"), spec, &path.child("claims"), out);
}

/// Overhead is checked as the limits of a container would be.
pub fn overhead(amounts: &Value, path: &Path, out: &mut Vec<Cause>) {
    requirements(&serde_json::json!({ "limits": amounts }), container_resource, path, out);
}

fn amounts<'a>(resources: &'a Value, kind: &str) -> impl Iterator<Item = (&'a str, Quantity)> {
    let entries = resources.get(kind).and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, text)| (name.as_str(), Quantity::parse(text.as_str().unwrap_or_default()).unwrap_or_default()))
}

fn requirements(resources: &Value, name_rule: NameRule, path: &Path, out: &mut Vec<Cause>) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    let (mut has_compute, mut has_huge) = (false, false);
    let mut each = |name: &str, amount: Quantity, at: &Path, out: &mut Vec<Cause>| {
        out.extend(name_rule(name, at));
        out.extend(self::amount(name, &amount.to_string().into(), at));
        has_compute |= matches!(name, "cpu" | "memory");
        has_huge |= is_huge_pages(name);
    };
    for (name, amount) in amounts(resources, "limits") {
        let at = limits.key(name);
        each(name, amount, &at, out);
        whole_pages(name, amount, &at, out);
    }
    for (name, amount) in amounts(resources, "requests") {
        let at = requests.key(name);
        each(name, amount, &at, out);
        match amounts(resources, "limits").find(|(limited, _)| *limited == name) {
            Some((_, limit)) if amount != limit && !may_overcommit(name) => {
                let why = format!("must be equal to {name} limit of {limit}");
                out.push(requests.invalid(amount.to_string(), &why));
            }
            Some((_, limit)) if amount > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                out.push(requests.invalid(amount.to_string(), &why));
            }
            None if !may_overcommit(name) => {
                out.push(limits.required("Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
        whole_pages(name, amount, &at, out);
    }
    if has_huge && !has_compute {
        out.push(path.forbidden("HugePages require cpu or memory"));
    }
}

fn whole_pages(name: &str, amount: Quantity, path: &Path, out: &mut Vec<Cause>) {
    let Some(size) = huge_page_size(name) else { return };
    if size == 0 || amount.value() % size != 0 {
        let why = format!("{amount} is not positive integer multiple of {name}");
        out.push(path.invalid(amount.to_string(), &why));
    }
}

/// A container's claims are some of the pod's, each once: the whole claim, or requests of it.
fn claims(claims: &[Value], spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let known: BTreeSet<&str> =
        tree::list(spec, "resourceClaims").iter().map(|claim| tree::text(claim, "name")).collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.index(i);
        let (name, request) = (tree::text(claim, "name"), tree::text(claim, "request"));
        if name.is_empty() {
            out.push(at.required(""));
            continue;
        }
        if used.contains(name) {
            out.push(at.duplicate(name));
        } else {
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
            if !request.is_empty() {
                out.extend(at.child("request").invalid_each(request, dns1123_label(request)));
            }
            if used.contains(&key) {
                out.push(at.duplicate(key.as_str()));
            } else if request.is_empty() {
                let prefix = format!("{name}/");
                out.extend(used.iter().filter(|key| key.starts_with(&prefix)).map(|_| at.duplicate(name)));
            }
            used.insert(key);
        }
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().copied().collect();
            let which = if names.is_empty() { " which is empty".to_owned() } else { format!(": {}", names.join(", ")) };
            let mut cause = at.not_found(name);
            cause.message.push_str(&format!(": must be one of the names in pod.spec.resourceClaims{which}"));
            out.push(cause);
        }
    }
}

/// The pod's claims for devices.
pub fn pod_claims(claims: &[Value], path: &Path, out: &mut Vec<Cause>) {
    const SOURCES: [&str; 2] = ["resourceClaimName", "resourceClaimTemplateName"];
    let mut names = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.index(i);
        let name = tree::text(claim, "name");
        if name.is_empty() {
            out.push(at.child("name").required(""));
        } else if names.contains(name) {
            out.push(at.child("name").duplicate(name));
        } else {
            out.extend(at.child("name").invalid_each(name, dns1123_label(name)));
            names.insert(name);
        }
        let shown = |why: &str| internal_form::invalid(&at, "PodResourceClaim", claim, why);
        match SOURCES.iter().filter(|field| tree::is_set(claim, field)).count() {
            0 => out.push(shown("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")),
            1 => {}
            _ => out.push(shown("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")),
        }
        for field in SOURCES {
            if let Some(name) = tree::at(claim, field).and_then(Value::as_str) {
                out.extend(at.child(field).invalid_each(name, dns1123_subdomain(name)));
            }
        }
    }
}

/// Resources of the whole pod (KEP-2837): at least what its containers ask for together.
pub fn pod_level(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let Some(resources) = spec.get("resources").filter(|resources| !resources.is_null()) else { return };
    if !tree::list(resources, "claims").is_empty() {
        out.push(path.child("claims").forbidden("claims cannot be set for Resources at pod-level"));
    }
    requirements(resources, pod_level_name, path, out);
    for (name, asked) in api::schema::pod_defaults::container_requests(spec) {
        let own = amounts(resources, "requests").find(|(own, _)| *own == name).map(|(_, amount)| amount);
        let own = own.unwrap_or_default();
        if asked > own {
            let why = format!("must be greater than or equal to aggregate container requests of {asked}");
            out.push(path.child("requests").key(&name).invalid(own.to_string(), &why));
        }
    }
    for (i, container) in tree::list(spec, "containers").iter().enumerate() {
        let empty = Value::Null;
        for (name, limit) in amounts(container.get("resources").unwrap_or(&empty), "limits") {
            let most = amounts(resources, "limits").find(|(own, _)| *own == name).map(|(_, most)| most);
            if let Some(most) = most.filter(|most| limit > *most) {
                let why = format!("must be less than or equal to pod limits of {most}");
                let at = path.child("containers").index(i).key(name).child("limits");
                out.push(at.invalid(limit.to_string(), &why));
            }
        }
    }
}

fn pod_level_name(name: &str, path: &Path) -> Vec<Cause> {
    let causes = any_resource(name, path);
    if !causes.is_empty() || matches!(name, "cpu" | "memory") || is_huge_pages(name) {
        return causes;
    }
    vec![path.not_supported(name, &["cpu", "hugepages-", "memory"])]
}

pub fn resize_policy(container: &Value, spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    // Upstream names the list for all but duplicates.
    for (i, policy) in tree::list(container, "resizePolicy").iter().enumerate() {
        let (name, restart) = (tree::text(policy, "resourceName"), tree::text(policy, "restartPolicy"));
        if !seen.insert(name) {
            out.push(path.index(i).duplicate(name));
        }
        super::choice(name, &["cpu", "memory"], path, out);
        super::choice(restart, &["NotRequired", "RestartContainer"], path, out);
        let never = match tree::at(container, "restartPolicy").and_then(Value::as_str) {
            Some(own) => own == "Never",
            None => tree::text(spec, "restartPolicy") == "Never" && !is_sidecar(container),
        };
        if never && restart != "NotRequired" {
            out.push(path.invalid(restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"));
        }
    }
}
