//! configMap volumes: the map's keys as files.

use std::collections::BTreeMap;

use api::typed::ConfigMap;

use super::{Input, Kind, Payload, Prepared, mode, select};
use crate::env::{ConfigError, config_map};

pub const KIND: Kind =
    Kind { plugin: "kubernetes.io~configmap", claims: |volume| volume.config_map.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let source = input.volume.config_map.clone().unwrap_or_default();
    let found = config_map(input.pod, input.referred, &source.name, source.optional)?;
    let data = found.map(data).unwrap_or_default();
    let optional = source.optional == Some(true);
    let files: Payload = select(&data, source.items.as_ref(), source.default_mode.map_or(0o644, mode), optional)?;
    Ok(Prepared::Files(files))
}

/// Text and binary keys alike.
pub fn data(map: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    text.chain(binary).collect()
}
