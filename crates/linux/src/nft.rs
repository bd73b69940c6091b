//! nftables by its own tool: a text is applied as one transaction, all of it or nothing.
//!
//! The tool costs about 5 ms a call, which a debounced data plane does not notice, and its text is what people read and
//! test; see docs/adr/0007-nftables-and-netlink.md.

use std::io::Write;
use std::process::{Command, Stdio};

/// Why a transaction was refused; the kernel's rules are as before.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("cannot run nft: {0}; install the package nftables")]
    Missing(std::io::Error),
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// Applies `text` in the calling thread's network namespace.
pub fn apply(text: &str) -> Result<(), NftError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(NftError::Missing)?;
    }
    let output = child.wait_with_output().map_err(NftError::Missing)?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = errors.lines().take(3).collect();
    Err(NftError::Refused(first.join(" | ")))
}
