//! `cargo xtask bench`: builds what is measured, makes an image for it, and runs the `bench` crate.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub fn run() -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    call(Command::new(&cargo).args(["build", "--release", "--package", "ironclad", "--package", "bench"]))?;
    let image = std::env::temp_dir().join(format!("ironclad-bench-{}.tar", std::process::id()));
    call(Command::new("scripts/make-image").arg("busybox").arg(&image))?;
    let built = built()?;
    let measured = call(Command::new(built.join("bench")).arg(built.join("ironclad")).arg(&image));
    std::fs::remove_file(&image).ok();
    measured
}

/// The directory that this very program was built beside: `<target>/<triple>/release`.
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
