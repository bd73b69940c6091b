//! The project's own chores: `cargo xtask tidy | codegen | bench`.

mod bench;
mod codegen;
mod tidy;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bench") => bench::run(&arguments[1..]),
        Some("codegen") => codegen::run(&arguments[1..]),
        Some("tidy") => tidy::run(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or("..".as_ref())),
        _ => anyhow::bail!("usage: cargo xtask bench [api|floods|store [ROWS]] | codegen [schema|cri] | tidy"),
    }
}
