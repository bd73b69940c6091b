//! Processes that must begin before any thread exists and stay small: shims, inits, the fabric. Their arguments come from
//! ourselves and are read by hand, without the command line parser's tables.

use std::path::PathBuf;

use launcher::driver::{fabric, init};
use launcher::{Layout, Trouble};

/// Does what `args` (without the program) ask for, if it is one of these.
pub fn run(args: &[String]) -> Option<launcher::Result<()>> {
    let (verb, rest) = args.split_first()?;
    if !matches!(verb.as_str(), "shim" | "init" | "fabric" | "server" | "agent") {
        return None;
    }
    // The allocator asks for huge pages, which turns a heap of some KiB into several MiB; children inherit this, and
    // shims undo it for containers.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    match verb.as_str() {
        "shim" => runtime::shim::main(rest),
        "init" => Some(named(rest, "--profile").and_then(|profile| {
            let args = init::Args { layout: layout(), profile, node: named(rest, "--node")? };
            init::main(&args).map_err(|error| Trouble::new(error.to_string(), "Type `ironclad logs` on the host."))
        })),
        "fabric" => {
            Some(named(rest, "--profile").and_then(|profile| fabric::main(&fabric::Args { layout: layout(), profile })))
        }
        _ => None,
    }
}

fn layout() -> Layout {
    let root = |name| std::env::var_os(name).map(PathBuf::from);
    Layout::new(root("IRONCLAD_HOME"), root("IRONCLAD_RUN"))
}

fn named(args: &[String], name: &str) -> launcher::Result<String> {
    let at = args.iter().position(|arg| arg == name);
    let value = at.and_then(|at| args.get(at + 1)).cloned();
    value.ok_or_else(|| {
        Trouble::new(format!("{name} is missing"), "Type `ironclad start`, which starts this by itself.")
    })
}
