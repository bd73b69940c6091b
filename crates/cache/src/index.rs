//! Ways to find objects by something other than their key, and the scan that they read encoded objects with.
//!
//! An index value is read straight from the bytes: no tree and no typed struct is built for it.

use std::fmt;

use api::{Key, Object};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A named way to find objects by a value other than their key.
#[derive(Clone, Copy)]
pub struct Index {
    pub name: &'static str,
    pub values: fn(&Object) -> Vec<Box<str>>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Pods by `spec.nodeName`; pods without a node are under the empty value.
pub const BY_NODE: Index = Index { name: "node", values: node };
/// Any object by the uid of each of its owners.
pub const BY_OWNER: Index = Index { name: "owner", values: owners };
/// Any object by the uid of its controlling owner; those without one are under the empty value.
pub const BY_CONTROLLER: Index = Index { name: "controller", values: controller };
/// EndpointSlices by the Service that they name, as its key is printed; see [`service_of`].
pub const BY_SERVICE: Index = Index { name: "service", values: service };
/// The label by which an EndpointSlice names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

fn node(object: &Object) -> Vec<Box<str>> {
    vec![text_at(object.json(), &["spec", "nodeName"]).unwrap_or_default().into()]
}

fn owners(object: &Object) -> Vec<Box<str>> {
    object.meta().owner_references.iter().map(|owner| owner.uid.clone()).collect()
}

fn controller(object: &Object) -> Vec<Box<str>> {
    vec![object.controller().map_or_else(Box::default, |owner| owner.uid.clone())]
}

fn service(slice: &Object) -> Vec<Box<str>> {
    service_of(slice).map(|key| key.to_string().into()).into_iter().collect()
}

/// The Service whose endpoints an EndpointSlice holds.
pub fn service_of(slice: &Object) -> Option<Key> {
    slice.label(SERVICE_NAME).map(|name| Key::new(slice.namespace(), name))
}

/// The text of the field at `path` in encoded JSON: strings as they are, numbers and booleans printed. `None` where
/// there is no such field, it is no scalar, or the bytes are no JSON.
pub fn text_at(json: &[u8], path: &[&str]) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    At(path).deserialize(&mut deserializer).ok().flatten()
}

/// Descends along the path and skips everything else.
struct At<'p>(&'p [&'p str]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl At<'_> {
    fn found(&self, text: impl ToString) -> Option<String> {
        self.0.is_empty().then(|| text.to_string())
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.found(text))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(self.found(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.found(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.found(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(self.found(number))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let (step, rest) = match self.0.split_first() {
            Some((step, rest)) => (Some(*step), rest),
            None => (None, &[][..]),
        };
        while let Some(here) = map.next_key_seed(Is(step))? {
            if here {
                found = map.next_value_seed(At(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a map's key is the wanted one.
struct Is<'p>(Option<&'p str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_found_at_its_path_and_nothing_else_is() {
        let json = br#"{"a":[1,{"b":2}],"spec":{"x":{"nodeName":"no"},"nodeName":"n1","n":3,"t":true,"z":null}}"#;
        let at = |path: &[&str]| text_at(json, path);
        assert_eq!(at(&["spec", "nodeName"]).as_deref(), Some("n1"));
        assert_eq!(at(&["spec", "n"]).as_deref(), Some("3"));
        assert_eq!(at(&["spec", "t"]).as_deref(), Some("true"));
        assert_eq!((at(&["spec", "z"]), at(&["spec"]), at(&["a", "b"]), at(&["nodeName"])), (None, None, None, None));
    }
}
