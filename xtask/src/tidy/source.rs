//! The project's own Rust files, and which of their lines are product code.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub struct Source {
    /// From the root of the project.
    pub path: String,
    pub text: String,
}

/// Crates in which all code is pure.
const PURE_CRATES: &[&str] = &["crates/api/src/", "crates/cache/src/", "crates/controllers/src/"];

/// All `.rs` files under `crates` and `xtask`.
pub fn all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for top in ["crates", "xtask"] {
        collect(root, &root.join(top), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(root: &Path, dir: &Path, into: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            into.push(Source { path, text });
        }
    }
    Ok(())
}

impl Source {
    pub fn is_generated(&self) -> bool {
        self.path.contains("/gen/")
    }

    /// Tests, benches and fixtures: they may be long and may panic.
    pub fn is_test(&self) -> bool {
        let in_test_dir = ["/tests/", "/benches/", "/examples/"].iter().any(|dir| self.path.contains(dir));
        in_test_dir || matches!(self.stem(), "tests" | "suite" | "testing") || self.path.starts_with("xtask/")
    }

    pub fn is_pure(&self) -> bool {
        PURE_CRATES.iter().any(|prefix| self.path.starts_with(prefix)) || matches!(self.stem(), "plan" | "compile")
    }

    pub fn stem(&self) -> &str {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        file.strip_suffix(".rs").unwrap_or(file)
    }

    /// Lines with their numbers, up to the unit tests.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test_mod = |line: &&str| line.trim_end() == "#[cfg(test)]";
        self.text.lines().take_while(move |line| !is_test_mod(line)).enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The first product line with the text, outside comments.
    pub fn find(&self, text: &str) -> Option<usize> {
        let is_code = |line: &str| !line.trim_start().starts_with("//");
        self.product_lines().find(|(_, line)| is_code(line) && line.contains(text)).map(|(number, _)| number)
    }
}
