//! The project's own chores: `cargo xtask tidy | codegen | bench`.

mod codegen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("codegen") => codegen::run(&arguments[1..]),
        _ => anyhow::bail!("usage: cargo xtask codegen [schema]"),
    }
}
