//! What a call costs when it is made, in upstream's units: about a tenth a character that is looked at.

use crate::library::opaque::Opaque;
use crate::value::Value;

/// A character that is looked at.
pub const CHARACTER: f64 = 0.1;
/// A character of a regular expression, for each ten of the text.
pub const PATTERN_CHARACTER: f64 = 0.25;
pub const LIST: u64 = 10;
pub const MAP: u64 = 30;

/// `count * factor`, rounded up.
pub fn scaled(count: u64, factor: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cost = (count as f64 * factor).ceil() as u64;
    cost
}

fn size(value: &Value<'_>) -> u64 {
    value.size().map_or(1, |size| size as u64)
}

fn characters(value: &Value<'_>) -> u64 {
    scaled(size(value), CHARACTER)
}

/// A call with its arguments (the receiver first) and its result.
pub fn call(function: &str, args: &[Value<'_>], result: &Value<'_>) -> u64 {
    match (function, args) {
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", [of, ..]) => traversal(of),
        ("url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR", [of, ..]) => {
            characters(of)
        }
        ("ip", [Value::Opaque(_)]) => 1,
        ("ip" | "quantity" | "isQuantity" | "semver" | "isSemver", [of, ..]) => characters(of),
        ("replace" | "split" | "ip.isCanonical", [of, ..]) => scaled(size(of), 2.0 * CHARACTER),
        ("join", _) => scaled(size(result), 2.0 * CHARACTER),
        ("find" | "findAll" | "matches", [text, pattern, ..]) => {
            scaled(1 + size(text), CHARACTER) * scaled(size(pattern), PATTERN_CHARACTER)
        }
        ("containsIP" | "containsCIDR", [network, other]) => {
            let own = size(network);
            let masked = if function == "containsCIDR" { scaled(own, CHARACTER) + 1 } else { 0 };
            let parsed = if matches!(other, Value::Text(_)) { characters(other) } else { 0 };
            scaled(2 * own, CHARACTER) + masked + parsed
        }
        ("validate", [Value::Opaque(opaque), text]) => match &**opaque {
            Opaque::Format(format) => {
                scaled(1 + size(text), CHARACTER) * scaled(format.regex_len as u64, PATTERN_CHARACTER)
            }
            _ => 1,
        },
        ("sets.contains" | "sets.intersects", [a, b]) => 1 + size(a) * size(b),
        ("sets.equivalent", [a, b]) => 1 + 2 * size(a) * size(b),
        ("_==_" | "_!=_", [Value::Opaque(_), _]) => 1,
        ("_==_" | "_!=_", [a, b]) => scaled(size(a).min(size(b)), CHARACTER),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [a @ (Value::Text(_) | Value::Bytes(_)), b]) => {
            scaled(size(a).min(size(b)), CHARACTER)
        }
        ("_+_", [a @ (Value::Text(_) | Value::Bytes(_)), b]) => scaled(size(a) + size(b), CHARACTER),
        ("startsWith" | "endsWith", [of, ..]) => characters(of),
        ("string", [of @ Value::Bytes(_)]) | ("bytes", [of @ Value::Text(_)]) => characters(of),
        ("contains", [text, part]) => characters(text) * characters(part),
        ("@in", [_, list]) if list.is_list() => size(list),
        _ => 1,
    }
}

/// Everything in a value looked at once.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::Text(_) | Value::Bytes(_) => size(value) / 10,
        list if list.is_list() => list.items().iter().map(traversal).sum(),
        map if map.is_map() => {
            let of = |key: &Value<'_>| map.entry(key).map_or(0, |value| traversal(&value));
            map.keys().iter().map(|key| traversal(key) + of(key)).sum()
        }
        _ => 1,
    }
}
