//! How verbs talk to the fabric: one JSON request a line, JSON reports back, over a unix socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::layout::ProfileDirs;
use crate::profile;
use crate::trouble::{Result, Trouble, plain};

pub const LINE_LEN_MAX: u64 = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// One report.
    Status,
    /// A report now and after every change.
    Watch,
    /// Ends all nodes; reports follow until the fabric itself ends.
    Stop,
    StartNode {
        name: String,
    },
    StopNode {
        name: String,
    },
    /// The profile's file has changed: nodes were added or removed.
    Reload,
}

/// Where a node is in its life.
///
/// ```text
/// Stopped -> Starting -> Up -> Ready
///    ^          |         |      |
///    +- Stopping <--------+------+     any of the three -> Waiting (init died) -> Starting
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Stopped,
    /// Its init is making namespaces.
    Starting,
    /// Its namespaces are there and the role runs.
    Up,
    /// The role says that it serves.
    Ready,
    /// It died and will be started again.
    Waiting,
    Stopping,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Up => "Up",
            Self::Ready => "Running",
            Self::Waiting => "Waiting",
            Self::Stopping => "Stopping",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    pub name: String,
    pub phase: Phase,
    /// Of the node's init, as the host sees it.
    pub pid: Option<u32>,
    /// How often init or role died and were started again.
    pub restarts: u32,
    /// Why it last died, or does not come up.
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub fabric_pid: u32,
    pub nodes: Vec<NodeReport>,
}

/// A connection to the fabric of a profile.
#[derive(Debug)]
pub struct Control {
    reader: BufReader<UnixStream>,
}

impl Control {
    /// `None` when no fabric runs.
    pub fn connect(dirs: &ProfileDirs) -> Option<Self> {
        let stream = UnixStream::connect(dirs.control_socket()).ok()?;
        Some(Self { reader: BufReader::new(stream) })
    }

    pub fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_string(request).map_err(|error| broken(&error.to_string()))?;
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes()).map_err(|error| broken(&plain(&error)))
    }

    /// The next report; `None` when the fabric has ended.
    pub fn report(&mut self) -> Result<Option<Report>> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(|error| broken(&error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(broken(&plain(&error))),
        }
    }

    /// Bounds how long `report` waits.
    pub fn set_timeout(&self, timeout: Option<std::time::Duration>) -> Result<()> {
        self.reader.get_ref().set_read_timeout(timeout).map_err(|error| broken(&plain(&error)))
    }
}

fn broken(why: &str) -> Trouble {
    Trouble::new(
        format!("lost the connection to the cluster's supervisor: {why}"),
        "Type `ironclad status` to see what runs.",
    )
}

/// One report of a running fabric.
pub fn status(dirs: &ProfileDirs) -> Result<Option<Report>> {
    let Some(mut control) = Control::connect(dirs) else { return Ok(None) };
    control.send(&Request::Status)?;
    control.report()
}

/// The report of a cluster that must be running.
pub fn running(dirs: &ProfileDirs) -> Result<Report> {
    status(dirs)?.ok_or_else(|| {
        Trouble::new(
            format!("cluster \"{}\" is not running", dirs.name),
            format!("Type `ironclad start{}` first.", profile::flag(&dirs.name)),
        )
    })
}

/// The pid of a node's init.
pub fn node_pid(dirs: &ProfileDirs, node: &str) -> Result<u32> {
    let report = running(dirs)?;
    let found = report.nodes.iter().find(|n| n.name == node).and_then(|n| n.pid);
    found.ok_or_else(|| {
        Trouble::new(
            format!("node \"{node}\" is not running"),
            format!("Type `ironclad node start {node}{}` first.", profile::flag(&dirs.name)),
        )
    })
}

/// The pid of some node's init: of one that serves, where there is one.
pub fn some_pid(dirs: &ProfileDirs) -> Result<u32> {
    let report = running(dirs)?;
    let serves = report.nodes.iter().filter(|node| node.phase == Phase::Ready);
    let found = serves.chain(&report.nodes).find_map(|node| node.pid);
    found.ok_or_else(|| {
        Trouble::new(
            format!("no node of cluster \"{}\" runs", dirs.name),
            format!("Type `ironclad start{}` first.", profile::flag(&dirs.name)),
        )
    })
}
