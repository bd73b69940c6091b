//! `/healthz`, `/livez` and `/readyz`, whole and check by check, in upstream's text form.

use std::sync::Arc;
use std::time::Duration;

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

/// A probe does not wait longer than this for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Upstream tells nobody why; the log does.
const WITHHELD: &str = "reason withheld";

impl Check {
    /// By what it is asked for. Monitors know the store as upstream's, whichever it is.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Ping => &["ping"],
            Self::Store => &["store", "etcd"],
            Self::Shutdown => &["shutdown"],
        }
    }

    fn name(self, server: &Server) -> &'static str {
        if self == Self::Store { server.engine.store().name() } else { self.names()[0] }
    }

    /// The error is the reason that is shown.
    async fn run(self, server: &Server) -> Result<(), String> {
        match self {
            Self::Ping => Ok(()),
            Self::Store => {
                let asked = tokio::time::timeout(STORE_TIMEOUT, server.engine.store().current()).await;
                let late = |_| format!("no answer within {STORE_TIMEOUT:?}");
                let answer = asked.map_err(late).and_then(|answer| answer.map_err(|error| error.to_string()));
                answer.map(drop).inspect_err(|error| tracing::warn!(error, "the store does not answer"))
            }
            Self::Shutdown if server.stopping.is_cancelled() => Err(WITHHELD.to_owned()),
            Self::Shutdown => Ok(()),
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
        Some(name) => check.names().contains(name),
        None => !excluded.iter().any(|name| check.names().contains(&name.as_str())),
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
        results.push((check.name(&server), check.run(&server).await));
    }
    if question.single {
        return match results.iter().all(|(_, result)| result.is_ok()) {
            true => respond::text(200, "ok"),
            false => respond::text(500, "internal server error: reason withheld\n"),
        };
    }
    report(question.group, &results, &question.excluded, question.verbose)
}

fn report(group: &str, results: &[(&str, Result<(), String>)], excluded: &[String], verbose: bool) -> Response<Body> {
    let mut text = String::new();
    for (name, result) in results {
        text.push_str(&match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) => format!("[-]{name} failed: {}\n", why.replace('\n', " ")),
        });
    }
    text.extend(excluded.iter().map(|name| format!("[+]{name} excluded: ok\n")));
    if results.iter().any(|(_, result)| result.is_err()) {
        return respond::text(500, format!("{text}{group} check failed\n"));
    }
    if verbose { respond::text(200, format!("{text}{group} check passed\n")) } else { respond::text(200, "ok") }
}
