//! What can go wrong with identities; every variant names the file or the thing.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {action} {}: {source}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is corrupt: {why}", .path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{} does not belong to {}", .key.display(), .certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("{} is missing although {} is there: restore it, or remove both to make a new identity", .missing.display(), .present.display())]
    Missing { missing: PathBuf, present: PathBuf },
    #[error("{} expired at {at}", .path.display())]
    Expired { path: PathBuf, at: jiff::Timestamp },
    #[error("not a usable certificate: {0}")]
    Certificate(String),
    #[error("not a usable private key: {0}")]
    Key(String),
    #[error("tls: {0}")]
    Tls(String),
}
