//! Conversions between the standard types.

use super::{Outcome, Row, error, no_overload, time};
use crate::types::Type;
use crate::value::Value;

pub const TABLE: &[Row] = &[
    ("int", "(int) int", |_, a| same(a)),
    ("int", "(uint) int", |_, a| to_int(a)),
    ("int", "(double) int", |_, a| to_int(a)),
    ("int", "(string) int", |_, a| to_int(a)),
    ("int", "(timestamp) int", |_, a| to_int(a)),
    ("int", "(duration) int", |_, a| to_int(a)),
    ("uint", "(uint) uint", |_, a| same(a)),
    ("uint", "(int) uint", |_, a| to_uint(a)),
    ("uint", "(double) uint", |_, a| to_uint(a)),
    ("uint", "(string) uint", |_, a| to_uint(a)),
    ("double", "(double) double", |_, a| same(a)),
    ("double", "(int) double", |_, a| to_double(a)),
    ("double", "(uint) double", |_, a| to_double(a)),
    ("double", "(string) double", |_, a| to_double(a)),
    ("string", "(string) string", |_, a| same(a)),
    ("string", "(bool) string", |_, a| to_text(a)),
    ("string", "(bytes) string", |_, a| to_text(a)),
    ("string", "(double) string", |_, a| to_text(a)),
    ("string", "(duration) string", |_, a| to_text(a)),
    ("string", "(int) string", |_, a| to_text(a)),
    ("string", "(timestamp) string", |_, a| to_text(a)),
    ("string", "(uint) string", |_, a| to_text(a)),
    ("bytes", "(bytes) bytes", |_, a| same(a)),
    ("bytes", "(string) bytes", |_, a| to_bytes(a)),
    ("bool", "(bool) bool", |_, a| same(a)),
    ("bool", "(string) bool", |_, a| to_bool(a)),
    ("timestamp", "(timestamp) timestamp", |_, a| same(a)),
    ("timestamp", "(int) timestamp", |_, a| to_timestamp(a)),
    ("timestamp", "(string) timestamp", |_, a| to_timestamp(a)),
    ("duration", "(duration) duration", |_, a| same(a)),
    ("duration", "(int) duration", |_, a| to_duration(a)),
    ("duration", "(string) duration", |_, a| to_duration(a)),
];

fn same<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(args[0].clone())
}

fn failed<'a>(from: &Value<'a>, to: &Type) -> Outcome<'a> {
    error(format!("type conversion error from '{}' to '{}'", from.ty().name(), to.name()))
}

fn to_int<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let value = match &args[0] {
        Value::Uint(value) => i64::try_from(*value).ok(),
        Value::Double(value) if (-9.223_372_036_854_775e18..9.223_372_036_854_775e18).contains(value) => {
            #[allow(clippy::cast_possible_truncation)] // What is cut is the fraction.
            let value = *value as i64;
            Some(value)
        }
        Value::Double(_) => None,
        Value::Timestamp(at) => Some(at.as_second()),
        Value::Duration(nanos) => Some(*nanos),
        from @ Value::Text(text) => match text.parse() {
            Ok(value) => Some(value),
            Err(_) => return failed(from, &Type::Int),
        },
        _ => return no_overload(),
    };
    value.map_or_else(|| error("integer overflow"), |value| Ok(Value::Int(value)))
}

fn to_uint<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let value = match &args[0] {
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::Double(value) if (0.0..1.844_674_407_370_955e19).contains(value) => {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // What is cut is the fraction.
            let value = *value as u64;
            Some(value)
        }
        Value::Double(_) => None,
        from @ Value::Text(text) => match text.parse() {
            Ok(value) => Some(value),
            Err(_) => return failed(from, &Type::Uint),
        },
        _ => return no_overload(),
    };
    value.map_or_else(|| error("unsigned integer overflow"), |value| Ok(Value::Uint(value)))
}

fn to_double<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    #[allow(clippy::cast_precision_loss)] // So does upstream.
    match &args[0] {
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Uint(value) => Ok(Value::Double(*value as f64)),
        from @ Value::Text(text) => {
            text.parse().map_or_else(|_| failed(from, &Type::Double), |value| Ok(Value::Double(value)))
        }
        _ => no_overload(),
    }
}

fn to_text<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::text(match &args[0] {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::Timestamp(at) => at.to_string(),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return error("invalid UTF-8 in bytes, cannot convert to string"),
        },
        _ => return no_overload(),
    }))
}

/// As Go's `%g` writes it in its shortest form.
fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn to_bytes<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    args[0].as_text().map_or_else(no_overload, |text| Ok(Value::Bytes(text.as_bytes().into())))
}

fn to_bool<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args[0].as_text() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Value::Bool(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Value::Bool(false)),
        _ => failed(&args[0], &Type::Bool),
    }
}

fn to_timestamp<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let at = match &args[0] {
        Value::Int(seconds) => jiff::Timestamp::from_second(*seconds).ok().filter(time::in_range),
        Value::Text(text) => match time::parse_timestamp(text) {
            Some(at) => Some(at).filter(time::in_range),
            None => return failed(&args[0], &Type::Timestamp),
        },
        _ => return no_overload(),
    };
    at.map_or_else(|| error("timestamp overflow"), |at| Ok(Value::Timestamp(at)))
}

fn to_duration<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match &args[0] {
        Value::Int(nanos) => Ok(Value::Duration(*nanos)),
        Value::Text(text) => {
            let parsed = time::parse_duration(text);
            parsed.map_or_else(|| failed(&args[0], &Type::Duration), |nanos| Ok(Value::Duration(nanos)))
        }
        _ => no_overload(),
    }
}
