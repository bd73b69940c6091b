//! The launcher: minikube's verbs over the namespace driver, with profiles, certificates and kubeconfig.
//!
//! Verbs are synchronous and print what they do; the cluster itself runs in the processes that [`driver`] describes.
//! The launcher reaches the API as any other client does, over HTTPS and with a certificate.

pub mod cluster;
pub mod credentials;
pub mod driver;
pub mod forward;
pub mod kubeconfig;
pub mod layout;
pub mod preflight;
pub mod profile;
pub mod progress;
pub mod trouble;
pub mod verbs;

pub use layout::Layout;
pub use trouble::{Result, Trouble};
