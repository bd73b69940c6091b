//! The launcher: minikube's verbs over the namespace driver, with profiles, certificates and kubeconfig.
//!
//! Verbs are synchronous and print what they do; the cluster itself runs in the processes that [`driver`] describes.
//! Nothing in here knows what a Pod is: beyond a node's readiness the launcher never looks into the API.

pub mod credentials;
pub mod driver;
pub mod kubeconfig;
pub mod layout;
pub mod preflight;
pub mod profile;
pub mod progress;
pub mod trouble;
pub mod verbs;

pub use layout::Layout;
pub use trouble::{Result, Trouble};
