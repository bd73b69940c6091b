//! A node's status: a pure function of settings, facts, measurements and what the runtime says.

use std::collections::BTreeMap;

use cri::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::{Config, Facts, Gauges, KUBERNETES_VERSION};
use crate::status::conditions::whole_seconds;

/// Below these the node is under pressure: upstream's hard eviction thresholds.
const MEMORY_AVAILABLE_MIN_BYTES: u64 = 100 << 20;
const INODES_FREE_MIN_PERCENT: u64 = 5;
/// Processes: pressure when fewer than this share of the maximum is left.
const PIDS_FREE_MIN_PERCENT: u64 = 5;
const NAMES_PER_IMAGE_MAX: usize = 5;

pub struct Input<'a> {
    pub config: &'a Config,
    pub facts: &'a Facts,
    pub gauges: &'a Gauges,
    pub runtime: Result<&'a v1::StatusResponse, &'a cri::RuntimeError>,
    pub version: &'a v1::VersionResponse,
    pub images: &'a [v1::Image],
    pub images_max: usize,
    pub allocatable_millis: &'a BTreeMap<String, i64>,
    pub told: Option<&'a Value>,
    pub now: Timestamp,
}

pub fn status(input: &Input<'_>) -> Value {
    let (config, facts) = (input.config, input.facts);
    let mut addresses: Vec<Value> =
        config.node_ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
    let hostname = if facts.hostname.is_empty() { &config.node_name } else { &facts.hostname };
    addresses.push(json!({"type": "Hostname", "address": hostname}));
    let resources = resources(input.allocatable_millis);
    json!({
        "addresses": addresses,
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions(input),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "images": images(input),
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.system_uuid,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel_version,
            "osImage": facts.os_image,
            "containerRuntimeVersion": format!("{}://{}", input.version.runtime_name, input.version.runtime_version),
            "kubeletVersion": KUBERNETES_VERSION,
            // The field is deprecated and must be there.
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.architecture,
        },
    })
}

/// What a machine offers to pods, in thousandths.
pub fn allocatable(config: &Config, facts: &Facts, gauges: &Gauges) -> BTreeMap<String, i64> {
    let milli = |amount: u64| i64::try_from(amount.saturating_mul(1000)).unwrap_or(i64::MAX);
    [
        ("cpu", milli(facts.cpus)),
        ("memory", milli(facts.memory_bytes)),
        ("ephemeral-storage", milli(gauges.disk_capacity_bytes)),
        ("pods", milli(u64::from(config.max_pods))),
        ("hugepages-1Gi", 0),
        ("hugepages-2Mi", 0),
    ]
    .map(|(name, amount)| (name.to_owned(), amount))
    .into()
}

fn resources(millis: &BTreeMap<String, i64>) -> Value {
    let text = |(name, milli): (&String, &i64)| {
        let amount = milli / 1000;
        let text = match name.as_str() {
            "memory" | "ephemeral-storage" => format!("{}Ki", amount / 1024),
            _ if milli % 1000 != 0 => format!("{milli}m"),
            _ => amount.to_string(),
        };
        (name.clone(), json!(text))
    };
    Value::Object(millis.iter().map(text).collect())
}

fn images(input: &Input<'_>) -> Value {
    let mut images: Vec<&v1::Image> = input.images.iter().collect();
    images.sort_by_key(|image| std::cmp::Reverse((image.size, image.id.clone())));
    let one = |image: &&v1::Image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags).take(NAMES_PER_IMAGE_MAX);
        json!({"names": names.collect::<Vec<_>>(), "sizeBytes": image.size})
    };
    Value::Array(images.iter().take(input.images_max).map(one).collect())
}

