//! `cargo xtask codegen tags`: field numbers of Kubernetes' protobuf messages, taken from the published crate k8s-pb, and
//! from `tags_extra.txt` what that crate does not have.
//!
//! The table names each message's fields in lower case, for JSON and protobuf spell them differently. A message that JSON
//! writes into its parent (a Volume's source) has its type behind the name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{root, schema};

const PACKAGE: &str = "k8s-pb";
const VERSION: &str = "=0.9.0";
pub const TABLE: &str = "crates/api/src/gen/tags.txt";
const EXTRA: &str = include_str!("tags_extra.txt");
const HEAD: &str = "# Made by `cargo xtask codegen tags` from the field numbers of the crate k8s-pb 0.9.0 (Apache-2.0) and \
                    of xtask/src/codegen/tags_extra.txt.\n";

/// Where k8s-pb's modules are, and how the API names their packages.
const ROOTS: [(&str, &str); 2] = [("src/api", "io.k8s.api"), ("src/apimachinery/pkg", "io.k8s.apimachinery.pkg")];

pub fn table() -> Result<String> {
    let sources = fetch()?;
    let known = known_fields()?;
    let mut packages = BTreeMap::new();
    for (folder, package) in ROOTS {
        collect(&sources.join(folder), package, &known, &mut packages)?;
    }
    let mut package = "";
    for line in EXTRA.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('@') {
            Some(name) => package = name,
            None => add(packages.entry(package.to_owned()).or_default(), line),
        }
    }
    let mut text = HEAD.to_owned();
    for (package, messages) in packages {
        writeln!(text, "@{package}")?;
        text.push_str(&messages);
    }
    Ok(text)
}

/// Adds a message to those of a package, or fields to a message that is there.
fn add(messages: &mut String, line: &str) {
    let (name, fields) = line.split_once(' ').unwrap_or((line, ""));
    let mut lines: Vec<String> = messages.lines().map(str::to_owned).collect();
    match lines.iter_mut().find(|line| line.split(' ').next() == Some(name)) {
        Some(known) => {
            known.push(' ');
            known.push_str(fields);
        }
        None => lines.push(line.to_owned()),
    }
    lines.sort();
    *messages = lines.iter().map(|line| format!("{line}\n")).collect();
}

/// Lets cargo download the crate, and asks it where.
fn fetch() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("ironclad-tags-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("src"))?;
    std::fs::write(directory.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"tags\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{PACKAGE} = {{ version = \"{VERSION}\", default-features = false }}\n"
    );
    std::fs::write(directory.join("Cargo.toml"), manifest)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--format-version=1"]).current_dir(&directory).output()?;
    std::fs::remove_dir_all(&directory)?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let manifest =
        packages.iter().find(|package| package["name"] == PACKAGE).and_then(|found| found["manifest_path"].as_str());
    Ok(Path::new(manifest.context("cargo knows k8s-pb")?).parent().context("a manifest has a folder")?.to_owned())
}

/// The JSON fields of every type of the schema table by the type's whole name, all in lower case.
fn known_fields() -> Result<BTreeMap<String, Vec<String>>> {
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut package, mut name) = ("", String::new());
    let text = std::fs::read_to_string(root().join(schema::TABLE))?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.as_bytes().first() {
            Some(b'@') => package = &line[1..],
            Some(b' ') => {
                let field = line[1..].split(' ').next().unwrap_or_default().trim_end_matches(['!', '.', '*']);
                known.entry(name.clone()).or_default().push(field.to_lowercase());
            }
            _ => name = format!("{package}.{}", line.split(' ').next().unwrap_or_default()).to_lowercase(),
        }
    }
    Ok(known)
}

type Known = BTreeMap<String, Vec<String>>;

fn collect(folder: &Path, package: &str, known: &Known, packages: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, &format!("{package}.{name}"), known, packages)?;
            continue;
        }
        let served =
            known.keys().any(|known| known.rsplit_once('.').is_some_and(|(of, _)| of == package.to_lowercase()));
        if served {
            packages.insert(package.to_owned(), messages(&std::fs::read_to_string(&path)?, package, known)?);
        }
    }
    Ok(())
}

fn messages(source: &str, package: &str, known: &Known) -> Result<String> {
    let mut text = String::new();
    let (mut name, mut attribute) = (String::new(), String::new());
    let mut fields: Vec<(u32, String)> = Vec::new();
    for line in statements(source).iter().map(String::as_str) {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            name = rest.split([' ', '{']).next().unwrap_or_default().to_owned();
            fields.clear();
        } else if line.starts_with("#[prost(") && line.contains("tag = ") {
            line.clone_into(&mut attribute);
        } else if let Some((field, ty)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'))
            && !attribute.is_empty()
        {
            fields.push(field_text(&attribute, field, ty, known.get(&format!("{package}.{name}").to_lowercase()))?);
            attribute.clear();
        } else if line == "}" && !fields.is_empty() {
            let list: Vec<String> = fields.iter().map(|(number, text)| format!("{number}:{text}")).collect();
            writeln!(text, "{name} {}", list.join(" "))?;
            fields.clear();
        }
    }
    Ok(text)
}

/// The source's lines, with a field's declaration as one line however it is broken.
fn statements(source: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        match lines.last_mut() {
            Some(last) if open => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
        let last = lines.last().map(String::as_str).unwrap_or_default();
        let is_field = last.starts_with("pub ") && !last.starts_with("pub struct") && !last.starts_with("pub mod");
        open = is_field && last.matches('<').count() != last.matches('>').count();
    }
    lines
}

fn field_text(attribute: &str, field: &str, ty: &str, known: Option<&Vec<String>>) -> Result<(u32, String)> {
    let number =
        attribute.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next()).context("a field has a tag")?;
    let name = field.trim_start_matches("r#").replace('_', "").to_lowercase();
    let is_own = known.is_none_or(|known| known.contains(&name));
    let is_message = attribute.starts_with("#[prost(message, optional");
    if is_own || !is_message {
        return Ok((number.parse()?, name));
    }
    let inlined = ty.trim_end_matches([',', '>']).rsplit(['<', ':']).next().unwrap_or_default();
    Ok((number.parse()?, format!("{name}:{inlined}")))
}
