//! Debian's etcd: one member with its default settings on loopback, in a process that goes with this value.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use store::{EtcdOptions, EtcdStore, Store};
use tokio::time::Instant;

use crate::processes;

const READY_WAIT_MAX: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(5);
/// A million keys do not fit into etcd's default of 2 GiB once they have been written twice.
const QUOTA_BYTES: u64 = 8 << 30;

pub struct Server {
    pub store: Arc<dyn Store>,
    directory: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Nothing where no etcd is installed.
    pub async fn start(directory: &Path) -> Result<Option<Self>> {
        if Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("no etcd is installed to compare with: apt-get install etcd-server");
            return Ok(None);
        }
        let port = free_port()?;
        let process = spawn(directory, port)?;
        let store = connect(port)?;
        let server = Self { store, directory: directory.to_owned(), port, process };
        server.wait_for(b"/").await?;
        Ok(Some(server))
    }

    /// Kills it and starts it again on what it left; the time until it answered for `key`.
    pub async fn restart(&mut self, key: &[u8]) -> Result<Duration> {
        self.process.kill()?;
        self.process.wait()?;
        let began = Instant::now();
        self.process = spawn(&self.directory, self.port)?;
        self.store = connect(self.port)?;
        self.wait_for(key).await?;
        Ok(began.elapsed())
    }

    async fn wait_for(&self, key: &[u8]) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_WAIT_MAX {
            if self.store.get(key).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        bail!("etcd was not ready in {READY_WAIT_MAX:?}")
    }

    pub fn memory(&self) -> Result<u64> {
        processes::proportional_bytes(&self.process.id().to_string()).context("etcd's memory cannot be read")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn connect(port: u16) -> Result<Arc<dyn Store>> {
    let options = EtcdOptions { history: None, ..EtcdOptions::new(vec![format!("http://127.0.0.1:{port}")]) };
    Ok(Arc::new(EtcdStore::open(options)?))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn spawn(directory: &Path, port: u16) -> Result<Child> {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()?));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(directory).args(["--logger=zap", "--log-level=error"]);
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    command.arg(format!("--quota-backend-bytes={QUOTA_BYTES}")).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context("cannot start etcd")
}
