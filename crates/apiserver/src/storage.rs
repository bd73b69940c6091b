//! How objects lie in the store: their keys, and their bytes.
//!
//! Encoded bytes begin `{"apiVersion":..,"kind":..,"metadata":{`, so that the revision, which only the store knows, is
//! put behind them with one copy: the store does so as it commits, and from then on the store, the caches and the
//! answers share the same bytes. The pair [`encode`] / [`with_revision`] is the only way in and out.

use api::status::Details;
use api::{Gvr, Key, Revision, Status};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use store::{StoreError, StoreKey};

/// Every key of ours is at or after `START` and before `END`.
pub const START: &[u8] = b"/registry/";
pub const END: &[u8] = b"/registry0";

const METADATA: &[u8] = b"\"metadata\":{";

/// `/registry/<group>/<plural>/`; the core group is called `core`.
pub fn prefix(resource: &Gvr) -> Vec<u8> {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    format!("/registry/{group}/{}/", resource.resource).into_bytes()
}

pub fn key(resource: &Gvr, object: &Key) -> StoreKey {
    let mut key = prefix(resource);
    if !object.namespace.is_empty() {
        key.extend_from_slice(object.namespace.as_bytes());
        key.push(b'/');
    }
    key.extend_from_slice(object.name.as_bytes());
    key.into()
}

/// The key under which upstream stores the object, which some of its messages name.
pub fn upstream_key(resource: &Gvr, object: &Key) -> String {
    let plural = &*resource.resource;
    let directory = match (&*resource.group, plural) {
        ("", "services") => "services/specs",
        ("", "endpoints") => "services/endpoints",
        ("", "nodes") => "minions",
        ("", "replicationcontrollers") => "controllers",
        ("networking.k8s.io", "ingresses") => "ingress",
        (group, _) if group == "apiregistration.k8s.io" || group.contains('.') && !has_builtin_kinds(group) => {
            return format!("/registry/{group}/{plural}/{object}");
        }
        (_, plural) => plural,
    };
    format!("/registry/{directory}/{object}")
}

fn has_builtin_kinds(group: &str) -> bool {
    api::schema::builtin().kinds().any(|(one, ..)| one == group)
}

/// Splits a stored key into the prefix of its resource and its object's place.
pub fn split_key(key: &[u8]) -> Option<(&[u8], Key)> {
    let rest = key.strip_prefix(START)?;
    let mut slashes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let end = START.len() + slashes.nth(1)? + 1;
    let path = std::str::from_utf8(&key[end..]).ok()?;
    let object = path.split_once('/').map_or_else(|| Key::cluster(path), |(namespace, name)| Key::new(namespace, name));
    Some((&key[..end], object))
}

/// The bytes that are stored: apiVersion, kind and metadata first, no resourceVersion.
pub fn encode(tree: &Value) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let mut separator = b'{';
    for name in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = tree.get(name) {
            out.push(separator);
            separator = b',';
            write(&mut out, name, value);
        }
    }
    for (name, value) in tree.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            out.push(separator);
            separator = b',';
            write(&mut out, name, value);
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    out.into()
}

fn write(out: &mut Vec<u8>, name: &str, value: &Value) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    let encoded = match value.as_object().filter(|_| name == "metadata") {
        Some(meta) => serde_json::to_writer(out, &WithoutRevision(meta)),
        None => serde_json::to_writer(out, value),
    };
    encoded.expect("invariant: a tree always encodes into memory");
}

/// Metadata as they are stored.
struct WithoutRevision<'a>(&'a Map<String, Value>);

impl Serialize for WithoutRevision<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(name, _)| *name != "resourceVersion"))
    }
}

/// The bytes that clients see: the stored ones with the revision put into the metadata.
pub fn with_revision(stored: &Bytes, revision: Revision) -> Bytes {
    let Some(at) = metadata_at(stored) else { return stored.clone() };
    let revision = revision.to_string();
    let mut rest = &stored[at..];
    // Bytes that already carry this revision, as those in the store do, are shared; an older one gives way.
    if let Some(old) = rest.strip_prefix(b"\"resourceVersion\":\"") {
        let end = old.iter().position(|byte| *byte == b'"').unwrap_or(old.len());
        if &old[..end] == revision.as_bytes() {
            return stored.clone();
        }
        let old = old.get(end + 1..).unwrap_or_default();
        rest = old.strip_prefix(b",").unwrap_or(old);
    }
    let mut out = Vec::with_capacity(stored.len() + revision.len() + 24);
    out.extend_from_slice(&stored[..at]);
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(revision.as_bytes());
    out.push(b'"');
    if rest.first() != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    out.into()
}

