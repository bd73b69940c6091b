//! projected volumes: several sources in one directory. Service account tokens were fetched before (see [`super::token`]).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::{Input, Kind, Payload, PayloadFile, Prepared, config_map, downward, mode, select};
use crate::env::{self, ConfigError};

pub const KIND: Kind = Kind { plugin: "kubernetes.io~projected", claims: |volume| volume.projected.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let projected = input.volume.projected.clone().unwrap_or_default();
    let default_mode = projected.default_mode.map_or(0o644, mode);
    let mut payload = Payload::new();
    for (position, source) in projected.sources.iter().flatten().enumerate() {
        payload.extend(one(input, position, source, default_mode)?);
    }
    Ok(Prepared::Files(payload))
}

fn one(
    input: &Input<'_>,
    position: usize,
    source: &core::VolumeProjection,
    default_mode: u32,
) -> Result<Payload, ConfigError> {
    if let Some(map) = &source.config_map {
        let found = env::config_map(input.pod, input.referred, &map.name, map.optional)?;
        let data = found.map(config_map::data).unwrap_or_default();
        return select(&data, map.items.as_ref(), default_mode, map.optional == Some(true));
    }
    if let Some(secret) = &source.secret {
        let found = env::find_secret(input.pod, input.referred, &secret.name, secret.optional)?;
        let data = found.and_then(|secret| secret.data).into_iter().flatten();
        let data: BTreeMap<_, _> = data.map(|(key, value)| (key, value.0)).collect();
        return select(&data, secret.items.as_ref(), default_mode, secret.optional == Some(true));
    }
    if let Some(fields) = &source.downward_api {
        return downward::files(input, fields.items.as_deref().unwrap_or_default(), default_mode);
    }
    if let Some(token) = &source.service_account_token {
        let text =
            input.tokens.get(&position).ok_or_else(|| ConfigError("the token has not been fetched".to_owned()))?;
        // A token is for its pod's user alone, unless the pod has an fsGroup.
        let file = PayloadFile { bytes: text.clone().into_bytes(), mode: default_mode };
        return Ok([(token.path.clone(), file)].into());
    }
    Err(ConfigError("projected volume source is not supported by this kubelet".to_owned()))
}
