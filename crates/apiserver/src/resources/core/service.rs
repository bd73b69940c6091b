//! Service: one address in front of many pods.

use api::Gvr;
use serde_json::{Value, json};

use super::service_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "services");
    Resource {
        short_names: vec!["svc".into()],
        categories: vec!["all".into()],
        selectable_fields: &["spec.clusterIP", "spec.type"],
        subresources: &[Subresource::Connect("proxy"), Subresource::Status],
        create_on_update: true,
        returns_deleted: true,
        allocates: true,
        name_rule: api::validation::name::dns1123_label,
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(service_rules::validate),
            validate_update: Some(service_rules::validate_update),
            ..Hooks::default()
        },
        ..Resource::new(gvr, "Service", "service", Scope::Namespaced, "io.k8s.api.core.v1.Service")
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Type", "How the service is exposed.", |o, _| tree::text(o, "spec.type").into()),
    Column::text("Cluster-IP", "The address inside the cluster.", |o, _| {
        or_none(tree::text(o, "spec.clusterIP")).into()
    }),
    Column::text("External-IP", "The addresses outside the cluster.", |o, _| external(o).into()),
    Column::text("Port(s)", "The ports that the service exposes.", |o, _| ports(o).into()),
    Column::age(),
    Column::text("Selector", "The labels of the pods behind the service.", |o, _| selector(o).into()).wide(),
];

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
}

fn external(service: &Value) -> String {
    let ips = tree::texts(service, "spec.externalIPs").join(",");
    match tree::text(service, "spec.type") {
        "ExternalName" => or_none(tree::text(service, "spec.externalName")),
        "LoadBalancer" => {
            let ingress = tree::list(service, "status.loadBalancer.ingress").iter();
            let address = |entry: &Value| {
                let ip = tree::text(entry, "ip");
                if ip.is_empty() { tree::text(entry, "hostname").to_owned() } else { ip.to_owned() }
            };
            let mut all: Vec<String> = ingress.map(address).collect();
            all.extend(tree::texts(service, "spec.externalIPs").into_iter().map(str::to_owned));
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => or_none(&ips),
    }
}

fn ports(service: &Value) -> String {
    let one = |port: &Value| {
        let (number, protocol) = (tree::int(port, "port").unwrap_or_default(), tree::text(port, "protocol"));
        match tree::int(port, "nodePort").unwrap_or_default() {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    or_none(&tree::list(service, "spec.ports").iter().map(one).collect::<Vec<_>>().join(","))
}

fn selector(service: &Value) -> String {
    let labels = tree::at(service, "spec.selector").and_then(Value::as_object).into_iter().flatten();
    or_none(
        &labels
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn prepare_create(service: &mut Value, _: &HookContext<'_>) {
    tree::set(service, "status", json!({ "loadBalancer": {} }));
    keep_one_address(service);
}

fn prepare_update(new: &mut Value, _: &Value, _: &HookContext<'_>) {
    keep_one_address(new);
}

/// clusterIP and clusterIPs say the same; whoever writes one means both.
fn keep_one_address(service: &mut Value) {
    let single = tree::text(service, "spec.clusterIP").to_owned();
    if !single.is_empty() && tree::list(service, "spec.clusterIPs").is_empty() {
        tree::set(service, "spec.clusterIPs", json!([single]));
    }
}
