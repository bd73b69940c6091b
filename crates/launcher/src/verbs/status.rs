//! `ironclad status`: what runs, in words and by exit code.

use crate::driver::cgroups;
use crate::driver::control::{self, Phase};
use crate::layout::Layout;
use crate::profile::{Profile, flag};
use crate::progress::say;
use crate::trouble::{Result, Trouble};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    Stopped,
    /// Processes without their supervisor, or nodes that do not run.
    Degraded,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Stopped => "Stopped",
            Self::Degraded => "Degraded",
        }
    }
}

/// How a profile is, without printing.
pub fn state(layout: &Layout, name: &str) -> Result<State> {
    let dirs = layout.profile(name);
    let hierarchies = cgroups::of_host().unwrap_or_default();
    let Some(report) = control::status(&dirs)? else {
        let left = cgroups::is_populated(&hierarchies, name);
        return Ok(if left { State::Degraded } else { State::Stopped });
    };
    if cgroups::is_frozen(&hierarchies, name) {
        return Ok(State::Paused);
    }
    let ready = report.nodes.iter().all(|node| node.phase == Phase::Ready);
    Ok(if ready { State::Running } else { State::Degraded })
}

pub fn run(layout: &Layout, name: &str) -> Result<()> {
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let state = state(layout, name)?;
    say(&format!("cluster:    {name}"));
    say(&format!("state:      {}", state.as_str()));
    say(&format!("apiserver:  {}", profile.api_url()));
    let report = control::status(&dirs)?;
    say(&format!(
        "supervisor: {}",
        report.as_ref().map_or("none".to_owned(), |report| format!("pid {}", report.fabric_pid))
    ));
    for node in &profile.nodes {
        let seen = report.as_ref().and_then(|report| report.nodes.iter().find(|n| n.name == node.name));
        let line = match seen {
            Some(seen) => {
                let pid = seen.pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
                let again = if seen.restarts > 0 { format!(" restarts {}", seen.restarts) } else { String::new() };
                let why = if seen.message.is_empty() { String::new() } else { format!(" ({})", seen.message) };
                format!("{}{pid}{again}{why}", seen.phase.as_str())
            }
            None => "Unknown".to_owned(),
        };
        say(&format!("node:       {} {} {} {line}", node.name, node.role.as_str(), node.ip()));
    }
    match state {
        State::Running => Ok(()),
        State::Paused => Err(Trouble::new(
            format!("cluster \"{name}\" is paused"),
            format!("Type `ironclad unpause{}`.", flag(name)),
        )),
        State::Stopped => {
            Err(Trouble::new(format!("cluster \"{name}\" is stopped"), format!("Type `ironclad start{}`.", flag(name))))
        }
        State::Degraded => Err(Trouble::new(
            format!("cluster \"{name}\" does not run as it should"),
            format!("Type `ironclad start{}` to mend it.", flag(name)),
        )),
    }
}
