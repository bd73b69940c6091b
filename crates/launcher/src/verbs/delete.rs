//! `ironclad delete`: leaves nothing behind, whatever state the cluster is in.

use std::io;
use std::path::Path;

use crate::driver::{cgroups, fabric};
use crate::kubeconfig;
use crate::layout::{Layout, ProfileDirs};
use crate::preflight;
use crate::profile::{self, Egress, Profile, ProfileLock};
use crate::progress::say;
use crate::trouble::{Result, Trouble, plain};

pub fn run(layout: &Layout, name: &str) -> Result<()> {
    profile::check_name(name)?;
    preflight::check_root()?;
    let lock = ProfileLock::take(layout, name)?;
    let dirs = layout.profile(name);
    remove(layout, &dirs)?;
    kubeconfig::remove_from(&kubeconfig::path(), name)?;
    drop(lock);
    let _ = std::fs::remove_file(layout.run.join("locks").join(name));
    for dir in [layout.run.join("locks"), layout.run.clone(), layout.profiles(), layout.home.clone()] {
        let _ = std::fs::remove_dir(dir); // Only when nothing else is in it.
    }
    say(&format!("Deleted cluster \"{name}\"."));
    Ok(())
}

/// Ends every process and removes every group, mount and file of a profile; the kernel ends namespaces, links and the
/// nodes' mounts with their last process.
pub fn remove(layout: &Layout, dirs: &ProfileDirs) -> Result<()> {
    let uplink = Profile::load(dirs).ok().flatten().filter(|profile| profile.egress == Egress::Nat);
    let hierarchies =
        cgroups::of_host().map_err(|error| Trouble::file("read", Path::new("/proc/self/mountinfo"), &error))?;
    cgroups::destroy(&hierarchies, &dirs.name).map_err(|error| {
        Trouble::new(
            format!("cannot end the processes of cluster \"{}\": {}", dirs.name, plain(&error)),
            "Look for processes that hang in the kernel (`ps -eo pid,stat,args`) and try again.",
        )
    })?;
    if let Some(profile) = uplink {
        fabric::undo_uplink(&profile);
    }
    debug_assert!(dirs.state.starts_with(layout.profiles()));
    for dir in [&dirs.run, &dirs.state] {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Trouble::file("remove", dir, &error)),
            _ => {}
        }
    }
    Ok(())
}
