//! Pulls from registries.

use std::sync::Arc;

use cri::{Code, Result, RuntimeError, v1};

use super::{Record, Store};

pub async fn pull(_store: Arc<Store>, image: &str, _auth: Option<&v1::AuthConfig>) -> Result<Record> {
    Err(RuntimeError::new(Code::Unavailable, format!("failed to pull image {image:?}: no registry client yet")))
}
