//! `ironclad profile list` and `ironclad kubeconfig`.

use crate::kubeconfig;
use crate::layout::Layout;
use crate::profile::{self, Profile};
use crate::progress::say;
use crate::trouble::Result;
use crate::verbs::{start, status};

pub fn list(layout: &Layout) -> Result<()> {
    say(&format!("{:<20} {:<10} {:<6} {:<7} {}", "PROFILE", "STATE", "NODES", "EGRESS", "APISERVER"));
    for name in profile::names(layout) {
        let line = match Profile::load(&layout.profile(&name)) {
            Ok(Some(profile)) => {
                let state = format!("{:?}", status::state(layout, &name)?);
                let egress = format!("{:?}", profile.egress).to_lowercase();
                format!("{name:<20} {state:<10} {:<6} {egress:<7} {}", profile.nodes.len(), profile.api_url())
            }
            Ok(None) => format!("{name:<20} half made"),
            Err(trouble) => format!("{name:<20} damaged: {}", trouble.cause),
        };
        say(&line);
    }
    Ok(())
}

/// Prints a kubeconfig for this cluster alone.
pub fn print_kubeconfig(layout: &Layout, name: &str) -> Result<()> {
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    say(kubeconfig::alone(&start::access(&profile, &dirs)?)?.trim_end());
    Ok(())
}
