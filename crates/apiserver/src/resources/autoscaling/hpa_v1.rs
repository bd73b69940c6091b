//! HorizontalPodAutoscaler (autoscaling/v1): the older form, which knows CPU alone; stored as v2. What v1 cannot say is
//! carried in annotations, so that who reads and writes v1 loses nothing.

use api::schema;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use serde_json::{Value, json};

use super::{hpa, hpa_annotations as notes, hpa_rules};
use crate::resource::{Column, HookContext, Hooks, Resource};
use crate::tree;

const SCHEMA: &str = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";

pub fn resource() -> Resource {
    Resource {
        columns: const { &[hpa::COLUMNS[0], TARGETS, hpa::COLUMNS[2], hpa::COLUMNS[3], hpa::COLUMNS[4], Column::age()] },
        stored_as: Some(hpa::GVR),
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate_create: Some(|scaler| hpa_rules::validate_create(&stored(scaler))),
            validate_update: Some(|new, old| hpa_rules::validate_update(&stored(new), &stored(old))),
            validate_status: Some(|new, _| hpa_rules::validate_status(new)),
            from_stored: Some(from_stored),
            to_stored: Some(to_stored),
            ..Hooks::default()
        },
        ..hpa::of_version::<HorizontalPodAutoscaler>()
    }
}

const TARGETS: Column =
    Column::text("Targets", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec.metrics", |scaler, _| {
        hpa::targets(&stored(scaler)).into()
    });

fn prepare_create(scaler: &mut Value, _: &HookContext<'_>) {
    tree::set(scaler, "status", json!({ "currentReplicas": 0, "desiredReplicas": 0 }));
}

fn stored(scaler: &Value) -> Value {
    let mut scaler = scaler.clone();
    convert_up(&mut scaler);
    scaler
}

/// To the stored form, with its defaults: a v1 object that names no target is scaled by CPU.
fn to_stored(scaler: &mut Value) {
    convert_up(scaler);
    if let Some(schema) = schema::builtin().lookup(hpa::SCHEMA) {
        schema::apply_defaults(scaler, schema);
        hpa::default(scaler);
        schema::normalize(scaler, schema);
    }
}

const CPU_TARGET: &str = "spec.targetCPUUtilizationPercentage";
const CPU_NOW: &str = "status.currentCPUUtilizationPercentage";

fn convert_up(scaler: &mut Value) {
    tree::set(scaler, "apiVersion", "autoscaling/v2");
    let mut metrics = Vec::new();
    if let Some(percent) = tree::remove(scaler, CPU_TARGET).filter(|percent| !percent.is_null()) {
        let target = json!({ "type": "Utilization", "averageUtilization": percent });
        metrics.push(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    let mut current = Vec::new();
    if let Some(percent) = tree::remove(scaler, CPU_NOW).filter(|percent| !percent.is_null()) {
        let now = json!({ "averageUtilization": percent, "averageValue": "0" });
        current.push(json!({ "type": "Resource", "resource": { "name": "cpu", "current": now } }));
    }
    let carried = notes::take(scaler);
    metrics.extend(carried.metrics);
    if !metrics.is_empty() {
        tree::set(scaler, "spec.metrics", metrics);
    }
    if let Some(behavior) = carried.behavior {
        tree::set(scaler, "spec.behavior", behavior);
    }
    // The annotation says more about the same metrics than the one number does.
    let current = if carried.current.is_empty() { current } else { carried.current };
    if !current.is_empty() {
        tree::set(scaler, "status.currentMetrics", current);
    }
    if !carried.conditions.is_empty() {
        tree::set(scaler, "status.conditions", carried.conditions);
    }
}

fn from_stored(scaler: &mut Value) {
    tree::set(scaler, "apiVersion", "autoscaling/v1");
    let take_list = |scaler: &mut Value, path: &str| match tree::remove(scaler, path) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut metrics = take_list(scaler, "spec.metrics");
    let cpu = |metric: &Value| {
        tree::text(metric, "type") == "Resource"
            && tree::text(metric, "resource.name") == "cpu"
            && tree::is_set(metric, "resource.target.averageUtilization")
    };
    if let Some(metric) = metrics.iter().find(|metric| cpu(metric)) {
        let percent = tree::at(metric, "resource.target.averageUtilization").cloned().unwrap_or_default();
        tree::set(scaler, CPU_TARGET, percent);
    }
    metrics.retain(|metric| !cpu(metric));
    let current = take_list(scaler, "status.currentMetrics");
    let percent = |metric: &Value| {
        let is_cpu = tree::text(metric, "resource.name") == "cpu";
        is_cpu.then(|| tree::at(metric, "resource.current.averageUtilization").cloned()).flatten()
    };
    if let Some(percent) = current.iter().find_map(percent) {
        tree::set(scaler, CPU_NOW, percent);
    }
    let conditions = take_list(scaler, "status.conditions");
    let behavior = tree::remove(scaler, "spec.behavior").filter(|behavior| !behavior.is_null());
    notes::put(scaler, &notes::Carried { metrics, current, conditions, behavior });
    tree::set_default(scaler, "status.currentReplicas", 0);
    if let Some(schema) = schema::builtin().lookup(SCHEMA) {
        schema::normalize(scaler, schema);
    }
}
