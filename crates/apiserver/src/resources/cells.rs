//! What many kinds' table cells have in common: a text, a count, or a word that stands for nothing.

use serde_json::Value;

use crate::tree;

pub const NONE: &str = "<none>";
pub const UNSET: &str = "<unset>";

/// The text at `path`, or `absent` when there is none.
pub fn text_or(object: &Value, path: &str, absent: &str) -> Value {
    match tree::text(object, path) {
        "" => absent.into(),
        text => text.into(),
    }
}

/// The text, or the word for nothing.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

/// Texts with commas between, or `absent` when there are none.
pub fn joined_or(texts: &[&str], absent: &str) -> Value {
    if texts.is_empty() { absent.into() } else { texts.join(",").into() }
}

pub fn count(object: &Value, path: &str) -> Value {
    tree::list(object, path).len().into()
}
