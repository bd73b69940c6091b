//! The downward API: fields and resources of a pod as text, for variables and files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::ConfigError;
use crate::pod::PodRef;
use crate::qos::{self, What};

/// What a pod may ask of its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub node_name: String,
    pub host_ips: Vec<String>,
    pub pod_ips: Vec<String>,
    /// The node's allocatable amounts in thousandths: the limit where a container has none.
    pub allocatable_millis: BTreeMap<String, i64>,
}

pub fn value(pod: &PodRef, path: &str, facts: &Facts) -> Result<String, ConfigError> {
    let meta = &pod.get().metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.annotations" => meta.annotations.as_ref(),
            "metadata.labels" => meta.labels.as_ref(),
            _ => return Err(unsupported(path)),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let text = match path {
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "spec.nodeName" => facts.node_name.clone(),
        "spec.serviceAccountName" => pod.spec().service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => facts.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(unsupported(path)),
    };
    Ok(text)
}

fn unsupported(path: &str) -> ConfigError {
    ConfigError(format!("unsupported fieldPath: {path}"))
}

/// `metadata.labels['a']` -> (`metadata.labels`, `a`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

pub fn resource(
    container: &core::Container,
    selector: &core::ResourceFieldSelector,
    facts: &Facts,
) -> Result<String, ConfigError> {
    let (what, name) = match selector.resource.split_once('.') {
        Some(("limits", name)) => (What::Limit, name),
        Some(("requests", name)) => (What::Request, name),
        _ => return Err(ConfigError(format!("unsupported container resource : {}", selector.resource))),
    };
    let allocatable = || facts.allocatable_millis.get(name).copied().unwrap_or(0);
    let amount = match (qos::container_quantity(container, what, name), what) {
        (Some(amount), _) => amount,
        (None, What::Limit) => allocatable(),
        (None, What::Request) => 0,
    };
    let divisor = selector.divisor.as_ref().and_then(qos::millis).filter(|divisor| *divisor > 0).unwrap_or(1000);
    Ok(amount.saturating_add(divisor - 1).div_euclid(divisor).to_string())
}
