//! Quality of service: class, cgroup places and weights, oom_score_adj. Pure, with upstream's formulas.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::config::CgroupLimits;
use crate::pod::{PodRef, Role};

pub const CPU_PERIOD_MICROS: i64 = 100_000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const QUOTA_MIN_MICROS: i64 = 1_000;
const GUARANTEED_OOM: i64 = -997;
const BEST_EFFORT_OOM: i64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Request,
    Limit,
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn class(pod: &PodRef) -> &'static str {
    if let Some(told) = pod.status().and_then(|status| status.qos_class.as_deref()) {
        for class in ["Guaranteed", "Burstable", "BestEffort"] {
            if told == class {
                return class;
            }
        }
    }
    let containers: Vec<_> = pod.containers().map(|c| c.spec.resources.as_ref()).collect();
    let pod_level = pod.spec().resources.as_ref();
    let groups: Vec<_> = if pod_level.is_some() { vec![pod_level] } else { containers };
    let amount = |r: &Option<&core::ResourceRequirements>, what, name| r.and_then(|r| quantity(r, what, name));
    let any = groups.iter().any(|r| {
        ["cpu", "memory"].iter().any(|name| {
            [What::Request, What::Limit].into_iter().any(|what| amount(r, what, name).is_some_and(|m| m > 0))
        })
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = groups.iter().all(|r| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(r, What::Limit, name);
            limit.is_some_and(|m| m > 0) && amount(r, What::Request, name).is_none_or(|request| Some(request) == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// A request (by default its limit) or limit, in thousandths.
pub fn quantity(resources: &core::ResourceRequirements, what: What, name: &str) -> Option<i64> {
    let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
    let of =
        |map: Option<&std::collections::BTreeMap<String, Quantity>>| map.and_then(|m| m.get(name)).and_then(millis);
    match what {
        What::Limit => of(limits),
        What::Request => of(requests).or_else(|| of(limits)),
    }
}

pub fn container_quantity(container: &core::Container, what: What, name: &str) -> Option<i64> {
    container.resources.as_ref().and_then(|resources| quantity(resources, what, name))
}

/// A quantity in thousandths, rounded up; `None` when it is none.
pub fn millis(quantity: &Quantity) -> Option<i64> {
    api::quantity::Quantity::parse(&quantity.0).ok().map(api::quantity::Quantity::milli_value)
}

fn div_up(value: i64, by: i64) -> i64 {
    value.saturating_add(by - 1) / by
}

pub fn bytes(quantity: &Quantity) -> Option<i64> {
    millis(quantity).map(|milli| div_up(milli, 1000))
}

pub fn shares(milli_cpu: i64) -> i64 {
    if milli_cpu == 0 { SHARES_MIN } else { (milli_cpu * 1024 / 1000).clamp(SHARES_MIN, SHARES_MAX) }
}

/// Microseconds in each period; zero (no limit) for a zero limit.
pub fn quota(milli_cpu: i64) -> i64 {
    if milli_cpu == 0 { 0 } else { (milli_cpu * CPU_PERIOD_MICROS / 1000).max(QUOTA_MIN_MICROS) }
}

/// The cgroup of a pod: `/kubepods/burstable/podUID`; guaranteed pods are right below the root.
pub fn cgroup_path(root: &str, pod: &PodRef) -> String {
    match class(pod) {
        "Guaranteed" => format!("{root}/pod{}", pod.uid()),
        "Burstable" => format!("{root}/burstable/pod{}", pod.uid()),
        _ => format!("{root}/besteffort/pod{}", pod.uid()),
    }
}

/// What the pod may use as a whole: the larger of its containers' sum (with sidecars) and its largest init container.
pub fn pod_quantity(pod: &PodRef, what: What, name: &str) -> Option<i64> {
    if let Some(whole) = pod.spec().resources.as_ref().and_then(|resources| quantity(resources, what, name)) {
        return Some(whole);
    }
    let amount = |spec| container_quantity(spec, what, name);
    let need = |found: Option<i64>, all: &mut bool| match (found, what) {
        (None, What::Limit) => {
            *all = false;
            0
        }
        (found, _) => found.unwrap_or(0),
    };
    let mut all = true;
    let mut sum: i64 = pod.app_containers().map(|c| need(amount(c.spec), &mut all)).sum();
    let (mut sidecars, mut init_max) = (0, 0);
    for container in pod.init_containers() {
        let needs = need(amount(container.spec), &mut all);
        if container.role == Role::Sidecar {
            sidecars += needs;
            init_max = init_max.max(sidecars);
        } else {
            init_max = init_max.max(sidecars + needs);
        }
    }
    sum += sidecars;
    let overhead = pod.spec().overhead.as_ref().and_then(|overhead| overhead.get(name)).and_then(millis).unwrap_or(0);
    all.then_some(sum.max(init_max) + overhead)
}

pub fn pod_limits(pod: &PodRef) -> CgroupLimits {
    let request = pod_quantity(pod, What::Request, "cpu").unwrap_or(0);
    CgroupLimits {
        cpu_shares: u64::try_from(shares(request)).unwrap_or(0),
        cpu_quota_micros: pod_quantity(pod, What::Limit, "cpu").map_or(0, quota),
        memory_bytes: pod_quantity(pod, What::Limit, "memory").map_or(0, |milli| div_up(milli, 1000)),
        pids_max: 0,
    }
}

/// How ready the kernel is to kill the container when memory runs out.
pub fn oom_score_adj(pod: &PodRef, container: &core::Container, node_memory_bytes: u64) -> i64 {
    let critical = pod.spec().priority.unwrap_or(0) >= 2_000_000_000 || pod.is_static();
    match class(pod) {
        _ if critical => GUARANTEED_OOM,
        "Guaranteed" => GUARANTEED_OOM,
        "BestEffort" => BEST_EFFORT_OOM,
        _ => {
            let request = container_quantity(container, What::Request, "memory").unwrap_or(0) / 1000;
            let capacity = i64::try_from(node_memory_bytes).unwrap_or(i64::MAX).max(1);
            let adj = 1000 - (1000_i128 * i128::from(request) / i128::from(capacity)) as i64;
            adj.clamp(1000 + GUARANTEED_OOM, BEST_EFFORT_OOM - 1)
        }
    }
}

pub fn container_resources(
    pod: &PodRef,
    container: &core::Container,
    node_memory_bytes: u64,
) -> cri::v1::LinuxContainerResources {
    let amount = |what, name| container_quantity(container, what, name);
    cri::v1::LinuxContainerResources {
        cpu_period: CPU_PERIOD_MICROS,
        cpu_quota: amount(What::Limit, "cpu").map_or(0, quota),
        cpu_shares: shares(amount(What::Request, "cpu").unwrap_or(0)),
        memory_limit_in_bytes: amount(What::Limit, "memory").map_or(0, |milli| div_up(milli, 1000)),
        oom_score_adj: oom_score_adj(pod, container, node_memory_bytes),
        ..cri::v1::LinuxContainerResources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    fn described(resources: &str) -> String {
        let pod = pod(&format!(
            r#"{{"metadata": {{"uid": "u"}}, "spec": {{"containers": [{{"name": "c", "resources": {resources}}}]}}}}"#
        ));
        let container = pod.app_containers().next().unwrap().spec;
        let r = container_resources(&pod, container, 8 << 30);
        let path = cgroup_path("/kubepods", &pod);
        format!(
            "{path} shares={} quota={} memory={} oom={}",
            r.cpu_shares, r.cpu_quota, r.memory_limit_in_bytes, r.oom_score_adj
        )
    }

    #[test]
    fn resources_become_cgroups_and_oom_scores_as_upstream_computes_them() {
        for (resources, expected) in [
            ("{}", "/kubepods/besteffort/podu shares=2 quota=0 memory=0 oom=1000"),
            (
                r#"{"requests": {"cpu": "250m", "memory": "1Gi"}}"#,
                "/kubepods/burstable/podu shares=256 quota=0 memory=0 oom=875",
            ),
            (
                r#"{"limits": {"cpu": "1500m", "memory": "128Mi"}}"#,
                "/kubepods/podu shares=1536 quota=150000 memory=134217728 oom=-997",
            ),
        ] {
            assert_eq!(described(resources), expected);
        }
    }

    #[test]
    fn quantities_are_read_in_thousandths() {
        for (text, expected) in [("1", 1000), ("100m", 100), ("1.5", 1500), ("1Ki", 1_024_000), ("2e3", 2_000_000)] {
            assert_eq!(millis(&Quantity(text.to_owned())), Some(expected));
        }
        assert_eq!(millis(&Quantity("x".to_owned())), None);
    }
}
