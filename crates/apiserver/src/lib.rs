//! The API server: HTTP -> filters -> registry -> verb -> store, and back through the watch caches.
//!
//! The only crate that opens the store. It knows every resource only through its [`resource::Resource`] descriptor.

pub mod request;
pub mod resource;
pub mod user;
