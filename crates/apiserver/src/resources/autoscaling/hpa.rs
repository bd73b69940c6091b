//! HorizontalPodAutoscaler (autoscaling/v2): what to scale, between which bounds, by which metrics. The stored form.

use api::Gvr;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::{Value, json};

use super::hpa_rules;
use crate::resource::{BuiltIn, Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::apps::workload::count;
use crate::resources::cells;
use crate::tree;

pub const GVR: Gvr = Gvr::new("autoscaling", "v2", "horizontalpodautoscalers");
pub const SCHEMA: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";
/// Of more metrics only their number is shown.
const SHOWN_MAX: usize = 2;

pub fn resource() -> Resource {
    Resource {
        columns: COLUMNS,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            validate_create: Some(hpa_rules::validate_create),
            validate_update: Some(hpa_rules::validate_update),
            validate_status: Some(|new, _| hpa_rules::validate_status(new)),
            ..Hooks::default()
        },
        ..of_version::<HorizontalPodAutoscaler>()
    }
}

/// What both versions have in common.
pub fn of_version<K: BuiltIn>() -> Resource {
    Resource {
        short_names: vec!["hpa".into()],
        categories: vec!["all".into()],
        subresources: &[Subresource::Status],
        ..Resource::of::<K>()
    }
}

pub const COLUMNS: &[Column] = &[
    Column::text("Reference", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef", |o, _| {
        let field = |name| tree::text(o, &format!("spec.scaleTargetRef.{name}")).to_owned();
        format!("{}/{}", field("kind"), field("name")).into()
    }),
    Column::text("Targets", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec.metrics", |o, _| targets(o).into()),
    Column::text("MinPods", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec.minReplicas", |o, _| {
        tree::int(o, "spec.minReplicas").map_or(cells::UNSET.to_owned(), |least| least.to_string()).into()
    }),
    Column::text("MaxPods", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas", |o, _| {
        count(o, "spec.maxReplicas").into()
    }),
    Column::text("Replicas", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas", |o, _| {
        count(o, "status.currentReplicas").into()
    }),
    Column::age(),
];

/// `cpu: <unknown>/80%, 3/5 (avg) + 1 more...`
pub fn targets(scaler: &Value) -> String {
    let specs = tree::list(scaler, "spec.metrics");
    if specs.is_empty() {
        return cells::NONE.to_owned();
    }
    let statuses = tree::list(scaler, "status.currentMetrics");
    let shown: Vec<String> =
        specs.iter().enumerate().take(SHOWN_MAX).map(|(at, spec)| target(spec, statuses.get(at))).collect();
    let more = specs.len().saturating_sub(SHOWN_MAX);
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

fn target(spec: &Value, status: Option<&Value>) -> String {
    let (source, named) = match tree::text(spec, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let wanted = |field: &str| tree::at(spec, &format!("{source}.target.{field}"));
    let current = |field: &str| {
        let value = status.and_then(|status| tree::at(status, &format!("{source}.current.{field}")));
        value.map_or("<unknown>".to_owned(), shown)
    };
    let average = wanted("averageValue").filter(|value| !value.is_null());
    let name = tree::text(spec, &format!("{source}.name"));
    match (average, named) {
        (Some(average), true) => format!("{name}: {}/{}", current("averageValue"), shown(average)),
        (None, true) => {
            let percent = |text: String| if text == "<unknown>" { text } else { format!("{text}%") };
            let wanted = wanted("averageUtilization").map_or("<auto>".to_owned(), |value| format!("{}%", shown(value)));
            format!("{name}: {}/{wanted}", percent(current("averageUtilization")))
        }
        (Some(average), false) => {
            let suffix = if source == "pods" { "" } else { " (avg)" };
            format!("{}/{}{suffix}", current("averageValue"), shown(average))
        }
        (None, false) => format!("{}/{}", current("value"), wanted("value").map(shown).unwrap_or_default()),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Scaling rules are completed as soon as one of them is given.
pub fn default(scaler: &mut Value) {
    if !tree::is_set(scaler, "spec.behavior") {
        return;
    }
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    for (rules, window, policies) in
        [("scaleUp", Some(0), json!([pods, percent.clone()])), ("scaleDown", None, json!([percent]))]
    {
        let path = |field: &str| format!("spec.behavior.{rules}.{field}");
        tree::map_mut(scaler, &format!("spec.behavior.{rules}"));
        tree::set_default(scaler, &path("selectPolicy"), "Max");
        tree::set_default(scaler, &path("policies"), policies);
        if let Some(window) = window {
            tree::set_default(scaler, &path("stabilizationWindowSeconds"), window);
        }
    }
}

fn prepare_create(scaler: &mut Value, _: &HookContext<'_>) {
    tree::set(scaler, "status", json!({ "desiredReplicas": 0, "currentMetrics": null }));
}
