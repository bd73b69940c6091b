//! Schedules of CronJobs: five fields, or a name such as `@daily`, or `@every 90m`.
//!
//! Grammar, texts and reckoning are those of github.com/robfig/cron/v3, which upstream uses: where both the day of the
//! month and the day of the week are restricted, either is enough. Time zones come from the data built in.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// How far ahead a time is looked for, as not every schedule has one (the 30th of February).
const YEARS_MAX: i16 = 5;

/// When something is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    times: Times,
    /// The zone that the text itself names (`CRON_TZ=`).
    zone: Option<TimeZone>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Times {
    Every(Duration),
    Fields { minute: Field, hour: Field, day: Field, month: Field, weekday: Field },
}

/// The numbers that match, as bits. `any` is a star without a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    any: bool,
}

struct Bounds {
    low: i64,
    high: i64,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { low: 0, high: 59, names: &[] };
const HOURS: Bounds = Bounds { low: 0, high: 23, names: &[] };
const DAYS: Bounds = Bounds { low: 1, high: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Whether there is a time zone of this name.
pub fn is_zone(name: &str) -> bool {
    zone(name).is_some()
}

/// A time zone by its IANA name, in its own spelling.
pub fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC") {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (zone, rest) = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            Some(named) => {
                let (name, rest) = named.split_once(' ').unwrap_or((named, ""));
                let found = zone(name);
                let why = || format!("provided bad location {name}: unknown time zone {name}");
                (Some(found.ok_or_else(why)?), rest.trim())
            }
            None => (None, text),
        };
        let times = if rest.starts_with('@') { named(rest)? } else { fields(rest)? };
        Ok(Self { times, zone })
    }

    /// The first time after `after`, reckoned in `zone` unless the text names its own.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.times {
            Times::Every(period) => {
                let next = after.checked_add(*period).ok()?;
                Timestamp::from_second(next.as_second()).ok()
            }
            Times::Fields { .. } => {
                let zone = self.zone.as_ref().unwrap_or(zone);
                let minute = Timestamp::from_second(after.as_second().div_euclid(60) * 60).ok()?;
                self.first_from(minute.checked_add(SignedDuration::from_mins(1)).ok()?.to_zoned(zone.clone()))
            }
        }
    }

    /// The last time after `after` and not later than `until`, and whether there were more than `many` before it.
    pub fn latest(
        &self,
        after: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
        many: usize,
    ) -> Option<(Timestamp, bool)> {
        let first = self.next(after, zone).filter(|at| *at <= until)?;
        let mut times = std::iter::successors(Some(first), |at| self.next(*at, zone)).take_while(|at| *at <= until);
        let is_many = times.nth(many).is_some();
        if let Times::Every(period) = &self.times {
            let period = i64::try_from(period.as_secs()).ok()?.max(1);
            let periods = (until.as_second() - first.as_second()) / period;
            return Some((first + SignedDuration::from_secs(periods * period), is_many));
        }
        // A window that doubles finds the last time without walking through all of them.
        let mut window = SignedDuration::from_mins(2);
        let mut latest = loop {
            let from = until.checked_sub(window).ok().filter(|from| *from > after);
            match from.and_then(|from| self.next(from, zone)) {
                Some(at) if at <= until => break at,
                _ if from.is_none() => break first,
                _ => window = window.checked_mul(2)?,
            }
        };
        while let Some(next) = self.next(latest, zone).filter(|at| *at <= until) {
            latest = next;
        }
        Some((latest, is_many))
    }

    fn first_from(&self, mut at: Zoned) -> Option<Timestamp> {
        let Times::Fields { minute, hour, month, .. } = &self.times else { return None };
        let year_last = at.year().checked_add(YEARS_MAX)?;
        while at.year() <= year_last {
            if !month.has(at.month()) {
                at = start_of(at.date().first_of_month().checked_add(1.month()).ok()?, at.time_zone())?;
            } else if !self.has_day(at.date()) {
                at = start_of(at.date().tomorrow().ok()?, at.time_zone())?;
            } else if !hour.has(at.hour()) {
                let minutes = 60 - i64::from(at.minute());
                at = at.checked_add(SignedDuration::from_mins(minutes)).ok()?;
            } else if !minute.has(at.minute()) {
                at = at.checked_add(SignedDuration::from_mins(1)).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let Times::Fields { day, weekday, .. } = &self.times else { return false };
        let (by_day, by_weekday) = (day.has(date.day()), weekday.has(date.weekday().to_sunday_zero_offset()));
        if day.any || weekday.any { by_day && by_weekday } else { by_day || by_weekday }
    }
}

fn start_of(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_datetime(Time::midnight()).to_zoned(zone.clone()).ok()
}

impl Field {
    fn has(self, number: i8) -> bool {
        self.bits & (1 << number) != 0
    }
}

fn named(text: &str) -> Result<Times, String> {
    let line = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(period) = text.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {text}"));
            };
            let nanos = go_duration(period).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
            // Less than a second is a second; parts of one are dropped.
            let secs = u64::try_from(nanos / 1_000_000_000).unwrap_or_default().max(1);
            return Ok(Times::Every(Duration::from_secs(secs)));
        }
    };
    fields(line)
}

