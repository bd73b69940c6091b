//! CrashLoopBackOff as data: how long a container that keeps ending must wait before it is started again.
//!
//! The wait begins when the container ended. It doubles from 10 s to 300 s with every restart, and is forgotten when
//! the container then ran for 10 min (twice the longest wait), as upstream does.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use stdx::Backoff;

pub const CRASH: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
const RESET_AFTER_SECS: i64 = 600;

/// The waits of one pod's containers (or images), by name.
#[derive(Clone, Debug, Default)]
pub struct Waits(BTreeMap<String, Wait>);

#[derive(Clone, Copy, Debug)]
struct Wait {
    failures: u32,
    changed: Timestamp,
}

impl Waits {
    /// The current wait of `name` and when it is over, for an end or failure at `since`; `None` when it may go on now.
    pub fn waiting(&self, name: &str, since: Timestamp, now: Timestamp) -> Option<(Duration, Timestamp)> {
        let wait = self.0.get(name)?;
        if since.duration_since(wait.changed).as_secs() > RESET_AFTER_SECS {
            return None;
        }
        let delay = CRASH.delay(wait.failures);
        let over = since + jiff::SignedDuration::try_from(delay).unwrap_or_default();
        (now < over).then_some((delay, over))
    }

    /// Counts one more start (or failed pull) at `now`, after an end at `since`.
    pub fn next(&mut self, name: &str, since: Timestamp, now: Timestamp) {
        let wait = self.0.entry(name.to_owned()).or_insert(Wait { failures: 0, changed: now });
        if since.duration_since(wait.changed).as_secs() > RESET_AFTER_SECS {
            wait.failures = 0;
        }
        wait.failures = wait.failures.saturating_add(1);
        wait.changed = now;
    }

    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// `10s`, `1m20s`, `5m0s`: a duration as Go prints it.
pub fn go_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (hours, minutes, rest) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashing_container_waits_longer_each_time_until_it_ran_long_enough() {
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let mut waits = Waits::default();
        let mut told = Vec::new();
        let mut end = 0;
        for _ in 0..7 {
            told.push(waits.waiting("c", at(end), at(end)).map_or(0, |(delay, _)| delay.as_secs()));
            let start = waits.waiting("c", at(end), at(end)).map_or(at(end), |(_, over)| over);
            waits.next("c", at(end), start);
            end = start.as_second() + 1;
        }
        assert_eq!(told, [0, 10, 20, 40, 80, 160, 300]);
        assert_eq!(waits.waiting("c", at(end + 700), at(end + 700)), None);
    }

    #[test]
    fn durations_are_printed_as_go_does() {
        let printed = [10, 80, 300, 3600].map(|secs| go_duration(Duration::from_secs(secs)));
        assert_eq!(printed, ["10s", "1m20s", "5m0s", "1h0m0s"]);
    }
}
