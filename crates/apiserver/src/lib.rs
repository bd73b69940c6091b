//! The API server: HTTP -> filters -> registry -> verb -> store, and back through the watch caches.
//!
//! The only crate that opens the store. It knows every resource only through its [`resource::Resource`] descriptor.
//! [`engine::Engine::dispatch`] is the line between the two halves: in front of it are sockets, identities and
//! permission; behind it are resources, verbs and storage.

pub mod admission;
pub mod bootstrap;
pub mod causes;
pub mod components;
pub mod connect;
pub mod custom;
pub mod dangling;
pub mod engine;
pub mod filters;
pub mod http;
mod internal_form;
pub mod living;
pub mod metrics;
mod openapi;
pub mod output;
pub mod rbac;
pub mod registry;
pub mod request;
pub mod resource;
pub mod resources;
mod reviews;
pub mod seams;
pub mod served;
mod services;
pub mod storage;
mod subresources;
pub mod tokens;
pub(crate) mod tree;
pub mod upkeep;
pub mod user;
pub mod verbs;
pub mod watchcache;
pub mod wellknown;

pub use engine::Engine;
pub use http::{Server, ServerConfig};
pub use registry::Registry;
pub use verbs::{Answer, AnswerBody, AnswerStream, Params, RequestContext};
pub use wellknown::store::stats_tree;

#[cfg(test)]
mod tests;
