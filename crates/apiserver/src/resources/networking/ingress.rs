//! Ingress: which services are reached from outside, by host and path.

use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value, json};

use super::ingress_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ing".into()],
        generation: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text(
                    "Class",
                    "The name of the IngressClass resource that should be used for additional configuration",
                    |o, _| cells::text_or(o, "spec.ingressClassName", cells::NONE),
                ),
                Column::text(
                    "Hosts",
                    "Hosts that incoming requests are matched against before the ingress rule",
                    |o, _| hosts(o),
                ),
                Column::text("Address", "Address is a list containing ingress points for the load-balancer", |o, _| {
                    addresses(o)
                }),
                Column::text("Ports", "Ports of TLS configurations that open", |o, _| ports(o)),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(ingress_rules::validate),
            validate_create: Some(ingress_rules::validate_create),
            validate_status: Some(ingress_rules::validate_status),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<Ingress>()
    }
}

fn hosts(ingress: &Value) -> Value {
    let hosts: Vec<&str> = tree::list(ingress, "spec.rules")
        .iter()
        .map(|rule| tree::text(rule, "host"))
        .filter(|host| !host.is_empty())
        .collect();
    match hosts.len() {
        0 => "*".into(),
        1..=3 => hosts.join(",").into(),
        more => format!("{} + {} more...", hosts[..3].join(","), more - 3).into(),
    }
}

fn addresses(ingress: &Value) -> Value {
    let address = |at: &Value| match tree::text(at, "ip") {
        "" => tree::text(at, "hostname").to_owned(),
        ip => ip.to_owned(),
    };
    let all: Vec<String> = tree::list(ingress, "status.loadBalancer.ingress").iter().map(address).collect();
    all.into_iter().filter(|one| !one.is_empty()).collect::<Vec<_>>().join(",").into()
}

fn ports(ingress: &Value) -> Value {
    if tree::list(ingress, "spec.tls").is_empty() { "80".into() } else { "80, 443".into() }
}

fn prepare_create(ingress: &mut Value, _: &HookContext<'_>) {
    tree::set(ingress, "status", json!({ "loadBalancer": {} }));
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    const CLASS: &str = "kubernetes.io/ingress.class";
    let annotated = tree::at(new, "metadata.annotations").is_some_and(|found| found.get(CLASS).is_some());
    if old.is_some() || !annotated || tree::is_set(new, "spec.ingressClassName") {
        return Vec::new();
    }
    vec![format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead")]
}
