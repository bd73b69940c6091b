//! Images: a content store on disk, filled from archives and registries.
//!
//! `index.json` names what there is; it is replaced whole, after everything it names is in place, so a crash at any
//! point leaves either the old or the new state. Layers are kept unpacked, by the digest of their plain tar, each a
//! directory that overlayfs takes as it is.

pub mod archive;
pub mod config;
pub mod pull;
pub mod reference;
pub mod store;
mod unpack;

pub use config::ImageConfig;
pub use store::{Record, Store};

/// A failed image operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    InUse(String),
    #[error("{0}")]
    Registry(String),
}

pub type Result<T> = std::result::Result<T, Error>;

pub(crate) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Io { what: what(), source: error.into() })
    }
}
