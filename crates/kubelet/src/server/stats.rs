//! What pods and the node use: /stats/summary and /metrics/resource, from the runtime's and the machine's own counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cri::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Context, whole};
use crate::pod::label;

struct Usage {
    pod: (String, String, String),
    container: String,
    stats: v1::ContainerStats,
}

async fn usages(context: &Context) -> Vec<Usage> {
    let request = v1::ListContainerStatsRequest { filter: None };
    let listed = context.shared.deps.runtime.list_container_stats(request).await.unwrap_or_default();
    let usage = |stats: v1::ContainerStats| {
        let attributes = stats.attributes.clone()?;
        let label = |key: &str| attributes.labels.get(key).cloned().unwrap_or_default();
        Some(Usage {
            pod: (label(label::POD_NAMESPACE), label(label::POD_NAME), label(label::POD_UID)),
            container: attributes.metadata.map(|m| m.name).unwrap_or_default(),
            stats,
        })
    };
    listed.stats.into_iter().filter_map(usage).collect()
}

fn value(value: &Option<v1::UInt64Value>) -> u64 {
    value.as_ref().map_or(0, |value| value.value)
}

fn time(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default().to_string()
}

fn cpu(stats: &v1::ContainerStats) -> Value {
    let cpu = stats.cpu.unwrap_or_default();
    json!({
        "time": time(cpu.timestamp),
        "usageNanoCores": value(&cpu.usage_nano_cores),
        "usageCoreNanoSeconds": value(&cpu.usage_core_nano_seconds),
    })
}

fn memory(stats: &v1::ContainerStats) -> Value {
    let memory = stats.memory.unwrap_or_default();
    json!({
        "time": time(memory.timestamp),
        "usageBytes": value(&memory.usage_bytes),
        "workingSetBytes": value(&memory.working_set_bytes),
        "rssBytes": value(&memory.rss_bytes),
        "pageFaults": value(&memory.page_faults),
        "majorPageFaults": value(&memory.major_page_faults),
    })
}

pub async fn summary(context: &Arc<Context>) -> Answer {
    let now = context.shared.now();
    let mut pods: BTreeMap<(String, String, String), Vec<Usage>> = BTreeMap::new();
    for usage in usages(context).await {
        pods.entry(usage.pod.clone()).or_default().push(usage);
    }
    let pods: Vec<Value> = pods.into_iter().map(|(pod, usages)| pod_summary(&pod, &usages, now)).collect();
    let gauges = context.shared.deps.machine.gauges(&context.shared.config.root).unwrap_or_default();
    let total = context.shared.machine.memory_bytes;
    let used = total.saturating_sub(gauges.memory_available_bytes);
    let summary = json!({
        "node": {
            "nodeName": context.shared.config.node_name,
            "cpu": {"time": now.to_string(), "usageCoreNanoSeconds": gauges.cpu_usage_nanos},
            "memory": {
                "time": now.to_string(),
                "availableBytes": gauges.memory_available_bytes,
                "usageBytes": used,
                "workingSetBytes": used,
            },
            "fs": {
                "time": now.to_string(),
                "availableBytes": gauges.disk_available_bytes,
                "capacityBytes": gauges.disk_capacity_bytes,
                "usedBytes": gauges.disk_capacity_bytes.saturating_sub(gauges.disk_available_bytes),
                "inodes": gauges.disk_inodes,
                "inodesFree": gauges.disk_inodes_free,
            },
            "rlimit": {"time": now.to_string(), "maxpid": gauges.pids_max, "curproc": gauges.pids},
        },
        "pods": pods,
    });
    whole(200, "application/json", Bytes::from(summary.to_string()))
}

fn pod_summary((namespace, name, uid): &(String, String, String), usages: &[Usage], now: Timestamp) -> Value {
    let sum = |of: fn(&v1::ContainerStats) -> u64| usages.iter().map(|usage| of(&usage.stats)).sum::<u64>();
    let containers: Vec<Value> = usages
        .iter()
        .map(|usage| json!({"name": usage.container, "cpu": cpu(&usage.stats), "memory": memory(&usage.stats)}))
        .collect();
    json!({
        "podRef": {"name": name, "namespace": namespace, "uid": uid},
        "containers": containers,
        "cpu": {
            "time": now.to_string(),
            "usageNanoCores": sum(|s| s.cpu.as_ref().map_or(0, |cpu| value(&cpu.usage_nano_cores))),
            "usageCoreNanoSeconds": sum(|s| s.cpu.as_ref().map_or(0, |cpu| value(&cpu.usage_core_nano_seconds))),
        },
        "memory": {
            "time": now.to_string(),
            "workingSetBytes": sum(|s| s.memory.as_ref().map_or(0, |memory| value(&memory.working_set_bytes))),
        },
    })
}

/// Prometheus' text form of what metrics-server reads.
pub async fn resource_metrics(context: &Arc<Context>) -> Answer {
    let mut cpu_lines = String::new();
    let mut memory_lines = String::new();
    for usage in usages(context).await {
        let (namespace, pod, _) = &usage.pod;
        let labels = format!("container={:?},namespace={namespace:?},pod={pod:?}", usage.container);
        let cpu = usage.stats.cpu.unwrap_or_default();
        let nanos = value(&cpu.usage_core_nano_seconds);
        let millis = cpu.timestamp / 1_000_000;
        cpu_lines += &format!(
            "container_cpu_usage_seconds_total{{{labels}}} {}.{:09} {millis}\n",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        );
        let memory = usage.stats.memory.unwrap_or_default();
        let millis = memory.timestamp / 1_000_000;
        memory_lines +=
            &format!("container_memory_working_set_bytes{{{labels}}} {} {millis}\n", value(&memory.working_set_bytes));
    }
    let gauges = context.shared.deps.machine.gauges(&context.shared.config.root).unwrap_or_default();
    let used = context.shared.machine.memory_bytes.saturating_sub(gauges.memory_available_bytes);
    let busy = gauges.cpu_usage_nanos;
    let millis = context.shared.now().as_millisecond();
    let text = format!(
        "# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds\n\
         # TYPE container_cpu_usage_seconds_total counter\n{cpu_lines}\
         # HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes\n\
         # TYPE container_memory_working_set_bytes gauge\n{memory_lines}\
         # HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds\n\
         # TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {}.{:09} {millis}\n\
         # HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes\n\
         # TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes {used} {millis}\n",
        busy / 1_000_000_000,
        busy % 1_000_000_000,
    );
    whole(200, "text/plain; version=0.0.4", Bytes::from(text))
}
