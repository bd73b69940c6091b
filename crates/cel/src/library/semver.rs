//! Semantic versions, as upstream's library (blang/semver) reads them.

use std::cmp::Ordering;
use std::rc::Rc;

use super::opaque::Opaque;
use super::{Fault, Outcome, Row, error};
use crate::value::Value;

#[derive(Clone, Debug)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
}

/// Numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

pub const TABLE: &[Row] = &[
    ("semver", "(string) semver", |_, a| version(a)),
    ("semver", "(string, bool) semver", |_, a| version(a)),
    ("isSemver", "(string) bool", |_, a| Ok(Value::Bool(version(a).is_ok()))),
    ("isSemver", "(string, bool) bool", |_, a| Ok(Value::Bool(version(a).is_ok()))),
    ("major", "semver.() int", |_, a| number(a, 0)),
    ("minor", "semver.() int", |_, a| number(a, 1)),
    ("patch", "semver.() int", |_, a| number(a, 2)),
    ("isGreaterThan", "semver.(semver) bool", |_, a| Ok(Value::Bool(order(a)?.is_gt()))),
    ("isLessThan", "semver.(semver) bool", |_, a| Ok(Value::Bool(order(a)?.is_lt()))),
    ("compareTo", "semver.(semver) int", |_, a| Ok(Value::Int(order(a)? as i64))),
];

fn version<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let text = args[0].as_text().unwrap_or_default();
    let normalized = matches!(args.get(1), Some(Value::Bool(true)));
    let parsed = if normalized { normalize(text).and_then(|text| Semver::parse(&text)) } else { Semver::parse(text) };
    parsed.map_or_else(error, |version| Ok(Value::Opaque(Rc::new(Opaque::Semver(version)))))
}

fn of<'v>(value: &'v Value<'_>) -> Result<&'v Semver, Fault> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Semver(version) => Ok(version),
            _ => Err(Fault::Error("no such overload".to_owned())),
        },
        _ => Err(Fault::Error("no such overload".to_owned())),
    }
}

fn number<'a>(args: &[Value<'a>], at: usize) -> Outcome<'a> {
    Ok(Value::Int(i64::try_from(of(&args[0])?.numbers[at]).unwrap_or(i64::MAX)))
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Fault> {
    Ok(of(&args[0])?.compare(of(&args[1])?))
}

impl Semver {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let numbers = [component(major, "Major")?, component(minor, "Minor")?, component(patch, "Patch")?];
        let pre = pre.into_iter().flat_map(|pre| pre.split('.')).map(identifier).collect::<Result<_, _>>()?;
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !is_plain(part) {
                return Err(format!("Invalid character(s) found in build meta data {}", api::go::quote(part)));
            }
        }
        Ok(Self { numbers, pre })
    }

    /// A version comes after its own pre-releases.
    pub fn compare(&self, other: &Self) -> Ordering {
        let pre = match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        };
        self.numbers.cmp(&other.numbers).then(pre)
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn component(text: &str, name: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let name = name.to_lowercase();
        return Err(format!("Invalid character(s) found in {name} number {}", api::go::quote(text)));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{name} number must not contain leading zeroes {}", api::go::quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", api::go::quote(text)))
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            let quoted = api::go::quote(text);
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {quoted}"));
        }
        return text.parse().map(Identifier::Number).map_err(|_| "value out of range".to_owned());
    }
    if is_plain(text) {
        return Ok(Identifier::Text(text.to_owned()));
    }
    Err(format!("Invalid character(s) found in prerelease {}", api::go::quote(text)))
}

/// Without a leading `v`, leading zeros and with all three numbers.
fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
    for part in parts.iter_mut().filter(|part| part.len() > 1) {
        let trimmed = part.trim_start_matches('0');
        let digit = trimmed.starts_with(|c: char| c.is_ascii_digit());
        *part = if digit { trimmed.to_owned() } else { format!("0{trimmed}") };
    }
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    Ok(parts.join("."))
}
