//! `cargo xtask bench [api|floods|store [ROWS]]`: builds what is measured and runs the `bench` crate: a whole cluster, for
//! which an image is made, the API server alone, or the store alone.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.first().is_some_and(|what| matches!(what.as_str(), "api" | "floods" | "store")) {
        build(&["bench"])?;
        return call(Command::new(built()?.join("bench")).args(arguments));
    }
    build(&["ironclad", "bench"])?;
    let image = std::env::temp_dir().join(format!("ironclad-bench-{}.tar", std::process::id()));
    call(Command::new("scripts/make-image").arg("busybox").arg(&image))?;
    let built = built()?;
    let measured = call(Command::new(built.join("bench")).arg("cluster").arg(built.join("ironclad")).arg(&image));
    std::fs::remove_file(&image).ok();
    measured
}

fn build(packages: &[&str]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    call(Command::new(cargo).args(["build", "--release"]).args(packages))
}

/// The directory of release builds beside the one that this very program was built in: `<target>/<triple>/release`.
fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let triple = own.parent().and_then(|dir| dir.parent()).context("not run by cargo")?;
    Ok(triple.join("release"))
}

fn call(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}
