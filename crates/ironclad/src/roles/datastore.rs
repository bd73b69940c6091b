//! A control plane's store: its own on disk, or etcd.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::storage;
use launcher::credentials::{ETCD_DIR, ETCD_FILES, NodeConfig, PKI_DIR};
use stdx::Backoff;
use store::{EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, EtcdTls, History, Store, StoreError};

use super::failed;

const STORE_DIR: &str = "store";
/// Between questions whether etcd answers by now: its members start together with the servers.
const RETRY: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));

/// Opens the store that the launcher chose, and waits until it answers.
pub async fn open(state: &Path, config: &NodeConfig) -> launcher::Result<Arc<dyn Store>> {
    let cannot = |error: &StoreError| failed("cannot open the store", error);
    let history = config.store_history_secs.map(Duration::from_secs);
    if config.etcd.is_empty() {
        let usual = EmbeddedOptions::default();
        let history = history.map_or(usual.history, History::of);
        let options = EmbeddedOptions { history, stamp: Some(storage::with_revision), ..usual };
        let store = EmbeddedStore::open(state.join(STORE_DIR), options).map_err(|error| cannot(&error))?;
        return Ok(Arc::new(store));
    }
    let dir = state.join(PKI_DIR).join(ETCD_DIR);
    let [ca_file, cert_file, key_file] = ETCD_FILES.map(|(name, _)| Some(dir.join(name)).filter(|path| path.exists()));
    let usual = EtcdOptions::new(config.etcd.clone());
    let options = EtcdOptions {
        history: history.or(usual.history),
        tls: EtcdTls { ca_file, cert_file, key_file },
        home: String::from_utf8_lossy(storage::START).into_owned(),
        stamp: Some(storage::with_revision),
        ..usual
    };
    let store = EtcdStore::open(options).map_err(|error| cannot(&error))?;
    let mut failures = 0;
    while let Err(error) = store.current().await {
        match error {
            StoreError::Unavailable(_) | StoreError::Busy(_) => {}
            other => return Err(cannot(&other)),
        }
        failures += 1;
        if failures == 1 || failures % 64 == 0 {
            tracing::info!("waiting for etcd: {error}");
        }
        tokio::time::sleep(RETRY.delay(failures)).await;
    }
    if store::copy::is_half_copied(&store).await.map_err(|error| cannot(&error))? {
        let advice = "Empty this etcd and run `ironclad store copy` again.";
        return Err(launcher::Trouble::new("a copy into etcd was begun and not finished", advice));
    }
    Ok(Arc::new(store))
}
