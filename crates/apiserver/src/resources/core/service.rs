//! Service: one address in front of many pods.

use api::validation::Path;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::service_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::apps::workload::labels_text;
use crate::resources::cells::or_none;
use crate::resources::warnings::{cidr, ip};
use crate::tree;

pub fn resource() -> Resource {
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
            validate_status: Some(service_rules::validate_status),
            warn: Some(|service, _| warn(service)),
            ..Hooks::default()
        },
        ..Resource::of::<Service>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Type", "io.k8s.api.core.v1.ServiceSpec.type", |o, _| tree::text(o, "spec.type").into()),
    Column::text("Cluster-IP", "io.k8s.api.core.v1.ServiceSpec.clusterIP", |o, _| {
        or_none(tree::texts(o, "spec.clusterIPs").first().copied().unwrap_or_default()).into()
    }),
    Column::text("External-IP", "io.k8s.api.core.v1.ServiceSpec.externalIPs", |o, _| external(o).into()),
    Column::text("Port(s)", "io.k8s.api.core.v1.ServiceSpec.ports", |o, _| ports(o).into()),
    Column::age(),
    Column::text("Selector", "io.k8s.api.core.v1.ServiceSpec.selector", |o, _| {
        labels_text(tree::at(o, "spec.selector")).into()
    })
    .wide(),
];

