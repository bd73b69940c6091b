//! The cluster's identities: its certificate authority, the certificates and keys of every component, and
//! ServiceAccount tokens.
//!
//! Keys are ECDSA P-256, made and used by `ring`. Certificates are short-lived and renewed in-process at two thirds of
//! their life ([`Identity`]), so nothing expires while the cluster runs. What reaches the disk is written atomically
//! with mode 0600 (keys) or 0644 (certificates), and every error names the file. The time always comes in from outside.

mod authority;
mod certificate;
pub mod csr;
mod der;
mod error;
mod file;
mod identity;
mod key;
mod serve;
mod subject;
mod token;
mod trusting;

pub use authority::Authority;
pub use certificate::{Issued, Request, Usage};
pub use error::PkiError;
pub use file::write_atomically;
pub use identity::{Identity, Source};
pub use key::Key;
pub use serve::{client_config, server_config};
pub use subject::{Subject, subject_of};
pub use token::{Bound, Claims, Reference, TokenError, TokenKey};
pub use trusting::trusting_client_config;
