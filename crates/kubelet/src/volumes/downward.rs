//! downwardAPI volumes: fields of the pod and resources of its containers as files.

use k8s_openapi::api::core::v1 as core;

use super::{Input, Kind, Payload, PayloadFile, Prepared, mode};
use crate::env::{ConfigError, field};

pub const KIND: Kind =
    Kind { plugin: "kubernetes.io~downward-api", claims: |volume| volume.downward_api.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let source = input.volume.downward_api.clone().unwrap_or_default();
    let items = source.items.unwrap_or_default();
    files(input, &items, source.default_mode.map_or(0o644, mode)).map(Prepared::Files)
}

pub fn files(
    input: &Input<'_>,
    items: &[core::DownwardAPIVolumeFile],
    default_mode: u32,
) -> Result<Payload, ConfigError> {
    let mut payload = Payload::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(selector), _) => field::value(input.pod, &selector.field_path, input.facts)?,
            (None, Some(selector)) => {
                let name = selector.container_name.as_deref().unwrap_or_default();
                let container = input.pod.container(name);
                let container = container.ok_or_else(|| ConfigError(format!("container {name} not found")))?;
                field::resource(container.spec, selector, input.facts)?
            }
            (None, None) => continue,
        };
        let mode = item.mode.map_or(default_mode, mode);
        payload.insert(item.path.clone(), PayloadFile { bytes: text.into_bytes(), mode });
    }
    Ok(payload)
}
