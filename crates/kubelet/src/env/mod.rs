//! The environment of a container: a pure function of pod, services and what the pod refers to.
//!
//! Order as upstream's: envFrom, then env (each may use those before it), then service variables that nobody set.

pub mod expansion;
pub mod field;
mod service;

use std::collections::BTreeMap;

use api::Object;
use api::typed::{ConfigMap, Secret, Service};
use k8s_openapi::api::core::v1 as core;

use crate::pod::PodRef;
use crate::references::{Kind, Reference, Referred};
use field::Facts;

/// Why a container's configuration cannot be made; upstream's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

pub struct Input<'a> {
    pub pod: &'a PodRef,
    pub container: &'a core::Container,
    pub referred: &'a Referred,
    pub services: &'a [Service],
    pub facts: &'a Facts,
}

/// The variables, each once, in the order in which they were first named.
#[derive(Default)]
struct Vars {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Vars {
    fn set(&mut self, name: &str, value: String) {
        if self.values.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }
}

pub fn env(input: &Input<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    let services = service::variables(input.pod, input.services);
    let mut vars = Vars::default();
    for source in input.container.env_from.iter().flatten() {
        env_from(input, source, &mut vars)?;
    }
    for var in input.container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (_, Some(source)) => match value_from(input, source)? {
                Some(value) => value,
                None => continue,
            },
            (value, None) => {
                let lookup = |name: &str| vars.values.get(name).or_else(|| services.get(name)).cloned();
                expansion::expand(value.as_deref().unwrap_or_default(), &lookup)
            }
        };
        vars.set(&var.name, value);
    }
    for (name, value) in services {
        if !vars.values.contains_key(&name) {
            vars.set(&name, value);
        }
    }
    let mut values = vars.values;
    Ok(vars.order.into_iter().filter_map(|name| values.remove(&name).map(|value| (name, value))).collect())
}

fn env_from(input: &Input<'_>, source: &core::EnvFromSource, vars: &mut Vars) -> Result<(), ConfigError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(map) = &source.config_map_ref
        && let Some(data) = config_map(input.pod, input.referred, &map.name, map.optional)?
    {
        for (key, value) in data.data.into_iter().flatten() {
            vars.set(&format!("{prefix}{key}"), value);
        }
    }
    if let Some(secret) = &source.secret_ref
        && let Some(data) = find_secret(input.pod, input.referred, &secret.name, secret.optional)?
    {
        for (key, value) in data.data.into_iter().flatten() {
            vars.set(&format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned());
        }
    }
    Ok(())
}

fn value_from(input: &Input<'_>, source: &core::EnvVarSource) -> Result<Option<String>, ConfigError> {
    let pod = input.pod;
    if let Some(selector) = &source.field_ref {
        return field::value(pod, &selector.field_path, input.facts).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => pod.container(name).map(|c| c.spec),
            None => Some(input.container),
        };
        let container = container.ok_or_else(|| ConfigError("container not found".to_owned()))?;
        return field::resource(container, selector, input.facts).map(Some);
    }
    let namespace = pod.namespace();
    if let Some(selector) = &source.config_map_key_ref {
        let Some(map) = config_map(pod, input.referred, &selector.name, selector.optional)? else { return Ok(None) };
        let value = map.data.and_then(|mut data| data.remove(&selector.key));
        let missing = format!("couldn't find key {} in ConfigMap {namespace}/{}", selector.key, selector.name);
        return optional(value, selector.optional, missing);
    }
    if let Some(selector) = &source.secret_key_ref {
        let Some(secret) = find_secret(pod, input.referred, &selector.name, selector.optional)? else {
            return Ok(None);
        };
        let value = secret.data.and_then(|mut data| data.remove(&selector.key));
        let value = value.map(|value| String::from_utf8_lossy(&value.0).into_owned());
        let missing = format!("couldn't find key {} in Secret {namespace}/{}", selector.key, selector.name);
        return optional(value, selector.optional, missing);
    }
    Err(ConfigError("unsupported source of an environment variable".to_owned()))
}

fn optional(value: Option<String>, optional: Option<bool>, missing: String) -> Result<Option<String>, ConfigError> {
    match value {
        None if optional != Some(true) => Err(ConfigError(missing)),
        value => Ok(value),
    }
}

/// The ConfigMap of that name; `None` when it is optional and absent.
pub fn config_map(
    pod: &PodRef,
    referred: &Referred,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<ConfigMap>, ConfigError> {
    find(pod, referred, Kind::ConfigMap, name, optional)?
        .map(|object| object.typed().map_err(|error| ConfigError(error.to_string())))
        .transpose()
}

pub fn find_secret(
    pod: &PodRef,
    referred: &Referred,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<Secret>, ConfigError> {
    find(pod, referred, Kind::Secret, name, optional)?
        .map(|object| object.typed().map_err(|error| ConfigError(error.to_string())))
        .transpose()
}

fn find<'a>(
    pod: &PodRef,
    referred: &'a Referred,
    kind: Kind,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a Object>, ConfigError> {
    let reference = Reference { kind, namespace: pod.namespace().to_owned(), name: name.to_owned() };
    match referred.get(&reference).and_then(Option::as_ref) {
        None if optional != Some(true) => Err(ConfigError(reference.not_found())),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests;
