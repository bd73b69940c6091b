//! Annotations that mean something for pods, and their older and newer forms that have to agree.

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use super::every_container;
use super::mounts::relative_path_without_backsteps;
use crate::tree;

pub const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LOCALHOST: &str = "localhost/";

pub fn all(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let annotations = tree::at(object, "metadata.annotations").and_then(Value::as_object).into_iter().flatten();
    annotations.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

/// Whether a kubelet made the pod for one of its own files.
pub fn is_mirror(pod: &Value) -> bool {
    get(pod, MIRROR).is_some()
}

fn get<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    all(object).find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// Of a pod or a template.
pub fn pod(object: &Value, path: &Path, out: &mut Vec<Cause>) {
    if let Some(value) = get(object, MIRROR)
        && tree::text(object, "spec.nodeName").is_empty()
    {
        out.push(path.key(MIRROR).invalid(value, "must set spec.nodeName if mirror pod annotation is set"));
    }
    if let Some(cost) = get(object, DELETION_COST)
        && !is_cost(cost)
    {
        out.push(path.key(DELETION_COST).invalid(cost, "must be a 32bit integer"));
    }
    if let Some(profile) = get(object, SECCOMP_POD) {
        seccomp(profile, &path.child(SECCOMP_POD), out);
    }
    for (name, profile) in all(object).filter(|(name, _)| name.starts_with(SECCOMP_CONTAINER)) {
        seccomp(profile, &path.child(name), out);
    }
    for (name, profile) in all(object) {
        let Some(container) = name.strip_prefix(APPARMOR) else { continue };
        let empty = Value::Null;
        let spec = object.get("spec").unwrap_or(&empty);
        if !every_container(spec, path).iter().any(|(own, _)| tree::text(own, "name") == container) {
            out.push(path.key(name).invalid(container, "container not found"));
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with(LOCALHOST) {
            out.push(path.key(name).invalid(profile, &format!("invalid AppArmor profile name: {profile:?}")));
        }
    }
}

/// A number without a plus and without leading zeros.
fn is_cost(cost: &str) -> bool {
    let digits = cost.strip_prefix('-').unwrap_or(cost);
    let plain = !cost.starts_with('+') && (digits == "0" || !digits.starts_with('0')) && cost != "-0";
    plain && cost.parse::<i32>().is_ok()
}

fn seccomp(profile: &str, path: &Path, out: &mut Vec<Cause>) {
    match profile.strip_prefix(LOCALHOST) {
        Some(file) => relative_path_without_backsteps(file, path, out),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => out.push(path.invalid(profile, "must be a valid seccomp profile")),
    }
}

/// Where a profile is given as an annotation and as a field, both say the same.
pub fn profiles_match(object: &Value, path: &Path, out: &mut Vec<Cause>) {
    let empty = Value::Null;
    let spec = object.get("spec").unwrap_or(&empty);
    let field = |owner: &Value, name: &str| {
        tree::at(owner, &format!("securityContext.{name}")).filter(|profile| !profile.is_null()).cloned()
    };
    let at = |path: &Path, name: &str| path.child("securityContext").child(name);
    if let (Some(profile), Some(told)) = (field(spec, "seccompProfile"), get(object, SECCOMP_POD)) {
        out.extend(mismatch(told, &profile, &at(path, "seccompProfile"), "seccomp"));
    }
    for (container, path) in every_container(spec, path) {
        let key = format!("{SECCOMP_CONTAINER}{}", tree::text(container, "name"));
        if let (Some(profile), Some(told)) = (field(container, "seccompProfile"), get(object, &key)) {
            out.extend(mismatch(told, &profile, &at(&path, "seccompProfile"), "seccomp"));
        }
    }
    if tree::text(spec, "os.name") == "windows" {
        return;
    }
    for (container, path) in every_container(spec, path) {
        let key = format!("{APPARMOR}{}", tree::text(container, "name"));
        let profile = field(container, "appArmorProfile").or_else(|| field(spec, "appArmorProfile"));
        if let (Some(profile), Some(told)) = (profile, get(object, &key)) {
            out.extend(mismatch(told, &profile, &at(&path, "appArmorProfile"), "apparmor"));
        }
    }
}

fn mismatch(told: &str, profile: &Value, path: &Path, what: &str) -> Option<Cause> {
    let differs = |field: &str, part: &str| {
        Some(path.child(field).forbidden(&format!("{what} {part} in annotation and field must match")))
    };
    match tree::text(profile, "type") {
        "Unconfined" if told != "unconfined" => differs("type", "type"),
        "RuntimeDefault" if told != "runtime/default" && (what, told) != ("seccomp", "docker/default") => {
            differs("type", "type")
        }
        "Localhost" => match told.strip_prefix(LOCALHOST) {
            None => differs("type", "type"),
            Some(file) if file != tree::text(profile, "localhostProfile") => differs("localhostProfile", "profile"),
            Some(_) => None,
        },
        _ => None,
    }
}
