//! Timestamps and durations.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::{Fault, Outcome, Row, no_overload};
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

pub const TABLE: &[Row] = &[
    ("getFullYear", "timestamp.() int", |_, a| part(a, |at| at.year().into())),
    ("getFullYear", "timestamp.(string) int", |_, a| part(a, |at| at.year().into())),
    ("getMonth", "timestamp.() int", |_, a| part(a, |at| i64::from(at.month()) - 1)),
    ("getMonth", "timestamp.(string) int", |_, a| part(a, |at| i64::from(at.month()) - 1)),
    ("getDate", "timestamp.() int", |_, a| part(a, |at| at.day().into())),
    ("getDate", "timestamp.(string) int", |_, a| part(a, |at| at.day().into())),
    ("getDayOfMonth", "timestamp.() int", |_, a| part(a, |at| i64::from(at.day()) - 1)),
    ("getDayOfMonth", "timestamp.(string) int", |_, a| part(a, |at| i64::from(at.day()) - 1)),
    ("getDayOfWeek", "timestamp.() int", |_, a| part(a, |at| at.weekday().to_sunday_zero_offset().into())),
    ("getDayOfWeek", "timestamp.(string) int", |_, a| part(a, |at| at.weekday().to_sunday_zero_offset().into())),
    ("getDayOfYear", "timestamp.() int", |_, a| part(a, |at| i64::from(at.day_of_year()) - 1)),
    ("getDayOfYear", "timestamp.(string) int", |_, a| part(a, |at| i64::from(at.day_of_year()) - 1)),
    ("getHours", "timestamp.() int", |_, a| part(a, |at| at.hour().into())),
    ("getHours", "timestamp.(string) int", |_, a| part(a, |at| at.hour().into())),
    ("getHours", "duration.() int", |_, a| whole(a, 3600 * SECOND)),
    ("getMinutes", "timestamp.() int", |_, a| part(a, |at| at.minute().into())),
    ("getMinutes", "timestamp.(string) int", |_, a| part(a, |at| at.minute().into())),
    ("getMinutes", "duration.() int", |_, a| whole(a, 60 * SECOND)),
    ("getSeconds", "timestamp.() int", |_, a| part(a, |at| at.second().into())),
    ("getSeconds", "timestamp.(string) int", |_, a| part(a, |at| at.second().into())),
    ("getSeconds", "duration.() int", |_, a| whole(a, SECOND)),
    ("getMilliseconds", "timestamp.() int", |_, a| part(a, |at| at.millisecond().into())),
    ("getMilliseconds", "timestamp.(string) int", |_, a| part(a, |at| at.millisecond().into())),
    ("getMilliseconds", "duration.() int", |_, a| whole(a, 1_000_000)),
];

fn part<'a>(args: &[Value<'a>], of: fn(&Zoned) -> i64) -> Outcome<'a> {
    let (at, zone) = match args {
        [Value::Timestamp(at)] => (at, TimeZone::UTC),
        [Value::Timestamp(at), Value::Text(name)] => (at, zone(name)?),
        _ => return no_overload(),
    };
    Ok(Value::Int(of(&at.to_zoned(zone))))
}

fn whole<'a>(args: &[Value<'a>], unit: i64) -> Outcome<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => no_overload(),
    }
}

/// By its name, or as an offset (`-05:00`).
fn zone(name: &str) -> Result<TimeZone, Fault> {
    if let Some((hours, minutes)) = name.split_once(':') {
        let negative = hours.starts_with('-');
        let seconds = hours
            .parse::<i32>()
            .ok()
            .zip(minutes.parse::<i32>().ok())
            .map(|(hours, minutes)| hours * 3600 + if negative { -minutes } else { minutes } * 60);
        let offset = seconds.and_then(|seconds| Offset::from_seconds(seconds).ok());
        return offset.map(TimeZone::fixed).ok_or_else(|| unknown(name));
    }
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| unknown(name))
}

fn unknown(name: &str) -> Fault {
    Fault::Error(format!("unknown time zone {name}"))
}

/// The years 1 to 9999.
pub fn in_range(at: &Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&at.as_second())
}

/// RFC 3339, with a `T` and an offset.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let shaped = text.as_bytes().get(10) == Some(&b'T') && text.len() >= 20;
    text.parse().ok().filter(|_| shaped)
}

/// A day, as the format `date` has it.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let date: Date = text.parse().ok().filter(|_| text.len() == 10)?;
    date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// As Go reads durations: `1h30m`, `-1.5s`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        rest = after;
        let scale = i128::from(UNITS.iter().find(|(name, _)| *name == unit)?.1);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty())
            || whole.len() > 19
            || fraction.len() > 18
            || fraction.contains('.')
        {
            return None;
        }
        let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        total += parse(whole)? * scale;
        total += parse(fraction)? * scale / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// In seconds, as upstream writes durations as texts.
pub fn duration_text(nanos: i64) -> String {
    let (seconds, rest) = (nanos.unsigned_abs() / SECOND.unsigned_abs(), nanos.unsigned_abs() % SECOND.unsigned_abs());
    let sign = if nanos < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}
