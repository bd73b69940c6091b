//! The one binary: it reads its arguments and hands over to a room. No logic lives here.
//!
//! `shim`, `init` and `fabric` are begun before any thread exists, because they fork and enter namespaces.

mod cli;
mod images;
mod roles;
mod seams;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|verb| verb == "shim") {
        runtime::shim::main(&args[2..]);
    }
    let command = cli::Cli::parse();
    match cli::run(command) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            eprintln!("ironclad: {}\n{}", trouble.cause, trouble.advice);
            ExitCode::FAILURE
        }
    }
}
