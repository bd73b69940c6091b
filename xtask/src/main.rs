//! The project's own chores: `cargo xtask tidy | codegen | bench`.

fn main() {}
