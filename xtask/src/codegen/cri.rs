//! `cargo xtask codegen cri`: the messages of the Container Runtime Interface, from the proto file that the crate `k8s-cri`
//! carries, compiled by protox and prost-build (so that nobody needs protoc).
//!
//! The compilers are optional dependencies behind the feature `codegen`; without it the command runs itself again with it.

pub const MESSAGES: &str = "crates/cri/src/gen/v1.rs";

#[cfg(not(feature = "codegen"))]
pub fn generate() -> anyhow::Result<Option<String>> {
    let arguments = ["run", "--quiet", "--package", "xtask", "--features", "codegen", "--", "codegen", "cri"];
    let status = std::process::Command::new("cargo").args(arguments).current_dir(super::root()).status()?;
    anyhow::ensure!(status.success(), "codegen cri failed");
    Ok(None)
}

#[cfg(feature = "codegen")]
pub use with_compilers::generate;

#[cfg(feature = "codegen")]
mod with_compilers {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use anyhow::{Context as _, Result, ensure};
    use serde_json::Value;

    const CRATE: &str = "k8s-cri";
    const VERSION: &str = "0.11.0";

    /// The text of the generated file.
    pub fn generate() -> Result<Option<String>> {
        let dir = std::env::temp_dir().join(format!("ironclad-codegen-cri-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let text = compile(&dir);
        std::fs::remove_dir_all(&dir)?;
        text.map(Some)
    }

    fn compile(dir: &Path) -> Result<String> {
        let proto = proto_file(dir)?;
        let include = proto.parent().context("the proto file has no directory")?;
        let files = protox::compile([&proto], [include])?;
        let mut config = prost_build::Config::new();
        config.out_dir(dir).btree_map(["."]).disable_comments(["."]).compile_fds(files)?;
        std::fs::read_to_string(dir.join("runtime.v1.rs")).context("read what prost-build wrote")
    }

    /// Lets cargo fetch the crate and says where its proto file is.
    fn proto_file(dir: &Path) -> Result<PathBuf> {
        let manifest = format!(
            "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{CRATE} = \"={VERSION}\"\n[workspace]\n"
        );
        std::fs::write(dir.join("Cargo.toml"), manifest)?;
        std::fs::write(dir.join("lib.rs"), "")?;
        let metadata = Command::new("cargo").args(["metadata", "--format-version", "1"]).current_dir(dir).output()?;
        ensure!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr).trim());
        let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
        let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
        let package = packages.iter().find(|package| package.get("name").is_some_and(|name| name == CRATE));
        let manifest =
            package.and_then(|package| package.get("manifest_path")?.as_str()).context("no manifest path")?;
        Ok(Path::new(manifest).with_file_name("proto").join("v1.proto"))
    }
}
