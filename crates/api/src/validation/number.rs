//! Numbers, and what may be a number or a percentage (`intstr.IntOrString`).

use serde_json::Value;

use super::cause::Path;
use crate::status::Cause;

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// Nothing is wrong with a number that is absent.
pub fn nonnegative(value: Option<&Value>, path: &Path) -> Option<Cause> {
    let number = value?.as_i64().filter(|number| *number < 0)?;
    Some(path.invalid(number, "must be greater than or equal to 0"))
}

/// A number that is not negative, or a percentage.
pub fn nonnegative_or_percent(value: &Value, path: &Path) -> Option<Cause> {
    match value.as_str() {
        Some(text) if percent(text).is_none() => Some(path.invalid(text, PERCENT)),
        Some(_) => None,
        None => nonnegative(Some(value), path),
    }
}

/// Numbers have no such bound.
pub fn at_most_100_percent(value: &Value, path: &Path) -> Option<Cause> {
    let over = value.as_str().and_then(percent).is_some_and(|number| number > 100);
    over.then(|| path.invalid(value.clone(), "must not be greater than 100%"))
}

/// The number before the percent sign, or the number itself; zero for anything else.
pub fn number_or_percent(value: &Value) -> i64 {
    match value.as_str() {
        Some(text) => percent(text).or_else(|| text.parse().ok()).unwrap_or_default(),
        None => value.as_i64().unwrap_or_default(),
    }
}

fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(i64::MAX))
}