/// The same object of another version of its group. Bytes that are of that version already are not copied.
pub fn with_api_version(json: Bytes, api_version: &str) -> Bytes {
    const OPEN: &[u8] = b"{\"apiVersion\":\"";
    let Some(rest) = json.strip_prefix(OPEN) else { return json };
    let Some(end) = rest.iter().position(|byte| *byte == b'"') else { return json };
    if &rest[..end] == api_version.as_bytes() {
        return json;
    }
    [OPEN, api_version.as_bytes(), &rest[end..]].concat().into()
}

/// The object as an item of a list: upstream leaves apiVersion and kind to the list.
pub fn list_item(json: &[u8]) -> Option<&[u8]> {
    metadata_at(json).map(|at| &json[at - METADATA.len()..])
}

/// What a client is told when the store cannot do its part. Where nothing happened it may try again; where a write may have
/// happened it is not asked to, since its library would do so by itself.
pub fn failed(error: StoreError) -> Status {
    let message = error.to_string();
    let again = Details { retry_after_seconds: 1, ..Details::default() };
    match error {
        StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::Closed => {
            Status::failure(503, "ServiceUnavailable", message).with_details(again)
        }
        StoreError::Busy(_) => Status::failure(429, "TooManyRequests", message).with_details(again),
        StoreError::NoSpace(_) => Status::failure(507, "InsufficientStorage", message).with_details(again),
        StoreError::InDoubt(_) => Status::failure(504, "Timeout", message),
        StoreError::TooLarge(why) => Status::too_large(why),
        other => Status::internal(other),
    }
}

/// Where the metadata's first field begins. Only apiVersion and kind can come before it.
fn metadata_at(bytes: &[u8]) -> Option<usize> {
    let head = &bytes[..bytes.len().min(512)];
    head.windows(METADATA.len()).position(|window| window == METADATA).map(|at| at + METADATA.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_revision_is_put_in_and_replaced() {
        let tree = json!({"data": {"a": "1"}, "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "resourceVersion": "3"}});
        let stored = encode(&tree);
        assert_eq!(stored, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}"#);
        let seven = with_revision(&stored, Revision(7));
        assert_eq!(
            seven,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"7","name":"c"},"data":{"a":"1"}}"#
        );
        assert_eq!(with_revision(&seven, Revision(8)), with_revision(&stored, Revision(8)));
        assert_eq!(with_revision(&seven, Revision(7)).as_ptr(), seven.as_ptr(), "the same bytes are shared");
        assert_eq!(list_item(&stored).unwrap(), br#""metadata":{"name":"c"},"data":{"a":"1"}}"#);
    }

    #[test]
    fn a_store_that_fails_is_told_so_that_clients_know_what_to_do() {
        let why = || "w".to_owned();
        let cases = [
            (StoreError::Unavailable(why()), "503 ServiceUnavailable again in 1: the store does not answer: w"),
            (StoreError::Denied(why()), "503 ServiceUnavailable again in 1: the store refuses this server: w"),
            (StoreError::Busy(why()), "429 TooManyRequests again in 1: the store has too much to do: w"),
            (StoreError::NoSpace(why()), "507 InsufficientStorage again in 1: no space left: w"),
            (
                StoreError::InDoubt(why()),
                "504 Timeout again in 0: the store's answer was lost, and the write may or may not have happened: w",
            ),
            (StoreError::TooLarge(why()), "413 RequestEntityTooLarge again in 0: Request entity too large: w"),
            (StoreError::Io(why()), "500 InternalError again in 0: Internal error occurred: store I/O failed: w"),
        ];
        for (error, expected) in cases {
            let status = failed(error);
            let again = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            assert_eq!(format!("{} {} again in {again}: {}", status.code, status.reason, status.message), expected);
        }
    }

    #[test]
    fn keys_are_taken_apart_as_they_were_made() {
        let pods = Gvr::new("", "v1", "pods");
        let pod = key(&pods, &Key::new("n", "a"));
        assert_eq!(&*pod, b"/registry/core/pods/n/a");
        assert_eq!(split_key(&pod), Some((&b"/registry/core/pods/"[..], Key::new("n", "a"))));
        let nodes = Gvr::new("", "v1", "nodes");
        assert_eq!(split_key(&key(&nodes, &Key::cluster("n1"))).unwrap().1, Key::cluster("n1"));
    }
}
