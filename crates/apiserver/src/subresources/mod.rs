//! Paths under an object that are more than a part of it. One file each.

pub(crate) mod binding;
mod budget;
pub(crate) mod eviction;
pub(crate) mod scale;
pub(crate) mod token;
