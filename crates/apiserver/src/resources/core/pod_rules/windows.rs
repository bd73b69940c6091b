//! Which operating system a pod is for, and what each of them cannot have.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_subdomain;
use serde_json::Value;

use super::every_container;
use crate::tree;

const SPEC_BYTES_MAX: usize = 64 * 1024;
const DOMAIN_LEN_MAX: usize = 256;
const USER_LEN_MAX: usize = 104;

pub fn options(options: Option<&Value>, path: &Path, out: &mut Vec<Cause>) {
    let Some(options) = options.filter(|options| !options.is_null()) else { return };
    let text = |field: &str| tree::at(options, field).and_then(Value::as_str);
    if let Some(name) = text("gmsaCredentialSpecName") {
        out.extend(path.child("gmsaCredentialSpecName").invalid_each(name, dns1123_subdomain(name)));
    }
    if let Some(spec) = text("gmsaCredentialSpec") {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            out.push(at.invalid(spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > SPEC_BYTES_MAX {
            out.push(at.invalid(spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = text("runAsUserName") {
        let at = path.child("runAsUserName");
        out.extend(user_name(name).into_iter().map(|why| at.invalid(name, &format!("runAsUserName{why}"))));
    }
}

/// `DOMAIN\user`, or a user.
fn user_name(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec![" cannot be an empty string"];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec![" cannot contain control characters"];
    }
    if name.matches('\\').count() > 1 {
        return vec![" cannot contain more than one backslash"];
    }
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    let mut whys = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_LEN_MAX) {
        whys.push("'s Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !is_netbios(domain) && !is_dns(domain)) {
        whys.push("'s Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        whys.push("'s User cannot be empty");
    } else if user.len() > USER_LEN_MAX {
        whys.push("'s User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        whys.push("'s User cannot contain only periods or spaces");
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        whys.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    whys
}

fn is_netbios(domain: &str) -> bool {
    let len = domain.chars().count();
    (1..=15).contains(&len) && !domain.starts_with('.') && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        let framed = bytes.first().zip(bytes.last());
        let framed = framed.is_some_and(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric());
        framed && bytes.len() <= 63 && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    })
}

/// Of a pod's containers all are processes of the host, or none.
pub fn host_process(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    const FLAG: &str = "securityContext.windowsOptions.hostProcess";
    let of = |owner: &Value| tree::at(owner, FLAG).and_then(Value::as_bool);
    let pod = of(spec);
    let containers = every_container(spec, path);
    let mut count = 0;
    for (container, at) in &containers {
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = at.child("securityContext").child("windowsOptions").child("hostProcess");
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            out.push(at.invalid(own, &why));
        }
        count += usize::from(own.or(pod).unwrap_or_default());
    }
    if count == 0 {
        return;
    }
    if count != containers.len() {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        out.push(path.invalid("", why));
    }
    if !tree::flag(spec, "hostNetwork") {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        out.push(path.child("hostNetwork").invalid(false, why));
    }
}

pub fn os(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    if !tree::is_set(spec, "os") {
        return;
    }
    match tree::text(spec, "os.name") {
        "" => out.push(path.child("os").child("name").required("cannot be empty")),
        "linux" => linux(spec, path, out),
        "windows" => windows(spec, path, out),
        other => out.push(path.child("os").not_supported(other, &["linux", "windows"])),
    }
}

fn linux(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let owners = std::iter::once((spec, path.clone())).chain(every_container(spec, path));
    for (_, at) in owners.filter(|(owner, _)| tree::is_set(owner, "securityContext.windowsOptions")) {
        let at = at.child("securityContext").child("windowsOptions");
        out.push(at.forbidden("windows options cannot be set for a linux pod"));
    }
}

/// What a Windows pod cannot have, in the order in which upstream looks.
const NOT_FOR_PODS: &[&str] = &[
    "securityContext.appArmorProfile",
    "securityContext.seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "securityContext.seccompProfile",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls",
    "shareProcessNamespace",
    "securityContext.runAsUser",
    "securityContext.runAsGroup",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
];
const NOT_FOR_CONTAINERS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn windows(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    const WHY: &str = "cannot be set for a windows pod";
    for field in NOT_FOR_PODS {
        if tree::is_set(spec, field) {
            out.push(path.child(field).forbidden(WHY));
        }
    }
    for (container, at) in every_container(spec, path) {
        for field in NOT_FOR_CONTAINERS {
            if tree::is_set(container, &format!("securityContext.{field}")) {
                out.push(at.child("securityContext").child(field).forbidden(WHY));
            }
        }
    }
}
