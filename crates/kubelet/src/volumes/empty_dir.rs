//! emptyDir volumes: a directory that lives as long as the pod, on disk or in memory.

use super::{Input, Kind, Prepared};
use crate::env::ConfigError;
use crate::qos;

pub const KIND: Kind = Kind { plugin: "kubernetes.io~empty-dir", claims: |volume| volume.empty_dir.is_some(), prepare };

fn prepare(input: &Input<'_>) -> Result<Prepared, ConfigError> {
    let source = input.volume.empty_dir.clone().unwrap_or_default();
    let size_bytes = source.size_limit.as_ref().and_then(qos::bytes).and_then(|bytes| u64::try_from(bytes).ok());
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Prepared::Dir { memory: false, size_bytes }),
        "Memory" => Ok(Prepared::Dir { memory: true, size_bytes: size_bytes.filter(|bytes| *bytes > 0) }),
        medium => Err(ConfigError(format!("unknown storage medium {medium:?}"))),
    }
}
