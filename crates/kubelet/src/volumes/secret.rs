//! secret volumes: the secret's keys as files, on a tmpfs.

use super::{Input, Kind, Prepared, mode, select};
use crate::env::{ConfigError, find_secret};

pub const KIND: Kind = Kind { plugin: "kubernetes.io~secret", claims: |volume| volume.secret.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let source = input.volume.secret.clone().unwrap_or_default();
    let name = source.secret_name.as_deref().unwrap_or_default();
    let found = find_secret(input.pod, input.referred, name, source.optional)?;
    let data = found.and_then(|secret| secret.data).into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
    let optional = source.optional == Some(true);
    select(&data, source.items.as_ref(), source.default_mode.map_or(0o644, mode), optional).map(Prepared::Files)
}
