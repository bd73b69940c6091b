//! `ironclad stop | pause | unpause`.

use crate::driver::cgroups;
use crate::driver::control::{Control, Phase, Request, running};
use crate::layout::Layout;
use crate::preflight;
use crate::profile::{Profile, ProfileLock, flag};
use crate::progress::{Progress, say};
use crate::trouble::{Result, Trouble, plain};

/// Ends all processes; state stays on disk.
pub fn stop(layout: &Layout, name: &str) -> Result<()> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let _lock = ProfileLock::take(layout, name)?;
    Profile::load_existing(&dirs)?;
    let progress = Progress::start();
    let hierarchies = cgroups::of_host().map_err(|error| group_trouble(name, &error))?;
    if cgroups::is_frozen(&hierarchies, name) {
        cgroups::freeze(&hierarchies, name, false).map_err(|error| group_trouble(name, &error))?;
    }
    if let Some(mut control) = Control::connect(&dirs) {
        control.send(&Request::Stop)?;
        while control.report()?.is_some() {}
    }
    // Nodes whose supervisor was killed, and whatever did not end when asked to.
    cgroups::destroy(&hierarchies, name).map_err(|error| group_trouble(name, &error))?;
    let _ = std::fs::remove_dir_all(&dirs.run);
    say(&format!(
        "Stopped cluster \"{name}\" in {}; `ironclad start{}` starts it again.",
        progress.total(),
        flag(name)
    ));
    Ok(())
}

/// Freezes every process of every node.
pub fn pause(layout: &Layout, name: &str) -> Result<()> {
    set_frozen(layout, name, true)?;
    say(&format!("Paused cluster \"{name}\"; `ironclad unpause{}` lets it go on.", flag(name)));
    Ok(())
}

pub fn unpause(layout: &Layout, name: &str) -> Result<()> {
    set_frozen(layout, name, false)?;
    say(&format!("Cluster \"{name}\" goes on."));
    Ok(())
}

fn set_frozen(layout: &Layout, name: &str, frozen: bool) -> Result<()> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let _lock = ProfileLock::take(layout, name)?;
    Profile::load_existing(&dirs)?;
    let report = running(&dirs)?;
    if report.nodes.iter().all(|node| node.phase == Phase::Stopped) {
        return Err(Trouble::new(
            format!("no node of cluster \"{name}\" runs"),
            "Start one with `ironclad node start NAME`.",
        ));
    }
    let hierarchies = cgroups::of_host().map_err(|error| group_trouble(name, &error))?;
    cgroups::freeze(&hierarchies, name, frozen).map_err(|error| group_trouble(name, &error))
}

fn group_trouble(name: &str, error: &std::io::Error) -> Trouble {
    Trouble::new(
        format!("cannot reach the processes of cluster \"{name}\": {}", plain(error)),
        format!("Type `ironclad status{}` to see what runs.", flag(name)),
    )
}
