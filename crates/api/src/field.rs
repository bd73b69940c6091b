//! The values at dotted paths of an object (`spec.nodeName`), read without building the object: what field selectors and
//! indexes work by.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The texts of the fields at `paths`, in their order. Strings are as they are, numbers and booleans printed, anything else
/// (and what is absent) is empty.
pub fn extract(json: &[u8], paths: &[&str]) -> Result<Box<[Box<str>]>, serde_json::Error> {
    if paths.is_empty() {
        return Ok(Box::default());
    }
    let mut found = vec![Box::<str>::default(); paths.len()].into_boxed_slice();
    let wanted: Vec<(&str, usize)> = paths.iter().copied().zip(0..).collect();
    let mut source = serde_json::Deserializer::from_slice(json);
    Walk { wanted, found: &mut found }.deserialize(&mut source)?;
    source.end()?;
    Ok(found)
}

/// The same for one path of a tree.
pub fn field_text(tree: &Value, path: &str) -> String {
    let mut at = tree;
    for step in path.split('.') {
        match at.get(step) {
            Some(next) => at = next,
            None => return String::new(),
        }
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

/// Reads one value. `wanted` are the paths from here, with the position of each; an empty path means this value.
struct Walk<'p, 'f> {
    wanted: Vec<(&'p str, usize)>,
    found: &'f mut [Box<str>],
}

impl Walk<'_, '_> {
    fn scalar(self, text: &str) {
        for (path, at) in &self.wanted {
            if path.is_empty() {
                self.found[*at] = text.into();
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<(), A::Error> {
        while source.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<(), A::Error> {
        while let Some(name) = source.next_key::<Cow<'de, str>>()? {
            let below: Vec<(&str, usize)> = self
                .wanted
                .iter()
                .filter_map(|(path, at)| {
                    let rest = path.strip_prefix(&*name)?;
                    rest.strip_prefix('.').or(rest.is_empty().then_some("")).map(|rest| (rest, *at))
                })
                .filter(|_| !name.is_empty())
                .collect();
            if below.is_empty() {
                source.next_value::<IgnoredAny>()?;
            } else {
                source.next_value_seed(Walk { wanted: below, found: &mut *self.found })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_path_and_anything_but_a_scalar_is_empty() {
        let json =
            br#"{"spec":{"nodeName":"n\u0031","replicas":3,"paused":true,"list":["x"]},"type":"Opaque","status":null}"#;
        let paths = ["type", "spec.nodeName", "spec.replicas", "spec.paused", "spec.list", "spec", "status.phase"];
        let found = extract(json, &paths).unwrap();
        assert_eq!(found.iter().map(|text| &**text).collect::<Vec<_>>(), ["Opaque", "n1", "3", "true", "", "", ""]);
        let tree: Value = serde_json::from_slice(json).unwrap();
        let texts: Vec<Box<str>> = paths.iter().map(|path| field_text(&tree, path).into()).collect();
        assert_eq!(*texts, *found);
    }
}
