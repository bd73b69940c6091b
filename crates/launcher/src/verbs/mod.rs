//! What a person types: one file per verb.

pub mod delete;
pub mod hello;
pub mod image;
pub mod logs;
pub mod node;
pub mod profiles;
pub mod service;
pub mod ssh;
pub mod start;
pub mod status;
pub mod stop;
pub mod store;
