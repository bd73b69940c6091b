//! `ironclad store ...` of a cluster: where its store lies while it is stopped, and, while it runs, what its API server
//! answers as the only one that has the store open.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::Client;
use http_body_util::BodyExt;
use serde_json::Value;

use super::status::{self, State};
use crate::cluster;
use crate::layout::Layout;
use crate::preflight;
use crate::profile::{Datastore, Profile, ProfileLock, flag};
use crate::trouble::{Result, Trouble};

/// Space is given back while a request waits.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A cluster as the verbs find it.
pub enum Place {
    /// Nobody has the store open, and the cluster does not start while its lock is held.
    Stopped {
        directory: PathBuf,
        lock: Option<ProfileLock>,
    },
    Running(Running),
}

pub struct Running {
    layout: Layout,
    profile: Profile,
}

pub fn find(layout: &Layout, name: &str) -> Result<Place> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    Profile::load_existing(&dirs)?;
    let lock = ProfileLock::take(layout, name)?;
    let profile = Profile::load_existing(&dirs)?;
    match status::state(layout, name)? {
        State::Running => Ok(Place::Running(Running { layout: layout.clone(), profile })),
        State::Stopped => Ok(Place::Stopped { directory: directory(layout, &profile)?, lock: Some(lock) }),
        State::Paused => Err(Trouble::new(
            format!("cluster \"{name}\" is paused"),
            format!("Type `ironclad unpause{0}` or `ironclad stop{0}` first.", flag(name)),
        )),
        State::Degraded => Err(Trouble::new(
            format!("cluster \"{name}\" does not run as it should"),
            format!("Type `ironclad start{0}` to mend it, or `ironclad stop{0}` to stop it.", flag(name)),
        )),
    }
}

/// As the server's node mounts it.
fn directory(layout: &Layout, profile: &Profile) -> Result<PathBuf> {
    if profile.datastore != Datastore::Embedded {
        return Err(Trouble::new(
            format!("cluster \"{}\" keeps its state in etcd and not in a directory", profile.name),
            "Save, compact and stats work while it runs. A backup comes into a new etcd by `ironclad store restore FILE --dir DIR` \
             and `ironclad store copy DIR https://...`.",
        ));
    }
    Ok(layout.profile(&profile.name).node(&profile.server()?.name).lib().join("store"))
}

impl Running {
    /// Where the server's store lies. Only the server opens it.
    pub fn directory(&self) -> Result<PathBuf> {
        directory(&self.layout, &self.profile)
    }

    pub fn must_stop(&self, what: &str) -> Trouble {
        let name = &self.profile.name;
        Trouble::new(format!("cluster \"{name}\" runs: {what}"), format!("Type `ironclad stop{}` first.", flag(name)))
    }

    pub fn stats(&self) -> Result<Value> {
        self.call(async |client| parsed(&client.raw("/ironclad/store/stats").await?))
    }

    /// Forgets the history before a revision (`revision=N`) or an age (`olderThan=SECONDS`).
    pub fn compact(&self, query: &str) -> Result<Value> {
        let path = format!("/ironclad/store/compact?{query}");
        self.call(async |client| client.with_timeout(TIMEOUT).post(&path, &Value::Null).await)
    }

    /// Writes a backup. It is whole only when its reader says so.
    pub fn backup(&self, path: &Path, out: &mut dyn Write) -> Result<()> {
        let written = self.call(async |client| {
            let mut body = client.download("/ironclad/store/backup").await?;
            while let Some(frame) = body.frame().await {
                if let Ok(chunk) = frame?.into_data()
                    && let Err(error) = out.write_all(&chunk)
                {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        });
        written?.map_err(|error| Trouble::file("write", path, &error))
    }

    fn call<T>(&self, work: impl AsyncFnOnce(Client) -> client::Result<T>) -> Result<T> {
        let dirs = self.layout.profile(&self.profile.name);
        let fail = |error: client::Error| cluster::trouble(&self.profile, &error.to_string());
        cluster::call(&self.profile, &dirs, async |client| work(client).await.map_err(fail))
    }
}

fn parsed(bytes: &[u8]) -> client::Result<Value> {
    Ok(serde_json::from_slice(bytes)?)
}
