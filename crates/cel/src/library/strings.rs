//! Functions of texts: the standard ones, and those of cel-go's extension in version 2.

use super::{Outcome, Row, error, no_overload, texts};
use crate::library::Regexes;
use crate::value::Value;

pub const STANDARD: &[Row] = &[
    ("contains", "string.(string) bool", |_, a| test(a, |text, part| text.contains(part))),
    ("startsWith", "string.(string) bool", |_, a| test(a, |text, part| text.starts_with(part))),
    ("endsWith", "string.(string) bool", |_, a| test(a, |text, part| text.ends_with(part))),
    ("matches", "string.(string) bool", matches),
    ("matches", "(string, string) bool", matches),
];

pub const TABLE: &[Row] = &[
    ("charAt", "string.(int) string", |_, a| char_at(a)),
    ("indexOf", "string.(string) int", |_, a| index_of(a)),
    ("indexOf", "string.(string, int) int", |_, a| index_of(a)),
    ("lastIndexOf", "string.(string) int", |_, a| last_index_of(a)),
    ("lastIndexOf", "string.(string, int) int", |_, a| last_index_of(a)),
    ("join", "list(string).() string", |_, a| join(a)),
    ("join", "list(string).(string) string", |_, a| join(a)),
    ("lowerAscii", "string.() string", |_, a| change(a, str::to_ascii_lowercase)),
    ("upperAscii", "string.() string", |_, a| change(a, str::to_ascii_uppercase)),
    ("trim", "string.() string", |_, a| change(a, |text| text.trim().to_owned())),
    ("replace", "string.(string, string) string", |_, a| replace(a)),
    ("replace", "string.(string, string, int) string", |_, a| replace(a)),
    ("split", "string.(string) list(string)", |_, a| split(a)),
    ("split", "string.(string, int) list(string)", |_, a| split(a)),
    ("substring", "string.(int) string", |_, a| substring(a)),
    ("substring", "string.(int, int) string", |_, a| substring(a)),
    ("strings.quote", "(string) string", |_, a| change(a, quote)),
];

fn test<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(holds(text, part))),
        _ => no_overload(),
    }
}

fn change<'a>(args: &[Value<'a>], changed: fn(&str) -> String) -> Outcome<'a> {
    args[0].as_text().map_or_else(no_overload, |text| Ok(Value::text(changed(text))))
}

fn matches<'a>(regexes: &Regexes, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(pattern)] => {
            regexes.with(pattern, |regex| regex.is_match(text)).map(Value::Bool)
        }
        _ => no_overload(),
    }
}

fn out_of_range<'a>(index: i64) -> Outcome<'a> {
    error(format!("index out of range: {index}"))
}

fn position(index: i64, max: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|index| *index <= max)
}

fn char_at<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Text(text), Value::Int(index)] = args else { return no_overload() };
    let Some(at) = position(*index, text.chars().count()) else { return out_of_range(*index) };
    Ok(Value::text(text.chars().nth(at).map(String::from).unwrap_or_default()))
}

fn found<'a>(at: Option<usize>) -> Outcome<'a> {
    Ok(Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)))
}

fn index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::Text(text), Value::Text(part)] => (text, part, 0),
        [Value::Text(text), Value::Text(part), Value::Int(from)] => (text, part, *from),
        _ => return no_overload(),
    };
    let (chars, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let Some(from) = position(from, if part.is_empty() { usize::MAX } else { chars.len() }) else {
        return out_of_range(from);
    };
    if part.is_empty() {
        return found(Some(from.min(chars.len())));
    }
    found((from..chars.len()).find(|at| chars[*at..].starts_with(&part)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::Text(text), Value::Text(part)] => (text, part, None),
        [Value::Text(text), Value::Text(part), Value::Int(from)] => (text, part, Some(*from)),
        _ => return no_overload(),
    };
    let (chars, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let last = match from {
        None => chars.len(),
        Some(from) => match position(from, chars.len()) {
            Some(from) => from,
            None => return out_of_range(from),
        },
    };
    found((0..=last.min(chars.len())).rev().find(|at| chars[*at..].starts_with(&part)))
}

fn join<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let separator = args.get(1).and_then(Value::as_text).unwrap_or_default();
    let items = args[0].items();
    let parts: Option<Vec<&str>> = items.iter().map(Value::as_text).collect();
    parts.map_or_else(no_overload, |parts| Ok(Value::text(parts.join(separator))))
}

fn replace<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(old), Value::Text(new)] => Ok(Value::text(text.replace(&**old, new))),
        [Value::Text(text), Value::Text(old), Value::Text(new), Value::Int(most)] => {
            Ok(Value::text(match usize::try_from(*most) {
                Ok(most) => text.replacen(&**old, new, most),
                Err(_) => text.replace(&**old, new),
            }))
        }
        _ => no_overload(),
    }
}

fn split<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, most) = match args {
        [Value::Text(text), Value::Text(separator)] => (text, separator, usize::MAX),
        [Value::Text(text), Value::Text(separator), Value::Int(most)] => {
            (text, separator, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return no_overload(),
    };
    if separator.is_empty() {
        let chars: Vec<char> = text.chars().collect();
        let count = chars.len().min(most);
        let last = |at: usize| if at + 1 == count { chars.len() } else { at + 1 };
        return Ok(texts((0..count).map(|at| chars[at..last(at)].iter().collect())));
    }
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    Ok(texts(text.splitn(most, &**separator).map(str::to_owned)))
}

fn substring<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (Value::Text(text), Value::Int(start)) = (&args[0], &args[1]) else { return no_overload() };
    let chars: Vec<char> = text.chars().collect();
    let Some(from) = position(*start, chars.len()) else { return out_of_range(*start) };
    let to = match args.get(2) {
        None => chars.len(),
        Some(Value::Int(end)) => match position(*end, chars.len()) {
            Some(to) => {
                if from > to {
                    return error(format!("invalid substring range. start: {start}, end: {end}"));
                }
                to
            }
            None => return out_of_range(*end),
        },
        Some(_) => return no_overload(),
    };
    Ok(Value::text(chars[from..to].iter().collect::<String>()))
}

/// With the escapes that a literal of an expression would need.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
