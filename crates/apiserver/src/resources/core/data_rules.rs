//! What ConfigMaps and Secrets ask of their data: keys that can be file names, and a bounded size.

use api::status::Cause;
use api::validation::{Path, name};
use serde_json::{Map, Value};

/// Of all values of one object; upstream's MaxSecretSize.
pub const DATA_BYTES_MAX: usize = 1 << 20;

/// What is wrong with the keys of one field.
pub fn keys(object: &Value, field: &str) -> Vec<Cause> {
    let keys = data(object, field).into_iter().flat_map(Map::keys);
    keys.flat_map(|key| Path::new(field).key(key).invalid_each(key, name::config_key(key))).collect()
}

/// How many bytes the values of one field are; `is_base64` where they are written so.
pub fn bytes(object: &Value, field: &str, is_base64: bool) -> usize {
    let len = |text: &str| if is_base64 { text.trim_end_matches('=').len() * 3 / 4 } else { text.len() };
    data(object, field).into_iter().flat_map(Map::values).map(|value| len(value.as_str().unwrap_or_default())).sum()
}

fn data<'a>(object: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    object.get(field).and_then(Value::as_object)
}