fn external(service: &Value) -> String {
    let mut ips: Vec<String> = tree::texts(service, "spec.externalIPs").into_iter().map(str::to_owned).collect();
    match tree::text(service, "spec.type") {
        "ClusterIP" | "NodePort" => or_none(&ips.join(",")).to_owned(),
        "ExternalName" => tree::text(service, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let address = |entry: &Value| {
                let ip = tree::text(entry, "ip");
                if ip.is_empty() { tree::text(entry, "hostname").to_owned() } else { ip.to_owned() }
            };
            let given = tree::list(service, "status.loadBalancer.ingress").iter().map(address);
            let given: std::collections::BTreeSet<String> = given.filter(|address| !address.is_empty()).collect();
            let mut all: Vec<String> = given.into_iter().collect();
            all.append(&mut ips);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => "<unknown>".to_owned(),
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
    or_none(&tree::list(service, "spec.ports").iter().map(one).collect::<Vec<_>>().join(",")).to_owned()
}

fn prepare_create(service: &mut Value, _: &HookContext<'_>) {
    tree::set(service, "status", json!({ "loadBalancer": {} }));
    let single = tree::text(service, "spec.clusterIP").to_owned();
    let first = tree::texts(service, "spec.clusterIPs").first().copied().unwrap_or_default().to_owned();
    if first.is_empty() && !single.is_empty() {
        tree::set(service, "spec.clusterIPs", json!([single]));
    } else if single.is_empty() && !first.is_empty() {
        tree::set(service, "spec.clusterIP", first);
    }
}

fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    if !context.subresource.is_empty() {
        return;
    }
    keep_given(new, old);
    one_address(new, old);
    drop_left_over(new, old);
}

/// All but names for something elsewhere.
pub(crate) fn has_cluster_ip(service: &Value) -> bool {
    tree::text(service, "spec.type") != "ExternalName"
}

/// What the server gave and the client does not name stays.
fn keep_given(new: &mut Value, old: &Value) {
    if !has_cluster_ip(new) || !has_cluster_ip(old) {
        return;
    }
    if !tree::is_set(new, "spec.clusterIP") {
        tree::copy(new, old, "spec.clusterIP");
    }
    let same = tree::text(new, "spec.clusterIP") == tree::text(old, "spec.clusterIP");
    if same && !tree::is_set(new, "spec.clusterIPs") {
        tree::copy(new, old, "spec.clusterIPs");
    }
}

/// clusterIP and clusterIPs say the same; whoever changes one means both.
fn one_address(new: &mut Value, old: &Value) {
    let single = tree::text(new, "spec.clusterIP").to_owned();
    let is_same_list = tree::at(new, "spec.clusterIPs") == tree::at(old, "spec.clusterIPs");
    let was = tree::text(old, "spec.clusterIP");
    if single.is_empty() && !was.is_empty() && is_same_list {
        tree::remove(new, "spec.clusterIPs");
    } else if !single.is_empty() && single != was && is_same_list {
        tree::set(new, "spec.clusterIPs", json!([single]));
    }
}

/// What the old type had and the new one has no use for goes, unless the client changed it, which validation refuses.
fn drop_left_over(new: &mut Value, old: &Value) {
    let kind = |service: &Value| tree::text(service, "spec.type").to_owned();
    let (is, was) = (kind(new), kind(old));
    let mut drop_same = |fields: &[&str]| {
        for field in fields {
            let path = format!("spec.{field}");
            if tree::at(new, &path) == tree::at(old, &path) {
                tree::remove(new, &path);
            }
        }
    };
    if is == "ExternalName" && was != "ExternalName" {
        drop_same(&["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    if is != "LoadBalancer" && was == "LoadBalancer" {
        drop_same(&["loadBalancerClass", "allocateLoadBalancerNodePorts"]);
    }
    if !service_rules::needs_health_check(new) && service_rules::needs_health_check(old) {
        let path = "spec.healthCheckNodePort";
        if tree::at(new, path) == tree::at(old, path) {
            tree::remove(new, path);
        }
    }
    let is_reachable = |service: &Value| {
        matches!(tree::text(service, "spec.type"), "LoadBalancer" | "NodePort")
            || !tree::list(service, "spec.externalIPs").is_empty() && has_cluster_ip(service)
    };
    let path = "spec.externalTrafficPolicy";
    if !is_reachable(new) && is_reachable(old) && tree::at(new, path) == tree::at(old, path) {
        tree::remove(new, path);
    }
}

/// What has no effect, goes out of use, or is an address in an odd form.
fn warn(service: &Value) -> Vec<String> {
    let text = |field: &str| tree::text(service, &format!("spec.{field}"));
    let path = Path::new("spec");
    let (is_external, is_headless) =
        (text("type") == "ExternalName", text("type") == "ClusterIP" && text("clusterIP") == "None");
    let external_ips = tree::texts(service, "spec.externalIPs");
    let mut warnings = Vec::new();
    let mut say = |when: bool, what: &str| warnings.extend(when.then(|| what.to_owned()));
    let hints =
        tree::at(service, "metadata.annotations").and_then(|all| all.get("service.kubernetes.io/topology-aware-hints"));
    say(
        hints.is_some(),
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode \
         instead",
    );
    for (i, address) in tree::texts(service, "spec.clusterIPs").into_iter().enumerate() {
        ip(address, &path.child("clusterIPs").index(i)).into_iter().for_each(|odd| say(true, &odd));
    }
    say(is_headless && !text("loadBalancerIP").is_empty(), "spec.loadBalancerIP is ignored for headless services");
    say(is_headless && !external_ips.is_empty(), "spec.externalIPs is ignored for headless services");
    say(is_headless && text("sessionAffinity") != "None", "spec.SessionAffinity is ignored for headless services");
    for (i, address) in external_ips.iter().enumerate() {
        ip(address, &path.child("externalIPs").index(i)).into_iter().for_each(|odd| say(true, &odd));
    }
    say(
        !external_ips.is_empty() && !is_headless && !is_external,
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    );
    ip(text("loadBalancerIP"), &path.child("loadBalancerIP")).into_iter().for_each(|odd| say(true, &odd));
    for (i, range) in tree::texts(service, "spec.loadBalancerSourceRanges").into_iter().enumerate() {
        cidr(range.trim(), &path.child("loadBalancerSourceRanges").index(i)).iter().for_each(|odd| say(true, odd));
    }
    let ignored = "spec.externalIPs is ignored when spec.type is \"ExternalName\"";
    say(is_external && !external_ips.is_empty(), ignored);
    let ignored = "spec.externalName is ignored when spec.type is not \"ExternalName\"";
    say(!is_external && !text("externalName").is_empty(), ignored);
    let old = "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"";
    say(text("trafficDistribution") == "PreferClose", old);
    warnings
}
