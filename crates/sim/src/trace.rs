//! What happened, in order: one line a write, and a hash over all of them.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use stdx::Clock;
use tokio::time::Instant;

/// Lines that are kept for a reader; the hash is over all.
const LINES_MAX: usize = 100_000;

/// The record of a run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    hasher: DefaultHasher,
    count: usize,
}

impl Trace {
    pub fn add(&self, line: String) {
        let mut lines = self.lock();
        lines.hasher.write(line.as_bytes());
        lines.hasher.write_u8(b'\n');
        lines.count += 1;
        if lines.lines.len() < LINES_MAX {
            lines.lines.push(line);
        }
    }

    pub fn hash(&self) -> u64 {
        self.lock().hasher.finish()
    }

    pub fn len(&self) -> usize {
        self.lock().count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lines from `start` on.
    pub fn since(&self, start: usize) -> Vec<String> {
        self.lock().lines.iter().skip(start).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of day in a simulation: it goes with tokio's paused time.
pub struct SimClock {
    start: Timestamp,
    began: Instant,
}

impl SimClock {
    pub fn start() -> Self {
        let start = Timestamp::from_second(1_767_225_600).expect("invariant: 2026 is a time");
        Self { start, began: Instant::now() }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.start + jiff::SignedDuration::from_millis(passed)
    }
}
