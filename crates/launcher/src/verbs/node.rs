//! `ironclad node list | add | delete | start | stop`.

use std::time::Duration;

use stdx::{Clock, SystemClock};

use crate::credentials;
use crate::driver::control::{Control, Phase, Report, Request, running, status};
use crate::layout::{Layout, ProfileDirs};
use crate::preflight;
use crate::profile::{Profile, ProfileLock, Role};
use crate::progress::say;
use crate::trouble::{Result, Trouble};

const WAIT: Duration = Duration::from_secs(60);

pub fn list(layout: &Layout, profile: &str) -> Result<()> {
    let dirs = layout.profile(profile);
    let report = status(&dirs)?.unwrap_or_default();
    for node in &Profile::load_existing(&dirs)?.nodes {
        let phase = report.nodes.iter().find(|n| n.name == node.name).map_or(Phase::Stopped, |n| n.phase);
        say(&format!("{}\t{}\t{}\t{}", node.name, node.ip(), node.role.as_str(), phase.as_str()));
    }
    Ok(())
}

pub fn add(layout: &Layout, name: &str) -> Result<()> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let _lock = ProfileLock::take(layout, name)?;
    let mut profile = Profile::load_existing(&dirs)?;
    running(&dirs)?;
    let full = || Trouble::new(format!("cluster \"{name}\" is full"), "Make another cluster with -p NAME.");
    let node = profile.add_node().ok_or_else(full)?.name.clone();
    let now = SystemClock.now();
    credentials::prepare(&profile, &dirs, &*credentials::authority(&dirs, now)?, now)?;
    profile.save(&dirs)?;
    until(&dirs, &Request::Reload, &node, Phase::Ready)?;
    say(&format!("Added node {node}."));
    Ok(())
}

/// Ends the node's processes and removes its state.
pub fn delete(layout: &Layout, name: &str, node: &str) -> Result<()> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let _lock = ProfileLock::take(layout, name)?;
    let mut profile = Profile::load_existing(&dirs)?;
    if profile.node(node)?.role == Role::Server {
        let why = match profile.control_planes {
            1 => "the cluster's only server",
            _ => "a control plane, and how many there are cannot be changed",
        };
        return Err(Trouble::new(
            format!("node {node} is {why}"),
            "Stop it with `ironclad node stop`, or delete the whole cluster with `ironclad delete`.",
        ));
    }
    if status(&dirs)?.is_some() {
        until(&dirs, &Request::StopNode { name: node.to_owned() }, node, Phase::Stopped)?;
    }
    profile.nodes.retain(|n| n.name != node);
    profile.save(&dirs)?;
    if let Some(mut control) = Control::connect(&dirs) {
        control.send(&Request::Reload)?;
        control.report()?;
    }
    let state = dirs.node(node).state;
    std::fs::remove_dir_all(&state).map_err(|error| Trouble::file("remove", &state, &error))?;
    say(&format!("Deleted node {node}; `kubectl delete node {node}` takes it out of the API."));
    Ok(())
}

pub fn start(layout: &Layout, name: &str, node: &str) -> Result<()> {
    change(layout, name, node, &Request::StartNode { name: node.to_owned() }, Phase::Ready)?;
    say(&format!("Started node {node}."));
    Ok(())
}

pub fn stop(layout: &Layout, name: &str, node: &str) -> Result<()> {
    change(layout, name, node, &Request::StopNode { name: node.to_owned() }, Phase::Stopped)?;
    say(&format!("Stopped node {node}."));
    Ok(())
}

fn change(layout: &Layout, name: &str, node: &str, request: &Request, wanted: Phase) -> Result<()> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let _lock = ProfileLock::take(layout, name)?;
    Profile::load_existing(&dirs)?.node(node)?;
    running(&dirs)?;
    until(&dirs, request, node, wanted)
}

/// Sends a request and follows the reports until the node has the wanted phase.
fn until(dirs: &ProfileDirs, request: &Request, node: &str, wanted: Phase) -> Result<()> {
    let late = || {
        Trouble::new(
            format!("node {node} is not {} after {} s", wanted.as_str(), WAIT.as_secs()),
            "Type `ironclad logs` to see why.",
        )
    };
    let mut control = Control::connect(dirs).ok_or_else(late)?;
    control.send(request)?;
    let deadline = SystemClock.now().checked_add(WAIT).unwrap_or(jiff::Timestamp::MAX);
    let there = |report: &Report| report.nodes.iter().any(|n| n.name == node && n.phase == wanted);
    loop {
        let left = deadline.duration_since(SystemClock.now()).as_millis();
        control.set_timeout(Some(Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1))))?;
        match control.report() {
            Ok(Some(report)) if there(&report) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(late()),
        }
    }
}
