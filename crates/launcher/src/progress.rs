//! The lines that a verb prints while it works: what was done and how long it took.

use std::io::Write;

use stdx::{Clock, SystemClock};

#[derive(Debug)]
pub struct Progress {
    began: jiff::Timestamp,
    last: jiff::Timestamp,
}

impl Progress {
    pub fn start() -> Self {
        let now = SystemClock.now();
        Self { began: now, last: now }
    }

    /// Says that a step is over.
    pub fn done(&mut self, step: &str) {
        let now = SystemClock.now();
        let took = now.duration_since(self.last);
        self.last = now;
        say(&format!("  {step:<52} {:>7}", show(took)));
    }

    pub fn total(&self) -> String {
        show(SystemClock.now().duration_since(self.began))
    }
}

/// Milliseconds below ten seconds, else seconds.
fn show(took: jiff::SignedDuration) -> String {
    match took.as_millis() {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000),
    }
}

/// A line of output; nobody reading is not an error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
