//! Whether the node can take a pod that was bound to it: resources are counted once more, where they are used. Pure.

use std::collections::BTreeMap;

use crate::pod::PodRef;
use crate::qos::{What, pod_quantity};
use crate::status::Verdict;

const SYSCTL_FORBIDDEN: &str = "SysctlForbidden";

/// The verdict against `pod`, beside the pods that the node has taken already.
pub fn check<'a>(
    pod: &PodRef,
    others: impl Iterator<Item = &'a PodRef>,
    allocatable_millis: &BTreeMap<String, i64>,
) -> Option<Verdict> {
    if let Some(verdict) = forbidden_sysctl(pod) {
        return Some(verdict);
    }
    let others: Vec<&PodRef> = others.collect();
    let capacity = |name: &str| allocatable_millis.get(name).copied();
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if let Some(pods) = capacity("pods").map(|milli| milli / 1000)
        && count >= pods
    {
        return Some(lacks("pods", 1, count, pods));
    }
    for name in requested(pod) {
        let Some(capacity) = capacity(&name) else {
            // A resource of the cluster, of which the scheduler alone keeps account.
            if name.contains('/') && !name.contains("kubernetes.io/") {
                continue;
            }
            return Some(lacks(&name, scaled(&name, request(pod, &name)), 0, 0));
        };
        let used: i64 = others.iter().map(|other| request(other, &name)).sum();
        let wants = request(pod, &name);
        if wants > 0 && used.saturating_add(wants) > capacity {
            return Some(lacks(&name, scaled(&name, wants), scaled(&name, used), scaled(&name, capacity)));
        }
    }
    None
}

/// Kernel settings that are a pod's own and harm no other:
/// <https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/>.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn forbidden_sysctl(pod: &PodRef) -> Option<Verdict> {
    let spec = pod.spec();
    let (network, ipc) = (spec.host_network == Some(true), spec.host_ipc == Some(true));
    let wanted = spec.security_context.as_ref()?.sysctls.as_ref()?;
    let why = wanted.iter().find_map(|sysctl| {
        let name = sysctl.name.replace('/', ".");
        if !SAFE_SYSCTLS.contains(&name.as_str()) {
            return Some(format!("{name:?} not allowlisted"));
        }
        if network && name.starts_with("net.") {
            return Some(format!("sysctl {name:?} not allowed with host net enabled"));
        }
        (ipc && name.starts_with("kernel.")).then(|| format!("sysctl {name:?} not allowed with host ipc enabled"))
    });
    let message = format!("Pod was rejected: forbidden sysctl: {}", why?);
    Some(Verdict { reason: SYSCTL_FORBIDDEN.to_owned(), message })
}

/// The resources that the pod's containers request, besides what this node does not count.
fn requested(pod: &PodRef) -> Vec<String> {
    let maps = pod.containers().filter_map(|c| c.spec.resources.as_ref());
    let names = maps.flat_map(|r| r.requests.iter().chain(r.limits.iter()).flat_map(|map| map.keys().cloned()));
    let mut names: Vec<String> = names.filter(|name| request(pod, name) > 0).collect();
    names.sort();
    names.dedup();
    names
}

fn request(pod: &PodRef, name: &str) -> i64 {
    pod_quantity(pod, What::Request, name).unwrap_or(0)
}

/// CPU is told in thousandths, everything else in whole units.
fn scaled(name: &str, millis: i64) -> i64 {
    if name == "cpu" { millis } else { millis / 1000 }
}

fn lacks(name: &str, requested: i64, used: i64, capacity: i64) -> Verdict {
    Verdict {
        reason: format!("OutOf{name}"),
        message: format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

/// The reason of the event that tells it.
pub fn static_reason(reason: &str) -> &'static str {
    match reason {
        SYSCTL_FORBIDDEN => SYSCTL_FORBIDDEN,
        "OutOfcpu" => "OutOfcpu",
        "OutOfmemory" => "OutOfmemory",
        "OutOfpods" => "OutOfpods",
        "OutOfephemeral-storage" => "OutOfephemeral-storage",
        _ => "UnexpectedAdmissionError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn a_pod_that_does_not_fit_is_refused_with_the_figures() {
        let sized = |cpu: &str| {
            pod(&format!(
                r#"{{"spec": {{"containers": [{{"name": "c", "resources": {{"requests": {{"cpu": "{cpu}"}}}}}}]}}}}"#
            ))
        };
        let allocatable = [("cpu".to_owned(), 2000), ("pods".to_owned(), 110_000)].into();
        let others = [sized("1500m")];
        let verdict = check(&sized("600m"), others.iter(), &allocatable).unwrap();
        assert_eq!(verdict.reason, "OutOfcpu");
        assert_eq!(
            verdict.message,
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000"
        );
        assert_eq!(check(&sized("500m"), others.iter(), &allocatable), None);
        let counted =
            pod(r#"{"spec": {"containers": [{"name": "c", "resources": {"requests": {"example.com/d": "1"}}}]}}"#);
        assert_eq!(check(&counted, others.iter(), &allocatable), None);
    }

    #[test]
    fn kernel_settings_that_are_not_the_pods_own_are_refused() {
        let with = |name: &str, more: &str| {
            let spec = format!(
                r#"{{"securityContext": {{"sysctls": [{{"name": "{name}", "value": "1"}}]}}{more}, "containers": []}}"#
            );
            let verdict = check(&pod(&format!(r#"{{"spec": {spec}}}"#)), std::iter::empty(), &BTreeMap::new());
            verdict.map_or_else(|| "taken".to_owned(), |verdict| format!("{}: {}", verdict.reason, verdict.message))
        };
        assert_eq!(with("kernel.shm_rmid_forced", ""), "taken");
        assert_eq!(with("net/ipv4/tcp_syncookies", ""), "taken");
        let refused = |why: &str| format!("SysctlForbidden: Pod was rejected: forbidden sysctl: {why}");
        assert_eq!(with("kernel.msgmax", ""), refused(r#""kernel.msgmax" not allowlisted"#));
        assert_eq!(
            with("net.ipv4.tcp_syncookies", r#", "hostNetwork": true"#),
            refused(r#"sysctl "net.ipv4.tcp_syncookies" not allowed with host net enabled"#)
        );
    }
}
