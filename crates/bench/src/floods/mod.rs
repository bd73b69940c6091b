//! `cargo xtask bench floods`: what one client throws at the API server while another goes on asking. Each row floods a
//! server of its own process and tells how long the other waited at worst, on a kept connection and on new ones, and what
//! memory the flood took and left behind.

mod attacks;
mod probe;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::api_rows::connection::Ask;
use crate::api_rows::stand::Stand;
use crate::mib;
use probe::Probe;

/// What memory gets to come back in.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// Memory is back when no more than this is left of what the flood took.
const LEFT_BYTES_MAX: u64 = 32 << 20;

/// Who floods and whom: a user who may do everything, but is not among those who are never refused.
pub struct Target {
    pub port: u16,
    pub http1: Arc<rustls::ClientConfig>,
    pub http2: Arc<rustls::ClientConfig>,
}

/// Floods, and tells in a few words what became of it.
type Flood = fn(Target) -> Running;
type Running = Pin<Box<dyn Future<Output = Result<String>>>>;

const FLOODS: &[(&str, Flood)] = &[
    ("10,000 silent TLS connections", |target| Box::pin(attacks::silent(target, 10_000))),
    ("10,000 connections in the middle of a handshake, a head, a body", |target| {
        Box::pin(attacks::half_open(target, 10_000))
    }),
    ("10,000 watches on connections of their own", |target| Box::pin(attacks::watches(target, 10_000))),
    ("10,000 watches on 10 connections (HTTP/2)", |target| Box::pin(attacks::streams(target, 10, 1000))),
    ("16 bodies of 3 GB, announced", |target| Box::pin(attacks::bodies(target, 16, true))),
    ("16 bodies of 3 GB, chunked", |target| Box::pin(attacks::bodies(target, 16, false))),
    ("1,000 bodies that stop after a byte", |target| Box::pin(attacks::slow_bodies(target, 1000))),
    ("200,000 streams reset at once (HTTP/2)", |target| Box::pin(attacks::resets(target, 8, 25_000))),
    ("100,000 malformed bodies", |target| Box::pin(attacks::malformed(target, 16, 100_000))),
    ("5,000 requests that are no HTTP", |target| Box::pin(attacks::nonsense(target, 5000))),
    ("200 readers that never read a list of 24 MB", |target| Box::pin(attacks::unread(target, 200))),
];

/// Runs the floods whose names contain `only`.
pub fn run(only: &str) -> Result<()> {
    raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("| flood | became | others waited at most (kept, new connection) | memory before, at most, after |");
    println!("|---|---|---|---|");
    for (name, flood) in FLOODS.iter().filter(|(name, _)| name.contains(only)) {
        runtime.block_on(async {
            let stand = Stand::start().await?;
            let line = measure(&stand, *flood).await.with_context(|| (*name).to_owned())?;
            println!("| {name} | {line} |");
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

async fn measure(stand: &Stand, flood: Flood) -> Result<String> {
    let mut connection = stand.connect().await?;
    let subjects = r#"{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"#;
    let binding = format!(
        r#"{{"metadata":{{"name":"floods"}},"subjects":[{subjects}"flood"}},{subjects}"other"}}],
           "roleRef":{{"kind":"ClusterRole","apiGroup":"rbac.authorization.k8s.io","name":"cluster-admin"}}}}"#
    );
    connection.must(Ask::post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).await?;
    drop(connection);
    let tls = |user, protocol| stand.tls_of(user, protocol);
    let target = Target { port: stand.port, http1: tls("flood", "http/1.1")?, http2: tls("flood", "h2")? };
    let before = stand.memory()?;
    let probe = Probe::start(stand, tls("other", "http/1.1")?);
    let became = flood(target).await?;
    let waited = probe.end()?;
    let (began, mut after) = (Instant::now(), stand.memory()?);
    let mut connection = stand.connect().await?;
    while after > before + LEFT_BYTES_MAX && began.elapsed() < SETTLE_MAX {
        // The allocator gives back what is free while it is used.
        for _ in 0..100 {
            connection.must(Ask::get("/readyz")).await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        after = stand.memory()?;
    }
    let [kept, new] = [waited.kept, waited.new].map(|time| time.as_millis());
    let [before, most, after] = [before, waited.memory, after].map(mib);
    let refused = if waited.refused == 0 { String::new() } else { format!(", {} refused", waited.refused) };
    Ok(format!("{became} | {kept} ms, {new} ms{refused} | {before:.0}, {most:.0}, {after:.0} MiB"))
}

/// Ten thousand connections are as many files, here and (as it inherits the limit) in the server.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
