//! Names of resources: which are Kubernetes' own, which are whole numbers, and where each may stand.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::qualified_name;
use serde_json::Value;

use crate::resources::fields::{quantity, quantity_not_negative};

const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const OF_PODS: &[&str] = &[
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// In bytes; 0 when the name tells none.
pub fn huge_page_size(name: &str) -> Option<i64> {
    let size = name.strip_prefix("hugepages-")?;
    Some(Quantity::parse(size).map_or(0, Quantity::value))
}

fn is_quota_huge_pages(name: &str) -> bool {
    is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

/// Known by its name alone.
fn is_standard(name: &str) -> bool {
    is_for_quota(name) || name == "storage"
}

/// Known to quotas by its name.
pub fn is_for_quota(name: &str) -> bool {
    let known = [COMPUTE, OF_PODS, COUNTED].iter().any(|list| list.contains(&name));
    known || name == "requests.storage" || is_quota_huge_pages(name)
}

/// Not one of Kubernetes' own: `example.com/gpu`.
pub fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

pub fn is_whole(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// More may be promised than there is.
pub fn may_overcommit(name: &str) -> bool {
    (!name.contains('/') || name.contains("kubernetes.io/")) && !is_huge_pages(name)
}

pub fn any_resource(name: &str, at: &Path) -> Vec<Cause> {
    let whys = qualified_name(name);
    if whys.is_empty() && !name.contains('/') && !is_standard(name) {
        return vec![at.invalid(name, "must be a standard resource type or fully qualified")];
    }
    at.invalid_each(name, whys)
}

/// A resource that containers ask for.
pub fn container_resource(name: &str, at: &Path) -> Vec<Cause> {
    let mut causes = any_resource(name, at);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if !name.contains('/') {
        if !COMPUTE.contains(&name) && !is_huge_pages(name) {
            causes.push(at.invalid(name, "must be a standard resource for containers"));
        }
    } else if !native && !is_extended(name) {
        causes.push(at.invalid(name, "doesn't follow extended resource name standard"));
    }
    causes
}

/// A resource that a quota can hold down.
pub fn quota_resource(name: &str, at: &Path) -> Vec<Cause> {
    let mut causes = any_resource(name, at);
    if !name.contains('/') && !is_for_quota(name) {
        causes.push(at.invalid(name, "must be a standard resource for quota"));
    }
    causes
}

pub fn amount(name: &str, value: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = quantity_not_negative(Some(value), at);
    if is_whole(name) && quantity(value).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
        causes.push(at.invalid(value.clone(), "must be an integer"));
    }
    causes
}

/// Which resources a scope of a quota can be about.
pub fn fits_scope(scope: &str, name: &str) -> bool {
    let of_pods = name == "pods"
        || matches!(name, "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory");
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => of_pods,
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}
