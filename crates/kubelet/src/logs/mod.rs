//! Containers' logs as the runtime writes them: one line of the CRI format after another.

pub mod parse;
pub mod read;
