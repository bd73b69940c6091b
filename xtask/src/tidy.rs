//! Holds the house rules that the compiler cannot: who may use whom, sizes, headers, names, purity.
//!
//! Each check is a function from the tree to complaints. `cargo xtask tidy` prints them; a plain `cargo test` runs them.

mod edges;
mod function;
mod source;

use std::path::Path;

use anyhow::Result;

use source::Source;

/// What is wrong, and where.
pub type Complaints = Vec<String>;

/// Lines of a file that are not tests.
const FILE_LINES_MAX: usize = 600;

/// Files that are longer, each with its reason. The list may only shrink.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words that name nothing.
const EMPTY_NAMES: &[&str] = &["Manager", "Helper", "Util", "Utils", "Impl", "Base"];
const EMPTY_MODULES: &[&str] = &["common", "misc", "util", "utils", "helpers", "helper"];

/// Text that must not be in product code.
const BANNED: &[(&str, &str)] = &[
    ("todo!(", "leave out what is not built"),
    ("unimplemented!(", "leave out what is not built"),
    ("#[ignore", "a test runs or does not exist"),
    ("#[allow(dead_code", "delete what is not used"),
];

/// Pure code gets the time and everything else from its caller.
const IMPURE: &[&str] =
    &["std::env", "std::net::Tcp", "std::net::Udp", "std::fs", "tokio::", "SystemTime", "Instant::"];

pub fn run(root: &Path) -> Result<()> {
    let complaints = all(root)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    anyhow::ensure!(complaints.is_empty(), "{} rules broken; see CONTRIBUTING.md", complaints.len());
    Ok(())
}

pub fn all(root: &Path) -> Result<Complaints> {
    let mut complaints = edges::check(root)?;
    let sources = source::all(root)?;
    for source in &sources {
        complaints.extend(check(source));
        if orphaned(source, &sources) {
            complaints.push(format!("{}: no module names it, so nobody compiles it", source.path));
        }
    }
    Ok(complaints)
}

fn check(source: &Source) -> Complaints {
    let mut complaints = Complaints::new();
    if source.is_generated() {
        return complaints;
    }
    let mut complain = |text: String| complaints.push(format!("{}: {text}", source.path));
    if !source.text.starts_with("//!") {
        complain("a file opens with `//!`: what it is and its place".to_owned());
    }
    let lines = source.product_lines().count();
    let is_known = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    if lines > FILE_LINES_MAX && !is_known {
        complain(format!("{lines} lines; split it (at most {FILE_LINES_MAX})"));
    }
    if lines <= FILE_LINES_MAX && is_known {
        complain("is short now; take it off LONG_FILES".to_owned());
    }
    if source.is_test() {
        return complaints;
    }
    names(source, &mut complain);
    for (banned, instead) in BANNED {
        if let Some(line) = source.find(banned) {
            complain(format!("line {line}: `{banned}`: {instead}"));
        }
    }
    if source.is_pure() {
        for impure in IMPURE {
            if let Some(line) = source.find(impure) {
                complain(format!("line {line}: `{impure}` in pure code"));
            }
        }
    }
    for (name, lines) in function::too_long(source) {
        complain(format!("fn {name} has {lines} lines (at most {})", function::LINES_MAX));
    }
    complaints
}

/// Whether a file under `src` is named by no `mod` of the file above it. Generated files are included, not named.
fn orphaned(source: &Source, all: &[Source]) -> bool {
    let Some((krate, path)) = source.path.split_once("/src/") else { return false };
    if source.is_generated() || path.starts_with("bin/") || matches!(path, "lib.rs" | "main.rs") {
        return false;
    }
    let path = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let above = match dir {
        "" => ["lib.rs".to_owned(), "main.rs".to_owned()],
        dir => [format!("{dir}/mod.rs"), format!("{dir}.rs")],
    };
    let declaration = format!("mod {name};");
    let names_it = |other: &Source| {
        let Some((its_crate, its_path)) = other.path.split_once("/src/") else { return false };
        its_crate == krate && above.iter().any(|path| path == its_path) && other.text.contains(&declaration)
    };
    !all.iter().any(names_it)
}

fn names(source: &Source, complain: &mut impl FnMut(String)) {
    if EMPTY_MODULES.contains(&source.stem()) {
        complain("names nothing; name its noun".to_owned());
    }
    for (_, line) in source.product_lines() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        let declares = words.any(|word| matches!(word, "struct" | "enum" | "trait"));
        let Some(name) = declares.then(|| words.next()).flatten() else { continue };
        if EMPTY_NAMES.iter().any(|empty| name.ends_with(empty)) {
            complain(format!("`{name}` says nothing about what it is"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
        let complaints = all(root).unwrap();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }

    fn complaints(path: &str, text: &str) -> String {
        check(&Source { path: path.to_owned(), text: text.to_owned() }).join("\n")
    }

    #[test]
    fn a_file_that_no_module_names_is_an_orphan() {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let all = [
            source("crates/a/src/lib.rs", "pub mod b;"),
            source("crates/a/src/b/mod.rs", "mod c;"),
            source("crates/a/src/b/c.rs", ""),
            source("crates/a/src/b/d.rs", ""),
            source("crates/z/src/b.rs", ""),
        ];
        let orphans: Vec<&str> = all.iter().filter(|one| orphaned(one, &all)).map(|one| one.path.as_str()).collect();
        assert_eq!(orphans, ["crates/a/src/b/d.rs", "crates/z/src/b.rs"]);
    }

    #[test]
    fn each_rule_complains() {
        let long = "//! x\n".to_owned() + &"// line\n".repeat(FILE_LINES_MAX + 1);
        assert!(complaints("crates/a/src/b.rs", &long).contains("602 lines"));
        assert!(complaints("crates/a/src/b.rs", "fn f() {}\n").contains("opens with"));
        assert!(complaints("crates/a/src/util.rs", "//! x\n").contains("names nothing"));
        assert!(complaints("crates/a/src/b.rs", "//! x\npub struct PodManager;\n").contains("PodManager"));
        assert!(complaints("crates/api/src/b.rs", "//! x\nuse std::fs;\n").contains("pure code"));
        let function = format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(80));
        assert!(complaints("crates/a/src/b.rs", &function).contains("fn f has 80 lines"));
        assert_eq!(complaints("crates/a/src/b.rs", "//! x\nfn f() {}\n#[cfg(test)]\nmod tests { todo!() }\n"), "");
    }
}
