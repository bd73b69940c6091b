//! What the fake's containers and registry do: scripts given by a test or a simulation.

use std::sync::Arc;
use std::time::Duration;

/// One life of a container: from start to its own end. `lasts` is `None` when it runs until it is stopped.
#[derive(Clone, Debug)]
pub struct Run {
    pub lasts: Option<Duration>,
    pub exit_code: i32,
    /// `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    pub message: String,
}

impl Run {
    pub fn forever() -> Self {
        Self { lasts: None, exit_code: 0, reason: String::new(), message: String::new() }
    }

    pub fn exits(after: Duration, exit_code: i32) -> Self {
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        Self { lasts: Some(after), exit_code, reason: reason.to_owned(), message: String::new() }
    }
}

/// What an exec answers: exit code and output.
pub type ExecAnswer = (i32, String);
type Exec = dyn Fn(&[String]) -> ExecAnswer + Send + Sync;

/// What the containers of one image do. The n-th start of a container (by its attempt) lives the n-th run; the last run repeats.
#[derive(Clone)]
pub struct Behaviour {
    pub runs: Vec<Run>,
    /// How long it takes to end after SIGTERM; `None` ignores SIGTERM and waits to be killed.
    pub stops_after: Option<Duration>,
    pub exec: Arc<Exec>,
}

impl Behaviour {
    pub fn runs_forever() -> Self {
        Self::of(vec![Run::forever()])
    }

    pub fn of(runs: Vec<Run>) -> Self {
        Self { runs, stops_after: Some(Duration::ZERO), exec: Arc::new(|_| (0, String::new())) }
    }

    pub fn with_exec(mut self, exec: impl Fn(&[String]) -> ExecAnswer + Send + Sync + 'static) -> Self {
        self.exec = Arc::new(exec);
        self
    }

    pub fn with_stop(mut self, stops_after: Option<Duration>) -> Self {
        self.stops_after = stops_after;
        self
    }

    pub(crate) fn run(&self, attempt: u32) -> Run {
        let at = usize::try_from(attempt).unwrap_or(usize::MAX);
        self.runs.get(at).or_else(|| self.runs.last()).cloned().unwrap_or_else(Run::forever)
    }
}

/// What a pull of an image does.
#[derive(Clone, Debug)]
pub enum Pull {
    Succeeds { after: Duration, size: u64 },
    Fails { after: Duration, message: String },
}
