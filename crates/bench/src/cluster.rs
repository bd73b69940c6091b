//! One cluster under measurement; deleted when dropped, however the run ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::typed::{Pod, ServiceAccount, Typed};
use client::{Client, Kubeconfig, WatchEvent, WatchQuery};
use serde_json::json;
use tokio::time::Instant;

use crate::{median, mib, processes};

const POD_WAIT_MAX: Duration = Duration::from_secs(60);
const RUNS: usize = 3;
const IDLE: Duration = Duration::from_secs(20);
const PROFILE: &str = "bench";

/// Measures a few clusters and prints their medians.
pub fn run(binary: &Path, image: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("| what | median of {RUNS} |\n|---|---|");
    let size = std::fs::metadata(binary)?.len();
    println!("| binary | {:.1} MiB |", mib(size));
    let (mut ready, mut running, mut memory, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let cluster = Cluster::start(binary, PROFILE)?;
        cluster.load(image)?;
        ready.push(cluster.started_in);
        running.push(runtime.block_on(cluster.time_first_pod())?);
        // The pod and the image import are over; what remains is the cluster at rest.
        let (used_memory, used_cpu) = processes::measure(PROFILE, IDLE)?;
        memory.push(used_memory);
        cpu.push(used_cpu);
    }
    println!("| `start` to Ready node | {:.2} s |", median(&ready).as_secs_f64());
    println!("| create pod to Running, image present | {} ms |", median(&running).as_millis());
    println!("| idle memory of all processes (PSS) | {:.0} MiB |", mib(median(&memory)));
    println!("| idle CPU | {:.2} % of a core |", median(&cpu) as f64 / 100.0);
    Ok(())
}

pub struct Cluster {
    binary: PathBuf,
    profile: String,
    kubeconfig: PathBuf,
    pub started_in: Duration,
}

impl Cluster {
    pub fn start(binary: &Path, profile: &str) -> Result<Self> {
        let kubeconfig = std::env::temp_dir().join(format!("ironclad-{profile}-{}.kubeconfig", std::process::id()));
        let mut cluster =
            Self { binary: binary.to_owned(), profile: profile.to_owned(), kubeconfig, started_in: Duration::ZERO };
        let began = Instant::now();
        cluster.call(&["start", "--egress", "none"])?;
        cluster.started_in = began.elapsed();
        Ok(cluster)
    }

    pub fn load(&self, image: &Path) -> Result<()> {
        self.call(&["image", "load", &image.to_string_lossy()])
    }

    /// From the request that creates a pod to the event that shows it Running.
    pub async fn time_first_pod(&self) -> Result<Duration> {
        let transport = Kubeconfig::load(&self.kubeconfig, None)?.transport()?;
        let client = Client::new(std::sync::Arc::new(transport), "bench");
        self.wait_for_service_account(&client).await?;
        let mut watch = client.watch(&Pod::GVR, "default", &WatchQuery::default()).await?;
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first"}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "3600"]}]}});
        let began = Instant::now();
        client.create_object(&Pod::GVR, "default", &pod).await?;
        let running = async {
            while let Some(event) = watch.next().await {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event? else { continue };
                let phase = object.typed::<Pod>()?.status.and_then(|status| status.phase);
                if phase.as_deref() == Some("Running") {
                    return Ok(began.elapsed());
                }
            }
            bail!("the watch ended before the pod ran")
        };
        tokio::time::timeout(POD_WAIT_MAX, running).await.context("the pod did not run in time")?
    }

    /// A pod needs its namespace's default account, which a controller makes.
    async fn wait_for_service_account(&self, client: &Client) -> Result<()> {
        let query = WatchQuery { fields: "metadata.name=default".to_owned(), ..WatchQuery::default() };
        let mut watch = client.watch(&ServiceAccount::GVR, "default", &query).await?;
        tokio::time::timeout(POD_WAIT_MAX, watch.next()).await.context("no default service account")?;
        Ok(())
    }

    fn call(&self, arguments: &[&str]) -> Result<()> {
        let status = Command::new(&self.binary)
            .args(arguments)
            .args(["-p", &self.profile])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        ensure!(status.success(), "ironclad {arguments:?} failed");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.call(&["delete"]) {
            eprintln!("the cluster was not deleted: {error:#}");
        }
        std::fs::remove_file(&self.kubeconfig).ok();
    }
}