fn fields(text: &str) -> Result<Times, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts.as_slice() else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    };
    Ok(Times::Fields {
        minute: field(minute, &MINUTES)?,
        hour: field(hour, &HOURS)?,
        day: field(day, &DAYS)?,
        month: field(month, &MONTHS)?,
        weekday: field(weekday, &WEEKDAYS)?,
    })
}

fn field(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let mut field = Field { bits: 0, any: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = range(part, bounds)?;
        field = Field { bits: field.bits | one.bits, any: field.any || one.any };
    }
    Ok(field)
}

/// `*`, `5`, `1-5`, `*/2`, `3/10`, `mon-fri`.
fn range(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let (ends, step) = match text.split('/').collect::<Vec<_>>().as_slice() {
        [ends] => (*ends, None),
        [ends, step] => (*ends, Some(*step)),
        _ => return Err(format!("too many slashes: {text}")),
    };
    let ends: Vec<&str> = ends.split('-').collect();
    let star = matches!(ends[0], "*" | "?");
    let (start, mut end) = match ends.as_slice() {
        _ if star => (bounds.low, bounds.high),
        [only] => number_or_name(only, bounds).map(|only| (only, only))?,
        [first, last] => (number_or_name(first, bounds)?, number_or_name(last, bounds)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let width = step.map_or(Ok(1), number)?;
    if step.is_some() && ends.len() == 1 {
        end = bounds.high;
    }
    if start < bounds.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.low));
    }
    if end > bounds.high {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    let width = usize::try_from(width).unwrap_or_default();
    if width == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(width).fold(0, |bits, number| bits | 1 << number);
    Ok(Field { bits, any: star && width == 1 })
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<i64, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().zip(bounds.low..).find(|(name, _)| **name == lower) {
        Some((_, number)) => Ok(number),
        None => number(text),
    }
}

fn number(text: &str) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(number),
        Err(_) => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let why = if numeric { "value out of range" } else { "invalid syntax" };
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"))
        }
    }
}

