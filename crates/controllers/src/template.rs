//! What all workloads do with their pod template: pods made of it, its hash, and numbers that may be percentages.

use api::Object;
use serde_json::{Value, json};

use crate::owners::controller_reference;
use crate::tree::Tree;

/// Upstream's alphabet of names without vowels.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A pod of the template that `owner` controls; it has no name yet.
pub(crate) fn pod_of_template(template: &Value, owner: &Object) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"ownerReferences": [controller_reference(owner)]},
        "spec": template.at("spec"),
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = template.at("metadata").at(field);
        if !value.is_null() {
            pod["metadata"][field] = value.clone();
        }
    }
    pod
}

/// FNV-1a over the template's encoding, in upstream's alphabet. The value differs from upstream's, which hashes a dump of
/// its memory; what belongs to a template is found by the template, never by its hash.
pub(crate) fn hash_of(template: &Value, collision_count: Option<i64>) -> String {
    let text = template.to_string();
    let salt = collision_count.map(i64::to_le_bytes);
    let bytes = text.bytes().chain(salt.into_iter().flatten());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// A number, or a percentage of `total`.
pub(crate) fn scaled_value(value: &Value, total: i64, round_up: bool) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0).max(0),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|text| text.parse().ok()).unwrap_or(0);
            let product = percent.max(0) * total;
            if round_up { (product + 99) / 100 } else { product / 100 }
        }
        _ => 0,
    }
}
