//! `cargo xtask codegen [schema|tags|cri] [--definitions PATH]`: makes the committed generated files from published packages.
//!
//! Every subject yields the text of one file, which is written only if it has changed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub mod cri;
pub mod schema;
mod shapes;
pub mod tags;

/// Runs one subject, or all of them when none is named.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut subject = None;
    let mut definitions: Option<PathBuf> = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--definitions" => definitions = Some(rest.next().context("--definitions needs a path")?.into()),
            "cri" | "schema" | "tags" => subject = Some(argument.as_str()),
            other => {
                bail!("unknown argument {other:?}; usage: cargo xtask codegen [schema|tags|cri] [--definitions PATH]")
            }
        }
    }
    if matches!(subject, None | Some("schema")) {
        write(schema::TABLE, &schema::table(definitions.as_deref())?)?;
    }
    if matches!(subject, None | Some("tags")) {
        write(tags::TABLE, &tags::table()?)?;
    }
    if matches!(subject, None | Some("cri"))
        && let Some(text) = cri::generate()?
    {
        write(cri::MESSAGES, &text)?;
    }
    Ok(())
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn write(path: &str, text: &str) -> Result<()> {
    let full = root().join(path);
    let fresh = std::fs::read_to_string(&full).is_ok_and(|old| old == text);
    if !fresh {
        std::fs::write(&full, text).with_context(|| format!("write {path}"))?;
    }
    println!("{path}: {} bytes, {}", text.len(), if fresh { "unchanged" } else { "written" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, made: Result<String>) {
        match made {
            Ok(text) => {
                let committed = std::fs::read_to_string(root().join(path)).unwrap();
                assert!(committed == text, "{path} is stale: run `cargo xtask codegen`");
            }
            Err(why) => eprintln!("skipped: {path} cannot be made here: {why:#}"),
        }
    }

    #[test]
    fn the_schema_table_is_what_the_published_definitions_say() {
        check(schema::TABLE, schema::table(None));
    }

    #[test]
    fn the_field_numbers_are_what_the_published_crate_says() {
        check(tags::TABLE, tags::table());
    }

    #[cfg(feature = "codegen")]
    #[test]
    fn the_cri_messages_are_what_the_published_proto_file_says() {
        check(cri::MESSAGES, cri::generate().map(Option::unwrap_or_default));
    }
}
