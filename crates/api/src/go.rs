//! Values as Go's `fmt` prints them, which upstream's messages show.

use std::fmt::Write as _;

use serde_json::Value;

/// `%q`: a text in quotes, with what cannot be printed escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                // Writing to a String cannot fail.
                write!(out, "\\x{:02x}", u32::from(c)).ok();
            }
            c if c.is_control()
                || (c.is_whitespace() && c != ' ')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}') =>
            {
                write!(out, "\\u{:04x}", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `%v` of a tree: `map[a:1 b:[x y]]`.
pub fn value(tree: &Value) -> String {
    match tree {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(name, one)| format!("{name}:{}", value(one))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let rows = [
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\n\t\u{1}\u{7f}", r#""\a\n\t\x01\x7f""#),
            ("'é ☃\u{a0}\u{85}", r#""'é ☃\u00a0\u0085""#),
        ];
        for (text, quoted) in rows {
            assert_eq!(quote(text), quoted);
        }
        let tree = serde_json::json!({"b": [1, "x", null], "a": {"c": true}});
        assert_eq!(value(&tree), "map[a:map[c:true] b:[1 x <nil>]]");
    }
}
