//! Node: a machine that runs pods.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::node_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::tree;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";
const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["no".into()],
        selectable_fields: &["spec.unschedulable"],
        subresources: &[Subresource::Connect("proxy"), Subresource::Status],
        keeps_status: true,
        columns: COLUMNS,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            validate: Some(node_rules::validate),
            validate_update: Some(node_rules::validate_update),
            validate_status: Some(node_rules::validate_update),
            warn: Some(|node, _| warn(node)),
            ..Hooks::default()
        },
        ..Resource::of::<Node>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Status", "The status of the node", |node, _| status(node).into()),
    Column::text("Roles", "The roles of the node", |node, _| roles(node).into()),
    Column::age(),
    Column::text("Version", "io.k8s.api.core.v1.NodeSystemInfo.kubeletVersion", |node, _| {
        tree::text(node, "status.nodeInfo.kubeletVersion").into()
    }),
    Column::text("Internal-IP", "io.k8s.api.core.v1.NodeStatus.addresses", |node, _| {
        address(node, "InternalIP").into()
    })
    .wide(),
    Column::text("External-IP", "io.k8s.api.core.v1.NodeStatus.addresses", |node, _| {
        address(node, "ExternalIP").into()
    })
    .wide(),
    Column::text("OS-Image", "io.k8s.api.core.v1.NodeSystemInfo.osImage", |node, _| info(node, "osImage").into())
        .wide(),
    Column::text("Kernel-Version", "io.k8s.api.core.v1.NodeSystemInfo.kernelVersion", |node, _| {
        info(node, "kernelVersion").into()
    })
    .wide(),
    Column::text("Container-Runtime", "io.k8s.api.core.v1.NodeSystemInfo.containerRuntimeVersion", |node, _| {
        info(node, "containerRuntimeVersion").into()
    })
    .wide(),
];

fn info(node: &Value, field: &str) -> String {
    let value = tree::text(node, &format!("status.nodeInfo.{field}"));
    if value.is_empty() { "<unknown>".to_owned() } else { value.to_owned() }
}

fn status(node: &Value) -> String {
    let ready = tree::list(node, "status.conditions").iter().find(|condition| tree::text(condition, "type") == "Ready");
    let mut text = match ready.map(|condition| tree::text(condition, "status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if tree::flag(node, "spec.unschedulable") {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(node: &Value) -> String {
    let labels = tree::at(node, "metadata.labels").and_then(Value::as_object).into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        _ => value.as_str().filter(|role| key == ROLE_LABEL && !role.is_empty()).map(str::to_owned),
    };
    let mut roles: Vec<String> = labels.filter_map(role).collect();
    roles.sort();
    roles.dedup();
    cells::or_none(&roles.join(",")).to_owned()
}

fn address(node: &Value, kind: &str) -> String {
    let found = tree::list(node, "status.addresses").iter().find(|address| tree::text(address, "type") == kind);
    found.map_or(cells::NONE, |address| tree::text(address, "address")).to_owned()
}

/// One range is the first of all ranges, whichever of the two the writer gave.
fn default(node: &mut Value) {
    let range = tree::text(node, "spec.podCIDR").to_owned();
    let first = tree::texts(node, "spec.podCIDRs").first().copied().unwrap_or_default().to_owned();
    if !range.is_empty() && first != range {
        tree::set(node, "spec.podCIDRs", json!([range]));
    } else if range.is_empty() && !first.is_empty() {
        tree::set(node, "spec.podCIDR", first);
    }
}

/// A node is not ready until its kubelet says so (upstream's TaintNodesByCondition).
fn prepare_create(node: &mut Value, _: &HookContext<'_>) {
    let taints = tree::list_mut(node, "spec.taints");
    if !taints.iter().any(|taint| tree::text(taint, "key") == NOT_READY) {
        taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
    }
}

fn warn(node: &Value) -> Vec<String> {
    let unused = "spec.externalID: this field is deprecated, and is unused by Kubernetes";
    let unused = Some(unused).filter(|_| !tree::text(node, "spec.externalID").is_empty());
    let gone = Some("spec.configSource: the feature is removed").filter(|_| tree::is_set(node, "spec.configSource"));
    gone.into_iter().chain(unused).map(str::to_owned).collect()
}
