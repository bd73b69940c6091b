//! The one binary: it reads its arguments and hands over to a room. No logic lives here.
//!
//! `init` and `fabric` are begun before any thread exists, because they fork and enter namespaces.

mod cli;
mod roles;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match cli::run(command) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            eprintln!("ironclad: {}\n{}", trouble.cause, trouble.advice);
            ExitCode::FAILURE
        }
    }
}
