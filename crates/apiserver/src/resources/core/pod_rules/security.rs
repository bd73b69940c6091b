//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::in_range;
use serde_json::Value;

use super::mounts::relative_path_without_backsteps;
use super::windows;
use crate::internal_form;
use crate::tree;

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL_NAME_MAX: usize = 253;
const APPARMOR_NAME_MAX: usize = 4095;

fn id(owner: &Value, field: &str, path: &Path, out: &mut Vec<Cause>) {
    if let Some(number) = tree::int(owner, field) {
        out.extend(valid_id(number, &path.child(field)));
    }
}

/// A user's or group's number.
pub fn valid_id(number: i64, path: &Path) -> Option<Cause> {
    let whys = in_range(number, 0, i64::from(i32::MAX));
    whys.first().map(|why| path.invalid(number, why))
}

fn choice(owner: &Value, field: &str, supported: &[&str], path: &Path, out: &mut Vec<Cause>) {
    if let Some(text) = tree::at(owner, field).and_then(Value::as_str)
        && !supported.contains(&text)
    {
        out.push(path.child(field).not_supported(text, supported));
    }
}

pub fn pod(spec: &Value, spec_path: &Path, out: &mut Vec<Cause>) {
    let path = spec_path.child("securityContext");
    let empty = Value::Null;
    let context = spec.get("securityContext").unwrap_or(&empty);
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(context, field, &path, out);
    }
    for (i, group) in tree::list(context, "supplementalGroups").iter().enumerate() {
        out.extend(valid_id(group.as_i64().unwrap_or_default(), &path.child("supplementalGroups").index(i)));
    }
    if tree::flag(spec, "shareProcessNamespace") && tree::flag(spec, "hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        out.push(path.child("shareProcessNamespace").invalid(true, why));
    }
    sysctls(spec, &path.child("sysctls"), out);
    choice(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &path, out);
    seccomp(context.get("seccompProfile"), &path.child("seccompProfile"), out);
    windows::options(context.get("windowsOptions"), &path.child("windowsOptions"), out);
    apparmor(context.get("appArmorProfile"), &path.child("appArmorProfile"), out);
    choice(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path, out);
    choice(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], &path, out);
}

fn sysctls(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let mut names = BTreeSet::new();
    for (i, sysctl) in tree::list(spec, "securityContext.sysctls").iter().enumerate() {
        let at = path.index(i).child("name");
        let name = tree::text(sysctl, "name");
        if name.is_empty() {
            out.push(at.required(""));
        } else if !is_sysctl(name) {
            let why = format!(
                "must have at most {SYSCTL_NAME_MAX} characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            out.push(at.invalid(name, &why));
        } else if names.contains(name) {
            out.push(at.duplicate(name));
        }
        let dotted = name.replace('/', ".");
        let is_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix))
            || dotted == "kernel.sem";
        if dotted.starts_with("net.") && tree::flag(spec, "hostNetwork") {
            out.push(at.invalid(name, "may not be specified when 'hostNetwork' is true"));
        } else if is_ipc && tree::flag(spec, "hostIPC") {
            out.push(at.invalid(name, "may not be specified when 'hostIPC' is true"));
        }
        names.insert(name);
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        let framed = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| edge(*first) && edge(*last));
        framed && bytes.iter().all(|byte| edge(*byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= SYSCTL_NAME_MAX && name.split(['.', '/']).all(segment)
}

fn seccomp(profile: Option<&Value>, path: &Path, out: &mut Vec<Cause>) {
    let Some(profile) = profile.filter(|profile| !profile.is_null()) else { return };
    let kind = tree::text(profile, "type");
    if kind.is_empty() {
        out.push(path.child("type").required("type is required when seccompProfile is set"));
    } else if !PROFILE_TYPES.contains(&kind) {
        out.push(path.child("type").not_supported(kind, PROFILE_TYPES));
    }
    let at = path.child("localhostProfile");
    match (kind == "Localhost", tree::at(profile, "localhostProfile").and_then(Value::as_str)) {
        (true, None) => out.push(at.required("must be set when seccomp type is Localhost")),
        (true, Some(file)) => relative_path_without_backsteps(file, &at, out),
        (false, Some(_)) => {
            let why = "can only be set when seccomp type is Localhost";
            out.push(internal_form::invalid(&at, "SeccompProfile", profile, why));
        }
        (false, None) => {}
    }
}

fn apparmor(profile: Option<&Value>, path: &Path, out: &mut Vec<Cause>) {
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = profile.filter(|profile| !profile.is_null()) else { return };
    let (kind, name) = (tree::text(profile, "type"), tree::at(profile, "localhostProfile").and_then(Value::as_str));
    let at = path.child("localhostProfile");
    match (kind, name) {
        ("", _) => out.push(path.child("type").required("type is required when appArmorProfile is set")),
        ("Localhost", None) => out.push(at.required(NEEDED)),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                out.push(at.invalid(name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                out.push(at.required(NEEDED));
            }
            if name.len() > APPARMOR_NAME_MAX {
                out.push(at.too_long(APPARMOR_NAME_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            out.push(at.invalid(name, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        (other, _) => out.push(path.child("type").not_supported(other, PROFILE_TYPES)),
    }
}

pub fn container(container: &Value, spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let Some(context) = container.get("securityContext").filter(|context| !context.is_null()) else { return };
    for field in ["runAsUser", "runAsGroup"] {
        id(context, field, path, out);
    }
    if let Some(mount) = tree::at(context, "procMount").and_then(Value::as_str) {
        choice(context, "procMount", &["Default", "Unmasked"], path, out);
        let has_host_users = tree::at(spec, "hostUsers").and_then(Value::as_bool) != Some(false);
        if mount == "Unmasked" && has_host_users {
            out.push(path.child("procMount").invalid(mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    seccomp(context.get("seccompProfile"), &path.child("seccompProfile"), out);
    if tree::at(context, "allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let shown = |what: &str| {
            let why = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
            internal_form::invalid(path, "SecurityContext", context, &why)
        };
        if tree::flag(context, "privileged") {
            out.push(shown("`privileged` to true"));
        }
        let admin = tree::texts(context, "capabilities.add").into_iter().filter(|cap| *cap == "CAP_SYS_ADMIN");
        out.extend(admin.map(|_| shown("`capabilities.Add` CAP_SYS_ADMIN")));
    }
    windows::options(context.get("windowsOptions"), &path.child("windowsOptions"), out);
    apparmor(context.get("appArmorProfile"), &path.child("appArmorProfile"), out);
}

/// A pod with users of its own shares no other namespace with the node.
pub fn host_users(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    if tree::at(spec, "hostUsers").and_then(Value::as_bool) != Some(false) {
        return;
    }
    for (field, told) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if tree::flag(spec, field) {
            out.push(path.child(told).forbidden("when `pod.Spec.HostUsers` is false"));
        }
    }
}
