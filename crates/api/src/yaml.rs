//! YAML in and out, read as kubectl reads it: octal modes (`0644`), `yes` and `on` as booleans, merge keys, the last of
//! equal keys, and floats that are whole as integers.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map as Json, Value};

/// Larger inputs are refused before they are parsed.
pub const BYTES_MAX: usize = 3 * 1024 * 1024;

/// Why a text is no YAML that we take.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    #[error("the document is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("yaml: invalid UTF-8: {0}")]
    Encoding(#[from] std::str::Utf8Error),
    #[error("yaml: {0}")]
    Syntax(String),
}

/// One document; JSON is YAML too. The empty document is null.
pub fn parse(bytes: &[u8]) -> Result<Value, YamlError> {
    let mut documents = parse_all(bytes)?;
    match documents.len() {
        0 => Ok(Value::Null),
        _ => Ok(documents.swap_remove(0)),
    }
}

/// All documents of a stream, without the empty ones.
pub fn parse_all(bytes: &[u8]) -> Result<Vec<Value>, YamlError> {
    if bytes.len() > BYTES_MAX {
        return Err(YamlError::TooLarge);
    }
    let text = std::str::from_utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Most bodies are JSON, which serde_json reads ten times faster; the two agree on what is JSON.
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(vec![value]);
    }
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| YamlError::Syntax(error.to_string()))?;
    Ok(documents.into_iter().map(whole_numbers).filter(|document| !document.is_null()).collect())
}

/// The fields that the first document has twice, in the words of upstream's reader: `line 3: key "a" already set in map`.
pub fn duplicates(bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let walked: Result<Vec<Walked>, _> = serde_saphyr::from_multiple_with_options(text, options);
    walked.ok().and_then(|documents| documents.into_iter().next()).map(|first| first.doubled).unwrap_or_default()
}

/// A value of which only the doubled keys are kept.
#[derive(Default)]
struct Walked {
    doubled: Vec<String>,
}

impl<'de> Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Walked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Walked, E> {
        Ok(Walked::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Walked, A::Error> {
        let mut doubled = Vec::new();
        while let Some(item) = source.next_element::<Walked>()? {
            doubled.extend(item.doubled);
        }
        Ok(Walked { doubled })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Walked, A::Error> {
        let mut doubled = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = source.next_key::<serde_saphyr::Spanned<String>>()? {
            doubled.extend(source.next_value::<Walked>()?.doubled);
            if !seen.insert(key.value.clone()) {
                doubled.push(format!("line {}: key {:?} already set in map", key.referenced.line(), key.value));
            }
        }
        Ok(Walked { doubled })
    }
}

/// A tree as YAML, in block style.
pub fn print(value: &Value) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError::Syntax(error.to_string()))
}

/// YAML 1.1 readers see `1e3` and `089` as floats; Kubernetes prints whole floats as integers.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                #[allow(clippy::cast_possible_truncation)] // A whole number of that size is exact.
                let whole = float as i64;
                Value::from(whole)
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(entries) => {
            Value::Object(entries.into_iter().map(|(key, value)| (key, whole_numbers(value))).collect::<Json<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let text = "mode: 0644\nyes: on\nfloat: 1e3\nnine: 089\nhalf: 0.5\nname: \"0644\"\ndup: 1\ndup: 2\nnone: ~\n";
        expect![[r#"{"dup":2,"float":1000,"half":0.5,"mode":420,"name":"0644","nine":89,"none":null,"yes":true}"#]]
            .assert_eq(&parse(text.as_bytes()).unwrap().to_string());
    }

    #[test]
    fn streams_hold_many_documents_and_empty_ones_are_skipped() {
        let documents = parse_all(b"---\na: 1\n---\n---\nb: 2\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(parse(b"").unwrap(), Value::Null);
        assert!(parse(b"a: [").is_err());
        assert!(matches!(parse(&vec![b' '; BYTES_MAX + 1]), Err(YamlError::TooLarge)));
    }

    #[test]
    fn doubled_keys_are_named_by_line() {
        let text = "a: 1\nb:\n  c: [{d: 1, d: 2}]\n  c: x\na: 2\n";
        expect![[r#"
            line 3: key "d" already set in map
            line 4: key "c" already set in map
            line 5: key "a" already set in map"#]]
        .assert_eq(&duplicates(text.as_bytes()).join("\n"));
        assert!(duplicates(b"a: 1\nb: [1, {a: 2}]").is_empty());
    }

    #[test]
    fn what_is_printed_reads_back() {
        let value = serde_json::json!({"a": [{"b": "yes", "c": "0644"}, "x\ny"], "e": {}, "n": null, "o": "on"});
        let text = print(&value).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), value, "{text}");
    }
}