/// Nanoseconds of a duration as Go writes it: `1h30m`, `1.5s`.
fn go_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (amount, after) = rest.split_at(end);
        let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return Err(invalid());
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanos: i64 = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
        };
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut value = whole.checked_mul(nanos).ok_or_else(invalid)?;
        let mut scale = nanos;
        for digit in part.bytes() {
            scale /= 10;
            value = value.checked_add(i64::from(digit - b'0') * scale).ok_or_else(invalid)?;
        }
        total = total.checked_add(value).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(sign * total)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn told(rows: &[&str]) -> String {
        rows.iter().map(|row| format!("{row:?} {}\n", Schedule::parse(row).err().unwrap_or("ok".to_owned()))).collect()
    }

    #[test]
    fn schedules_are_read_or_refused_in_upstreams_words() {
        let rows = [
            "",
            "* * * * *",
            "*/5 0-6,22 1,15 jan-Mar MON",
            "@daily",
            "@every 1h30m",
            "@every 5",
            "@every x",
            "@sometimes",
            "* * * *",
            "60 * * * *",
            "a * * * *",
            "* 5-3 * * *",
            "* * 0 * *",
            "* * * * 7",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "*/0 * * * *",
            "-1 * * * *",
            "99999999999999999999 * * * *",
            "TZ=UTC 0 5 * * *",
            "CRON_TZ=Mars/Olympus 0 5 * * *",
        ];
        expect![[r#"
            "" empty spec string
            "* * * * *" ok
            "*/5 0-6,22 1,15 jan-Mar MON" ok
            "@daily" ok
            "@every 1h30m" ok
            "@every 5" failed to parse duration @every 5: time: missing unit in duration "5"
            "@every x" failed to parse duration @every x: time: invalid duration "x"
            "@sometimes" unrecognized descriptor: @sometimes
            "* * * *" expected exactly 5 fields, found 4: [* * * *]
            "60 * * * *" end of range (60) above maximum (59): 60
            "a * * * *" failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax
            "* 5-3 * * *" beginning of range (5) beyond end of range (3): 5-3
            "* * 0 * *" beginning of range (0) below minimum (1): 0
            "* * * * 7" end of range (7) above maximum (6): 7
            "1-2-3 * * * *" too many hyphens: 1-2-3
            "1/2/3 * * * *" too many slashes: 1/2/3
            "*/0 * * * *" step of range should be a positive number: */0
            "-1 * * * *" failed to parse int from : strconv.Atoi: parsing "": invalid syntax
            "99999999999999999999 * * * *" failed to parse int from 99999999999999999999: strconv.Atoi: parsing "99999999999999999999": value out of range
            "TZ=UTC 0 5 * * *" ok
            "CRON_TZ=Mars/Olympus 0 5 * * *" provided bad location Mars/Olympus: unknown time zone Mars/Olympus
        "#]].assert_eq(&told(&rows));
    }

    fn times(schedule: &str, zone_name: &str, from: &str) -> String {
        let (schedule, zone) = (Schedule::parse(schedule).unwrap(), zone(zone_name).unwrap());
        let mut at: Timestamp = from.parse().unwrap();
        let mut out = Vec::new();
        for _ in 0..3 {
            let Some(next) = schedule.next(at, &zone) else { return "never".to_owned() };
            out.push(next.to_zoned(zone.clone()).strftime("%a %F %R%:z").to_string());
            at = next;
        }
        out.join(", ")
    }

    #[test]
    fn the_next_times_are_found_across_months_zones_and_clock_changes() {
        let rows = [
            ("*/15 * * * *", "UTC", "2026-01-01T00:00:00Z"),
            ("0 0 31 * *", "UTC", "2026-01-31T00:00:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z"),
            ("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z"),
            ("0 12 13 * 5", "UTC", "2026-01-01T00:00:00Z"),
            ("0 12 */2 * 5", "UTC", "2026-01-01T00:00:00Z"),
            ("30 2 * * *", "Europe/Rome", "2026-03-27T12:00:00Z"),
            ("30 2 * * *", "Europe/Rome", "2026-10-24T12:00:00Z"),
            ("CRON_TZ=Asia/Kolkata 0 9 * * *", "UTC", "2026-01-01T00:00:00Z"),
            ("@every 90m", "UTC", "2026-01-01T00:00:30Z"),
            ("@monthly", "America/New_York", "2026-01-15T00:00:00Z"),
        ];
        let told: String =
            rows.iter().map(|(s, zone, from)| format!("{s} {zone}: {}\n", times(s, zone, from))).collect();
        expect![[r#"
            */15 * * * * UTC: Thu 2026-01-01 00:15+00:00, Thu 2026-01-01 00:30+00:00, Thu 2026-01-01 00:45+00:00
            0 0 31 * * UTC: Tue 2026-03-31 00:00+00:00, Sun 2026-05-31 00:00+00:00, Fri 2026-07-31 00:00+00:00
            0 0 29 2 * UTC: Tue 2028-02-29 00:00+00:00, Sun 2032-02-29 00:00+00:00, Fri 2036-02-29 00:00+00:00
            0 0 30 2 * UTC: never
            0 12 13 * 5 UTC: Fri 2026-01-02 12:00+00:00, Fri 2026-01-09 12:00+00:00, Tue 2026-01-13 12:00+00:00
            0 12 */2 * 5 UTC: Thu 2026-01-01 12:00+00:00, Fri 2026-01-02 12:00+00:00, Sat 2026-01-03 12:00+00:00
            30 2 * * * Europe/Rome: Sat 2026-03-28 02:30+01:00, Mon 2026-03-30 02:30+02:00, Tue 2026-03-31 02:30+02:00
            30 2 * * * Europe/Rome: Sun 2026-10-25 02:30+02:00, Sun 2026-10-25 02:30+01:00, Mon 2026-10-26 02:30+01:00
            CRON_TZ=Asia/Kolkata 0 9 * * * UTC: Thu 2026-01-01 03:30+00:00, Fri 2026-01-02 03:30+00:00, Sat 2026-01-03 03:30+00:00
            @every 90m UTC: Thu 2026-01-01 01:30+00:00, Thu 2026-01-01 03:00+00:00, Thu 2026-01-01 04:30+00:00
            @monthly America/New_York: Sun 2026-02-01 00:00-05:00, Sun 2026-03-01 00:00-05:00, Wed 2026-04-01 00:00-04:00
        "#]].assert_eq(&told);
    }

    #[test]
    fn zones_are_known_by_their_own_spelling_alone() {
        let known = ["UTC", "Europe/Rome", "europe/rome", "Europe/InvalidRome", "Etc/GMT+3", "Local", "EST5EDT"];
        assert_eq!(known.map(is_zone), [true, true, false, false, true, false, true]);
    }

    #[test]
    fn the_latest_time_is_found_without_walking_and_many_are_told_from_few() {
        let latest = |text: &str, after: &str| {
            let until = "2026-01-01T12:00:30Z".parse().unwrap();
            Schedule::parse(text).unwrap().latest(after.parse().unwrap(), until, &TimeZone::UTC, 100)
        };
        let shown = |text: &str, after: &str| {
            latest(text, after).map_or("none".to_owned(), |(at, many)| format!("{at} {many}"))
        };
        assert_eq!(shown("* * * * *", "2026-01-01T11:58:00Z"), "2026-01-01T12:00:00Z false");
        assert_eq!(shown("* * * * *", "2025-01-01T00:00:00Z"), "2026-01-01T12:00:00Z true");
        assert_eq!(shown("0 0 1 * *", "2025-06-15T00:00:00Z"), "2026-01-01T00:00:00Z false");
        assert_eq!(shown("0-9 3 * * *", "2025-12-31T00:00:00Z"), "2026-01-01T03:09:00Z false");
        assert_eq!(shown("@every 7m", "2026-01-01T11:00:00Z"), "2026-01-01T11:56:00Z false");
        assert_eq!(shown("@every 1s", "2025-01-01T00:00:00Z"), "2026-01-01T12:00:30Z true");
        assert_eq!(shown("0 0 30 2 *", "2025-01-01T00:00:00Z"), "none");
        assert_eq!(shown("* * * * *", "2026-01-01T12:00:00Z"), "none");
    }
}
