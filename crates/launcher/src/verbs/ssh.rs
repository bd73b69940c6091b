//! `ironclad ssh`: a shell, or one command, in a node's namespaces.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use linux::namespace::{self, Kinds};

use crate::driver::{cgroups, control};
use crate::layout::Layout;
use crate::preflight;
use crate::profile::Profile;
use crate::trouble::{Result, Trouble, plain};

const SHELL: &str = "/bin/sh";

/// Runs `command` (a login shell when empty) and gives its exit code. Call it before any thread starts.
pub fn run(layout: &Layout, name: &str, node: Option<&str>, command: &[String]) -> Result<u8> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let node = match node {
        Some(node) => profile.node(node)?,
        None => profile.server()?,
    };
    let pid = control::node_pid(&dirs, &node.name)?;
    enter(name, &node.name, pid).map_err(|error| {
        Trouble::new(
            format!("cannot enter node {}: {}", node.name, plain(&error)),
            "Type `ironclad status` to see whether it runs.",
        )
    })?;
    let shell = if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { SHELL };
    let (program, args) = match command.split_first() {
        Some((program, args)) => (program.as_str(), args.to_vec()),
        None => (shell, vec!["-l".to_owned()]),
    };
    let status = Command::new(program)
        .args(args)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/ironclad/bin")
        .env("HOME", "/root")
        .env_remove("KUBECONFIG")
        .current_dir("/")
        .status()
        .map_err(|error| Trouble::file("execute", std::path::Path::new(program), &error))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Joins the node's control group and all its namespaces; children live in its process namespace.
fn enter(profile: &str, node: &str, pid: u32) -> std::io::Result<()> {
    let hierarchies = cgroups::of_host()?;
    let pidfd = linux::pidfd::open(pid).map_err(|error| error.source)?;
    cgroups::visit(&hierarchies, profile, node)?;
    let all = Kinds::NET.and(Kinds::UTS).and(Kinds::IPC).and(Kinds::CGROUP).and(Kinds::PID).and(Kinds::MOUNT);
    namespace::join(&pidfd, all).map_err(|error| error.source)
}
