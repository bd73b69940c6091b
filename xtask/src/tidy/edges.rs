//! Which room may use which: the table of ARCHITECTURE.md, held against the manifests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Complaints;

/// A room and the rooms that it may use (besides `stdx`, which all may).
const ROOMS: &[(&str, &[&str])] = &[
    ("stdx", &[]),
    ("api", &[]),
    ("cache", &["api"]),
    ("cel", &["api"]),
    ("store", &["api"]),
    ("pki", &[]),
    ("streaming", &[]),
    ("apiserver", &["api", "cache", "cel", "store", "pki"]),
    ("client", &["api", "cache", "pki"]),
    ("controllers", &["api", "cache"]),
    ("scheduler", &["api", "cache", "client"]),
    ("linux", &[]),
    ("cri", &[]),
    ("runtime", &["linux", "cri", "streaming"]),
    ("kubelet", &["api", "cache", "client", "cri", "pki"]),
    ("net", &["api", "cache", "client", "linux"]),
    ("proxy", &["api", "cache", "client", "linux"]),
    ("dns", &["api", "cache", "client"]),
    ("launcher", &["api", "client", "linux", "pki"]),
];

/// Wiring and tools see everything.
const SEE_ALL: &[&str] = &["ironclad", "sim", "xtask", "bench"];

/// Crates that keep a room from being pure.
const IMPURE: &[&str] = &["tokio", "hyper", "rustix", "libc", "ring"];
const PURE_ROOMS: &[&str] = &["api", "cache", "cel", "controllers"];

pub fn check(root: &Path) -> Result<Complaints> {
    let mut complaints = Complaints::new();
    for package in packages(root)? {
        let name = package["name"].as_str().unwrap_or_default();
        if SEE_ALL.contains(&name) {
            continue;
        }
        let Some((_, may_use)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            complaints.push(format!("crates/{name}: is not in the table of rooms (xtask/src/tidy/edges.rs)"));
            continue;
        };
        for used in product_dependencies(&package) {
            let is_room = ROOMS.iter().any(|(room, _)| *room == used) || SEE_ALL.contains(&used);
            if is_room && used != "stdx" && !may_use.contains(&used) {
                complaints.push(format!("crates/{name}: may not use {used}"));
            }
            if PURE_ROOMS.contains(&name) && IMPURE.contains(&used) {
                complaints.push(format!("crates/{name}: is pure and may not use {used}"));
            }
        }
    }
    Ok(complaints)
}

fn packages(root: &Path) -> Result<Vec<Value>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output().context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

fn product_dependencies(package: &Value) -> Vec<&str> {
    let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|dependency| dependency["kind"].is_null()).filter_map(|d| d["name"].as_str()).collect()
}
