//! What the README says in figures: `cargo xtask bench` starts a cluster of its own, measures, and deletes it.
//!
//! Times are this process's own clock around the real binary and the real API; memory and CPU are what the kernel says of
//! all processes that name the profile in their arguments.

mod cluster;
mod processes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use cluster::Cluster;

const RUNS: usize = 3;
const IDLE: Duration = Duration::from_secs(20);
const PROFILE: &str = "bench";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: bench IRONCLAD IMAGE.tar (see `cargo xtask bench`)";
    let binary = PathBuf::from(arguments.next().context(usage)?);
    let image = PathBuf::from(arguments.next().context(usage)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("| what | median of {RUNS} |\n|---|---|");
    let size = std::fs::metadata(&binary)?.len();
    println!("| binary | {:.1} MiB |", mib(size));
    let (mut ready, mut running, mut memory, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let cluster = Cluster::start(&binary, PROFILE)?;
        cluster.load(&image)?;
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

fn median<T: Copy + Ord>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

#[allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
