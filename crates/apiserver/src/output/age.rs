//! How long ago something was, as `kubectl get` prints it.

use jiff::Timestamp;
use serde_json::Value;

use crate::tree;

/// The age of an object by its creationTimestamp.
pub fn of(object: &Value, now: Timestamp) -> Value {
    since(tree::text(object, "metadata.creationTimestamp"), now).into()
}

/// The time since an RFC 3339 timestamp; `<unknown>` without one.
pub fn since(then: &str, now: Timestamp) -> String {
    match then.parse::<Timestamp>() {
        Ok(then) => duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Two units at most, as upstream's HumanDuration.
pub fn duration(secs: i64) -> String {
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match secs {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{secs}s"),
        120..600 => pair(minutes, "m", secs % 60, "s"),
        600..10800 => format!("{minutes}m"),
        10800..28800 => pair(hours, "h", minutes % 60, "m"),
        28800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let cases = [0, 119, 120, 125, 600, 10799, 10800, 11100, 30000, 172_800, 180_000, 800_000, 63_072_000];
        let shown: Vec<String> = cases.into_iter().map(duration).collect();
        assert_eq!(shown, ["0s", "119s", "2m", "2m5s", "10m", "179m", "3h", "3h5m", "8h", "2d", "2d2h", "9d", "2y"]);
    }
}
