//! `'%d of %s'.format([1, 'x'])`.

use super::{Outcome, Row, error, no_overload, strings, time};
use crate::value::Value;

const PRECISION: usize = 6;
const PRECISION_MAX: usize = 1000;

pub const TABLE: &[Row] = &[("format", "string.(list(dyn)) string", |_, args| match args {
    [Value::Text(pattern), list] if list.is_list() => format(pattern, &list.items()),
    _ => no_overload(),
})];

fn format<'a>(pattern: &str, args: &[Value<'a>]) -> Outcome<'a> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, verb, after) = match clause(rest) {
            Ok(clause) => clause,
            Err(why) => return error(format!("could not parse formatting clause: {why}")),
        };
        rest = after;
        let Some(arg) = args.get(next) else { return error(format!("index {next} out of range")) };
        next += 1;
        match one(verb, precision, arg) {
            Ok(text) => out.push_str(&text),
            Err(why) => return error(format!("error during formatting: {why}")),
        }
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

/// The precision, the verb and what comes behind it.
fn clause(text: &str) -> Result<(usize, char, &str), String> {
    let mut precision = PRECISION;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c: char| !c.is_ascii_digit()).ok_or("could not find end of precision specifier")?;
        precision = after[..end].parse().map_err(|_| "error while converting precision to integer".to_owned())?;
        rest = &after[end..];
    }
    if precision > PRECISION_MAX {
        return Err(format!("precision {precision} exceeds {PRECISION_MAX}"));
    }
    let verb = rest.chars().next().ok_or("unexpected end of string")?;
    if !matches!(verb, 's' | 'd' | 'f' | 'e' | 'b' | 'x' | 'X' | 'o') {
        return Err(format!("unrecognized formatting clause \"{verb}\""));
    }
    Ok((precision, verb, &rest[verb.len_utf8()..]))
}

fn one(verb: char, precision: usize, arg: &Value<'_>) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{what}, was given {}", arg.ty().name()));
    match (verb, arg) {
        ('s', value) => Ok(text(value, false)),
        ('d', Value::Int(value)) => Ok(value.to_string()),
        ('d', Value::Uint(value)) => Ok(value.to_string()),
        ('d', _) => wrong("decimal clause can only be used on integers"),
        ('f', value) => match number(value) {
            Some(value) => Ok(format!("{value:.precision$}")),
            None => wrong("fixed-point clause can only be used on doubles"),
        },
        ('e', value) => match number(value) {
            Some(value) => {
                let text = format!("{value:.precision$e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or_default();
                Ok(format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()))
            }
            None => wrong("scientific clause can only be used on doubles"),
        },
        ('b', Value::Bool(value)) => Ok(u8::from(*value).to_string()),
        ('b', Value::Int(value)) => Ok(signed(*value, |value| format!("{value:b}"))),
        ('b', Value::Uint(value)) => Ok(format!("{value:b}")),
        ('b', _) => wrong("only integers and bools can be formatted as binary"),
        ('x', Value::Int(value)) => Ok(signed(*value, |value| format!("{value:x}"))),
        ('X', Value::Int(value)) => Ok(signed(*value, |value| format!("{value:X}"))),
        ('x', Value::Uint(value)) => Ok(format!("{value:x}")),
        ('X', Value::Uint(value)) => Ok(format!("{value:X}")),
        ('x' | 'X', Value::Text(text)) => Ok(hex(text.as_bytes(), verb == 'X')),
        ('x' | 'X', Value::Bytes(bytes)) => Ok(hex(bytes, verb == 'X')),
        ('x' | 'X', _) => wrong("only integers, byte buffers, and strings can be formatted as hex"),
        ('o', Value::Int(value)) => Ok(signed(*value, |value| format!("{value:o}"))),
        ('o', Value::Uint(value)) => Ok(format!("{value:o}")),
        _ => wrong("octal clause can only be used on integers"),
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::Text(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => text.parse().ok(),
        _ => None,
    }
}

fn signed(value: i64, digits: fn(u64) -> String) -> String {
    format!("{}{}", if value < 0 { "-" } else { "" }, digits(value.unsigned_abs()))
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
}

/// A value as a text; texts inside lists and maps are quoted.
pub fn text(value: &Value<'_>, inside: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => format!("{value}"),
        Value::Text(text) if inside => strings::quote(text),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Timestamp(at) => at.to_string(),
        Value::Type(ty) => ty.name(),
        value if value.is_list() => {
            let items: Vec<String> = value.items().iter().map(|item| text(item, true)).collect();
            format!("[{}]", items.join(", "))
        }
        value if value.is_map() => {
            let entry = |key: &Value<'_>| {
                let of = value.entry(key).unwrap_or(Value::Null);
                format!("{}: {}", text(key, true), text(&of, true))
            };
            let entries: Vec<String> = value.keys().iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.ty().name(),
    }
}
