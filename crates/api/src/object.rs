//! An API object in flight between store, caches and consumers: its encoded JSON, and the few fields that are indexed.
//!
//! The JSON is held once, as the bytes that a client is sent. A tree or a typed struct exists only while somebody
//! needs it ([`Object::tree`], [`Object::typed`]). Cloning an object clones a pointer.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::field;
use crate::name::Key;
use crate::revision::Revision;
use crate::typed::Typed;

/// Why bytes are not an object.
#[derive(Debug, thiserror::Error)]
#[error("not a Kubernetes object: {0}")]
pub struct DecodeError(#[from] serde_json::Error);

#[derive(Clone, Debug)]
pub struct Object(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    meta: Meta,
    fields: Box<[Box<str>]>,
    json: Bytes,
}

/// The fields of an object's metadata (and its type) that code reads without decoding the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub key: Option<Key>,
    pub uid: Box<str>,
    pub revision: Revision,
    pub generation: i64,
    /// Sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    pub owner_references: Box<[OwnerReference]>,
    pub finalizers: Box<[Box<str>]>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    #[serde(default)]
    pub controller: bool,
    #[serde(default)]
    pub block_owner_deletion: bool,
}

impl Object {
    /// Reads the indexed parts out of encoded JSON. `fields` are the paths (`spec.nodeName`) whose values
    /// [`Object::field`] gives back by position.
    pub fn decode(json: Bytes, fields: &[&str]) -> Result<Self, DecodeError> {
        let wire: WireObject<'_> = serde_json::from_slice(&json)?;
        let values = field::extract(&json, fields)?;
        Ok(Self(Arc::new(Inner { meta: wire.into_meta(), fields: values, json })))
    }

    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    pub fn name(&self) -> &str {
        self.0.meta.key.as_ref().map_or("", |key| &key.name)
    }

    /// Empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.0.meta.key.as_ref().map_or("", |key| &key.namespace)
    }

    pub fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    pub fn uid(&self) -> &str {
        &self.0.meta.uid
    }

    pub fn revision(&self) -> Revision {
        self.0.meta.revision
    }

    pub fn is_deleting(&self) -> bool {
        self.0.meta.deletion_timestamp.is_some()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = &self.0.meta.labels;
        labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|i| &*labels[i].1)
    }

    /// The owner that has `controller: true`.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.0.meta.owner_references.iter().find(|owner| owner.controller)
    }

    /// The value of the indexed field at `position` of the list given to [`Object::decode`]; empty when unset.
    pub fn field(&self, position: usize) -> &str {
        self.0.fields.get(position).map_or("", |value| value)
    }

    pub fn json(&self) -> &Bytes {
        &self.0.json
    }

    /// The object as a tree, for code that works by schema.
    pub fn tree(&self) -> Result<serde_json::Value, DecodeError> {
        Ok(serde_json::from_slice(&self.0.json)?)
    }

    /// The object as a typed struct, for code that knows its kind.
    pub fn typed<T: Typed>(&self) -> Result<T, DecodeError> {
        Ok(T::decode(&self.0.json)?)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireObject<'a> {
    #[serde(default, borrow)]
    api_version: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    metadata: WireMeta<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireMeta<'a> {
    #[serde(default, borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    namespace: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    uid: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    resource_version: std::borrow::Cow<'a, str>,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<Box<str>, Box<str>>>,
    #[serde(default)]
    owner_references: Option<Box<[OwnerReference]>>,
    #[serde(default)]
    finalizers: Option<Box<[Box<str>]>>,
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

impl WireObject<'_> {
    fn into_meta(self) -> Meta {
        let meta = self.metadata;
        let key = (!meta.name.is_empty()).then(|| Key::new(&meta.namespace, &meta.name));
        Meta {
            api_version: self.api_version.into(),
            kind: self.kind.into(),
            key,
            uid: meta.uid.into(),
            revision: meta.resource_version.parse().unwrap_or_default(),
            generation: meta.generation,
            labels: meta.labels.unwrap_or_default().into_iter().collect(),
            owner_references: meta.owner_references.unwrap_or_default(),
            finalizers: meta.finalizers.unwrap_or_default(),
            creation_timestamp: meta.creation_timestamp,
            deletion_timestamp: meta.deletion_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_gives_its_indexed_parts_and_keeps_its_bytes() {
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7",
            "labels":{"b":"2","a":"1"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"x","controller":true}]},
            "spec":{"nodeName":"n1"}}"#;
        let pod = Object::decode(Bytes::from_static(json.as_bytes()), &["spec.nodeName", "status.phase"]).unwrap();
        assert_eq!(pod.key(), Key::new("n", "a"));
        assert_eq!(pod.revision(), Revision(7));
        assert_eq!((pod.label("a"), pod.label("c")), (Some("1"), None));
        assert_eq!(pod.controller().map(|owner| &*owner.name), Some("r"));
        assert_eq!((pod.field(0), pod.field(1)), ("n1", ""));
        assert_eq!(pod.json(), json.as_bytes());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(Object::decode(Bytes::from_static(b"{"), &[]).is_err());
    }
}
