//! A store in a directory, opened by this process while no server has it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use launcher::{Result, Trouble};
use store::{EmbeddedOptions, EmbeddedStore, Store, StoreError};
use tokio::runtime::Runtime;

pub struct Opened {
    store: Arc<dyn Store>,
    runtime: Runtime,
}

impl Opened {
    pub fn at(directory: &Path) -> Result<Self> {
        Ok(Self { store: embedded(directory)?, runtime: runtime()? })
    }

    pub fn run<T>(self, work: impl AsyncFnOnce(Arc<dyn Store>) -> std::result::Result<T, StoreError>) -> Result<T> {
        let done = self.runtime.block_on(work(self.store));
        done.map_err(|error| Trouble::new(error.to_string(), "Type `ironclad store check` to see how the store is."))
    }
}

/// Where there is no store none is made.
pub fn embedded(directory: &Path) -> Result<Arc<dyn Store>> {
    if !holds_store(directory).map_err(|error| Trouble::file("read", directory, &error))? {
        return Err(Trouble::new(
            format!("there is no store in {}", directory.display()),
            "Name the directory of one with --dir, or a cluster with -p.",
        ));
    }
    let options = EmbeddedOptions { stamp: Some(apiserver::storage::with_revision), ..EmbeddedOptions::default() };
    let store = EmbeddedStore::open(directory, options).map_err(|error| failed(directory, &error))?;
    Ok(Arc::new(store))
}

pub fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Trouble::new(format!("cannot start: {error}"), "Try again."))
}

/// Whether a store's files are there.
pub fn holds_store(directory: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("log-") || name.starts_with("snapshot-") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What to do about a store that fails.
pub fn failed(path: &Path, error: &StoreError) -> Trouble {
    let advice = match error {
        StoreError::InUse(_) => "Name the cluster with -p instead of its directory, or stop it first.".to_owned(),
        StoreError::NoSpace(_) => format!("Free some space on the file system of {} and try again.", path.display()),
        _ => format!("Type `ironclad store check --dir {}` to see how it is.", path.display()),
    };
    Trouble::new(error.to_string(), advice)
}
