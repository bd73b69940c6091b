//! The one binary: it reads its arguments and hands over to a room. No logic lives here.
//!
//! `shim`, `init` and `fabric` are begun before any thread exists, because they fork and enter namespaces.

mod cli;
mod early;
mod images;
mod roles;
mod seams;
mod store;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match early::run(&args) {
        Some(done) => done.map(|()| 0),
        None => cli::run(cli::Cli::parse()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            eprintln!("ironclad: {}\n{}", trouble.cause, trouble.advice);
            ExitCode::FAILURE
        }
    }
}
