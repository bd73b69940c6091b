//! `/healthz`, `/livez` and `/readyz`, whole and check by check, in upstream's text form.

use std::sync::Arc;

use http::Response;

use crate::http::body::Body;
use crate::http::{Server, respond};
use crate::verbs::Params;

/// What is looked at. Only real checks stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The process answers.
    Ping,
    /// The store answers.
    Store,
    /// The server is not going down.
    Shutdown,
}

const LIVE: &[Check] = &[Check::Ping, Check::Store];
const READY: &[Check] = &[Check::Ping, Check::Store, Check::Shutdown];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Store => "store",
            Self::Shutdown => "shutdown",
        }
    }

    async fn run(self, server: &Server) -> bool {
        match self {
            Self::Ping => true,
            Self::Store => match server.engine.store().current().await {
                Ok(_) => true,
                Err(error) => {
                    tracing::warn!(%error, "the store does not answer");
                    false
                }
            },
            Self::Shutdown => !server.stopping.is_cancelled(),
        }
    }
}

/// What a health path asks for.
pub struct Question {
    group: &'static str,
    checks: Vec<Check>,
    /// One check by its own path.
    single: bool,
    excluded: Vec<String>,
    verbose: bool,
}

/// `None` where the path is not about health.
pub fn question(path: &str, params: &Params) -> Option<Question> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, known) = match segments.first().copied()? {
        "readyz" => ("readyz", READY),
        "livez" => ("livez", LIVE),
        "healthz" => ("healthz", LIVE),
        _ => return None,
    };
    let excluded: Vec<String> = params.all("exclude").map(str::to_owned).collect();
    let verbose = params.0.iter().any(|(name, _)| name == "verbose");
    let wanted = |check: &Check| match segments.get(1) {
        Some(name) => check.name() == *name,
        None => !excluded.iter().any(|name| name == check.name()),
    };
    let checks: Vec<Check> = known.iter().copied().filter(wanted).collect();
    let single = segments.len() > 1;
    (segments.len() < 3 && !(single && checks.is_empty())).then_some(Question {
        group,
        checks,
        single,
        excluded,
        verbose,
    })
}

pub async fn answer(server: Arc<Server>, question: Question) -> Response<Body> {
    let mut results = Vec::new();
    for check in &question.checks {
        results.push((check.name(), check.run(&server).await));
    }
    if question.single {
        return match results.iter().all(|(_, good)| *good) {
            true => respond::text(200, "ok"),
            false => respond::text(500, "internal server error: reason withheld\n"),
        };
    }
    report(question.group, &results, &question.excluded, question.verbose)
}

fn report(group: &str, results: &[(&str, bool)], excluded: &[String], verbose: bool) -> Response<Body> {
    let mut text = String::new();
    for (name, good) in results {
        text.push_str(&if *good { format!("[+]{name} ok\n") } else { format!("[-]{name} failed: reason withheld\n") });
    }
    text.extend(excluded.iter().map(|name| format!("[+]{name} excluded: ok\n")));
    if results.iter().any(|(_, good)| !good) {
        return respond::text(500, format!("{text}{group} check failed\n"));
    }
    if verbose { respond::text(200, format!("{text}{group} check passed\n")) } else { respond::text(200, "ok") }
}
