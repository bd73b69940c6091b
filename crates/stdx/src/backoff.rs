//! Exponential backoff as a pure value: how long to wait before attempt N.

use std::time::Duration;

/// Doubles from `initial` up to `max`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
}

impl Backoff {
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max }
    }

    /// The wait after `failures` failures in a row; zero failures wait nothing.
    pub fn delay(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let factor = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_the_maximum() {
        let backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
        let secs: Vec<_> = [0, 1, 2, 3, 6, 40, 4000].map(|n| backoff.delay(n).as_secs()).into();
        assert_eq!(secs, [0, 10, 20, 40, 300, 300, 300]);
    }
}
