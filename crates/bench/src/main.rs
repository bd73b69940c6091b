//! What the README says in figures: `cargo xtask bench` measures a whole cluster, `cargo xtask bench api` the API server,
//! `cargo xtask bench floods` what it does for others while one client floods it, `cargo xtask bench store` the store beside
//! etcd.
//!
//! Times are this process's own clock around the real binary and the real API; memory and CPU are what the kernel says of
//! the processes that are measured.

mod api_rows;
mod cluster;
mod floods;
mod processes;
mod store_rows;

use std::path::Path;

use anyhow::{Result, bail};

/// As in the binary that is shipped: `bench serve` is its API server alone.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["api"] => api_rows::run(""),
        ["api", only] => api_rows::run(only),
        ["floods"] => floods::run(""),
        ["floods", only] => floods::run(only),
        ["serve", directory, port] => api_rows::serve::run(Path::new(directory), port.parse()?),
        ["store"] => store_rows::run(""),
        ["store", only] => store_rows::run(only),
        ["open", directory] => store_rows::open(Path::new(directory)),
        ["cluster", binary, image] => cluster::run(Path::new(binary), Path::new(image)),
        _ => bail!(
            "usage: bench api|floods|store [TEXT IN A ROW'S NAME] | cluster IRONCLAD IMAGE.tar (see `cargo xtask bench`)"
        ),
    }
}

fn median<T: Copy + Ord>(values: &[T]) -> T {
    quantile(values, 50)
}

/// The value that so many per cent of the values do not exceed.
fn quantile<T: Copy + Ord>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
