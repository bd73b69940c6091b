//! The server under measurement: its process, its directory, and how to reach it. Both go when this is dropped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pki::{Authority, Identity, Request};
use stdx::{Clock, SystemClock};
use tokio::time::Instant;

use super::Figure;
use super::connection::{Ask, Connection};
use crate::{median, mib, processes};

const READY_WAIT_MAX: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(2);
const IDLE: Duration = Duration::from_secs(10);
const RUNS: usize = 3;
/// Where the workloads' objects are.
pub const NAMESPACE: &str = "bench";

pub struct Stand {
    directory: PathBuf,
    tls: Arc<rustls::ClientConfig>,
    pub port: u16,
    server: Child,
    /// How many objects of each kind there are, by the kinds' own numbers.
    pub made: [usize; 3],
}

impl Stand {
    /// A server with an empty store. Its directory is beside this program, which is on a disk, as /tmp may not be.
    pub async fn start() -> Result<Self> {
        let directory = std::env::current_exe()?.with_file_name(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let now = SystemClock.now();
        let authority = Arc::new(Authority::load_or_create(&directory, now)?);
        let admin = Identity::issued(&authority, Request::client("admin", &["system:masters"]), now)?;
        let tls = Arc::new(pki::client_config(authority.certificate(), Some(admin), &["http/1.1"])?);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let server = spawn(&directory, port)?;
        let stand = Self { directory, tls, port, server, made: [0; 3] };
        stand.wait_until_ready().await?;
        let mut connection = stand.connect().await?;
        let namespace = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{NAMESPACE}"}}}}"#);
        connection.must(Ask::post("/api/v1/namespaces", namespace)).await?;
        let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
        connection.must(Ask::post(format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), account)).await?;
        Ok(stand)
    }

    /// How some user reaches the server, with one protocol.
    pub fn tls_of(&self, user: &str, protocol: &str) -> Result<Arc<rustls::ClientConfig>> {
        let now = SystemClock.now();
        let authority = Arc::new(Authority::load(&self.directory, now)?);
        let identity = Identity::issued(&authority, Request::client(user, &[]), now)?;
        Ok(Arc::new(pki::client_config(authority.certificate(), Some(identity), &[protocol])?))
    }

    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(self.port, &self.tls).await
    }

    pub async fn connect_all(&self, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_WAIT_MAX {
            if let Ok(mut connection) = self.connect().await
                && connection.must(Ask::get("/readyz")).await.is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        bail!("the server was not ready in {READY_WAIT_MAX:?}")
    }

    /// Kills the server and starts it again on what it left; the time until it is ready, and its CPU by then.
    pub async fn restart(&mut self) -> Result<(Duration, Duration)> {
        self.server.kill()?;
        self.server.wait()?;
        let began = Instant::now();
        self.server = spawn(&self.directory, self.port)?;
        self.wait_until_ready().await?;
        Ok((began.elapsed(), self.cpu()))
    }

    /// The server's process.
    pub fn process(&self) -> String {
        self.server.id().to_string()
    }

    pub fn cpu(&self) -> Duration {
        processes::cpu_of(&self.process())
    }

    pub fn memory(&self) -> Result<u64> {
        processes::proportional_bytes(&self.process()).context("the server's memory cannot be read")
    }

    /// What the disk needs for what the store does at each commit.
    pub async fn time_sync(&mut self) -> Result<Figure> {
        let path = self.directory.join("sync");
        let file = File::create(&path)?;
        file.write_all_at(&vec![0; 4 << 20], 0)?;
        file.sync_all()?;
        let mut times = Vec::new();
        for block in 0..200 {
            let began = Instant::now();
            file.write_all_at(&[1; 4096], block * 4096)?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        std::fs::remove_file(&path)?;
        Ok(Figure { text: format!("{:.2} ms", median(&times).as_secs_f64() * 1000.0), cpu: None })
    }

    pub async fn time_cold_start(&mut self) -> Result<Figure> {
        let (mut times, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            std::fs::rename(self.directory.join("store"), self.directory.join("kept"))?;
            let started = self.restart().await?;
            times.push(started.0);
            cpu.push(started.1);
            std::fs::remove_dir_all(self.directory.join("store"))?;
            std::fs::rename(self.directory.join("kept"), self.directory.join("store"))?;
        }
        self.restart().await?;
        Ok(Figure { text: format!("{} ms", median(&times).as_millis()), cpu: Some(median(&cpu)) })
    }

    pub async fn idle(&mut self) -> Result<Figure> {
        let before = self.cpu();
        tokio::time::sleep(IDLE).await;
        let used = (self.cpu() - before).as_secs_f64() / IDLE.as_secs_f64();
        Ok(Figure { text: format!("{:.0} MiB, {:.2} %", mib(self.memory()?), used * 100.0), cpu: None })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.server.kill().ok();
        self.server.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn spawn(directory: &PathBuf, port: u16) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(directory).arg(port.to_string()).stdin(Stdio::null());
    command.spawn().context("cannot start the server")
}