fn conditions(input: &Input<'_>) -> Vec<Value> {
    let gauges = input.gauges;
    let low = |free: u64, all: u64, percent: u64| all > 0 && free.saturating_mul(100) < all.saturating_mul(percent);
    let memory = gauges.memory_available_bytes > 0 && gauges.memory_available_bytes < MEMORY_AVAILABLE_MIN_BYTES;
    let disk = low(gauges.disk_available_bytes, gauges.disk_capacity_bytes, input.config.disk_available_min_percent)
        || low(gauges.disk_inodes_free, gauges.disk_inodes, INODES_FREE_MIN_PERCENT);
    let pids = low(gauges.pids_max.saturating_sub(gauges.pids), gauges.pids_max, PIDS_FREE_MIN_PERCENT);
    let pressure = |kind, has, reason_has: &'static str, reason_not: &'static str, what: &str| {
        let (reason, message) = if has {
            (reason_has, format!("kubelet has {what}"))
        } else {
            (
                reason_not,
                match kind {
                    "DiskPressure" => "kubelet has no disk pressure".to_owned(),
                    "MemoryPressure" => "kubelet has sufficient memory available".to_owned(),
                    _ => "kubelet has sufficient PID available".to_owned(),
                },
            )
        };
        condition(input, kind, has, reason, message)
    };
    vec![
        pressure(
            "MemoryPressure",
            memory,
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "insufficient memory available",
        ),
        pressure("DiskPressure", disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk pressure"),
        pressure(
            "PIDPressure",
            pids,
            "KubeletHasInsufficientPID",
            "KubeletHasSufficientPID",
            "insufficient PID available",
        ),
        ready(input),
    ]
}

fn ready(input: &Input<'_>) -> Value {
    let mut failures = Vec::new();
    match input.runtime {
        Err(error) => failures.push(format!("container runtime is down: {error}")),
        Ok(answer) => {
            let conditions = answer.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            for (kind, prefix) in [
                ("RuntimeReady", "container runtime not ready"),
                ("NetworkReady", "container runtime network not ready"),
            ] {
                let found = conditions.iter().find(|condition| condition.r#type == kind);
                match found {
                    Some(found) if found.status => {}
                    Some(found) => failures
                        .push(format!("{prefix}: {kind}=false reason:{} message:{}", found.reason, found.message)),
                    None => failures.push(format!("{kind} is unknown")),
                }
            }
        }
    }
    if failures.is_empty() {
        return condition(input, "Ready", true, "KubeletReady", "kubelet is posting ready status".to_owned());
    }
    let message = if failures.len() == 1 { failures.remove(0) } else { format!("[{}]", failures.join(", ")) };
    condition(input, "Ready", false, "KubeletNotReady", message)
}

/// Its heartbeat time is put in when it is written.
fn condition(input: &Input<'_>, kind: &str, status: bool, reason: &str, message: String) -> Value {
    let status = if status { "True" } else { "False" };
    let old =
        input.told.and_then(|told| told.get("conditions")?.as_array()?.iter().find(|c| c["type"] == kind).cloned());
    let since = old.filter(|old| old["status"] == status).and_then(|old| old.get("lastTransitionTime").cloned());
    let since = since.unwrap_or_else(|| json!(whole_seconds(input.now).to_string()));
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_node_is_ready_when_runtime_and_network_are_and_under_pressure_when_little_is_left() {
        let config = Config::new("n", "10.0.0.1");
        let facts = Facts { cpus: 2, memory_bytes: 4 << 30, ..Facts::default() };
        let gauges = Gauges {
            memory_available_bytes: 50 << 20,
            disk_capacity_bytes: 100,
            disk_available_bytes: 50,
            ..Gauges::default()
        };
        let runtime = v1::StatusResponse {
            status: Some(v1::RuntimeStatus {
                conditions: vec![
                    v1::RuntimeCondition { r#type: "RuntimeReady".into(), status: true, ..Default::default() },
                    v1::RuntimeCondition {
                        r#type: "NetworkReady".into(),
                        status: false,
                        reason: "NetworkPluginNotReady".into(),
                        message: "no CIDR yet".into(),
                    },
                ],
            }),
            ..Default::default()
        };
        let status = status(&Input {
            config: &config,
            facts: &facts,
            gauges: &gauges,
            runtime: Ok(&runtime),
            version: &v1::VersionResponse::default(),
            images: &[],
            images_max: 50,
            allocatable_millis: &allocatable(&config, &facts, &gauges),
            told: None,
            now: Timestamp::UNIX_EPOCH,
        });
        let line = |c: &Value| format!("{}={} {}: {}\n", c["type"], c["status"], c["reason"], c["message"]);
        let told: String = status["conditions"].as_array().unwrap().iter().map(line).collect();
        expect![[r#"
            "MemoryPressure"="True" "KubeletHasInsufficientMemory": "kubelet has insufficient memory available"
            "DiskPressure"="False" "KubeletHasNoDiskPressure": "kubelet has no disk pressure"
            "PIDPressure"="False" "KubeletHasSufficientPID": "kubelet has sufficient PID available"
            "Ready"="False" "KubeletNotReady": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no CIDR yet"
        "#]]
        .assert_eq(&told);
    }
}
