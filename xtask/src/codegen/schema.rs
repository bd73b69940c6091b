//! `cargo xtask codegen schema`: the published definitions of the Kubernetes API, turned into the committed table of facts
//! that `api::schema` reads (docs/adr/0003-schema-tables.md describes its form).
//!
//! The source is the PyPI package `kubernetes-validate`, which has transformed upstream's OpenAPI v2 (nullable types,
//! `$defs`); the transforms are undone here. Descriptions are left behind. What OpenAPI does not say - which optional
//! fields are pointers in the Go structs, so that their zero values are kept - is in [`super::shapes`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::shapes;

pub const PACKAGE: &str = "kubernetes-validate==1.37.0";
const DEFINITIONS: &str = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json";
pub const TABLE: &str = "crates/api/src/gen/v1_36.txt";

/// The table for the definitions at `definitions`, or for those of the published package.
pub fn table(definitions: Option<&Path>) -> Result<String> {
    let text = match definitions {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?,
        None => fetch()?,
    };
    let tree: Value = serde_json::from_str(&text).context("parse the definitions")?;
    render(tree.get("$defs").and_then(Value::as_object).context("the definitions have no $defs")?)
}

/// The definitions of the published package, kept in the target directory once they were downloaded with pip.
fn fetch() -> Result<String> {
    let kept = super::root().join("target/codegen").join(format!("definitions-{}.json", PACKAGE.replace("==", "-")));
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(text);
    }
    let dir = std::env::temp_dir().join(format!("ironclad-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let text = download(&dir);
    std::fs::remove_dir_all(&dir)?;
    let text = text?;
    // Only to spare the next download.
    if std::fs::create_dir_all(kept.with_file_name("")).is_ok() {
        std::fs::write(&kept, &text).ok();
    }
    Ok(text)
}

fn download(dir: &Path) -> Result<String> {
    let pip = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10", "--dest"])
        .arg(dir)
        .arg(PACKAGE)
        .output()
        .context("run python3 -m pip")?;
    ensure!(pip.status.success(), "pip download {PACKAGE}: {}", String::from_utf8_lossy(&pip.stderr).trim());
    let wheel: PathBuf = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")?;
    let script = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    let unzip = Command::new("python3").args(["-c", script]).arg(&wheel).arg(DEFINITIONS).output()?;
    ensure!(unzip.status.success(), "unpack {}: {}", wheel.display(), String::from_utf8_lossy(&unzip.stderr).trim());
    Ok(String::from_utf8(unzip.stdout)?)
}

fn render(definitions: &Map<String, Value>) -> Result<String> {
    let mut packages: BTreeMap<&str, BTreeMap<&str, &Value>> = BTreeMap::new();
    for (name, definition) in definitions {
        let (package, kind) = name.rsplit_once('.').with_context(|| format!("no package in {name}"))?;
        packages.entry(package).or_default().insert(kind, definition);
    }
    let mut out = String::from(
        "# Made by `cargo xtask codegen schema` from the facts of the Kubernetes v1.36 API definitions (Apache-2.0).\n",
    );
    for (package, kinds) in packages {
        writeln!(out, "@{package}")?;
        for (kind, definition) in kinds {
            definition_lines(&mut out, package, kind, definition).with_context(|| format!("{package}.{kind}"))?;
        }
    }
    Ok(out)
}

fn definition_lines(out: &mut String, package: &str, kind: &str, definition: &Value) -> Result<()> {
    write!(out, "{kind}")?;
    if let Some(code) = shapes::opaque(package, kind) {
        writeln!(out, " {code}")?;
        return Ok(());
    }
    if definition.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic") {
        write!(out, " atomic")?;
    }
    for gvk in definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array).into_iter().flatten() {
        let part = |key| gvk.get(key).and_then(Value::as_str).unwrap_or_default();
        // DeleteOptions and WatchEvent are registered in every group; only kinds of their own group name themselves.
        if part("kind") == kind && !matches!(kind, "DeleteOptions" | "WatchEvent") {
            write!(out, " ={}/{}", part("group"), part("version"))?;
        }
    }
    writeln!(out)?;
    let required: Vec<&str> =
        definition.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in definition.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let ty = type_code(package, field).with_context(|| name.clone())?;
        let required = required.contains(&name.as_str());
        // A kind's spec is a value in Go, also where the API asks for it.
        let flag = if required && name == "spec" && definition.get("x-kubernetes-group-version-kind").is_some() {
            "."
        } else if required {
            "!"
        } else {
            shapes::flag(kind, name, &ty, definition)
        };
        write!(out, " {name}{flag} {ty}")?;
        patch_codes(out, field)?;
        writeln!(out)?;
    }
    Ok(())
}

/// `s` string, `i` int32, `l` int64, `d` double, `b` bool, `y` bytes, `t` time; `[]` atomic, `[set]`, `[map a,b]` lists;
/// `{}` maps and `{atomic}`; anything else names a type, of the same package if it has no dot.
fn type_code(package: &str, field: &Value) -> Result<String> {
    if let Some(reference) = field.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix("#/$defs/").context("a foreign $ref")?;
        let local = name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.'));
        let atomic = field.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        return Ok(format!("{}{}", if atomic { "~" } else { "" }, local.unwrap_or(name)));
    }
    let kind = match field.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).context("an empty type")?,
        _ => return Ok("a".to_owned()),
    };
    let format = field.get("format").and_then(Value::as_str);
    Ok(match (kind, format) {
        ("string", Some("byte")) => "y".to_owned(),
        ("string", Some("date-time")) => "t".to_owned(),
        ("string", _) => "s".to_owned(),
        ("integer", Some("int32")) => "i".to_owned(),
        ("integer", _) => "l".to_owned(),
        ("number", _) => "d".to_owned(),
        ("boolean", _) => "b".to_owned(),
        ("array", _) => {
            let item = type_code(package, field.get("items").context("an array without items")?)?;
            let keys = field.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let list = match field.get("x-kubernetes-list-type").and_then(Value::as_str) {
                None | Some("atomic") => String::new(),
                Some("set") => "set".to_owned(),
                Some("map") => {
                    let keys: Vec<&str> =
                        keys.context("a map list without keys")?.iter().filter_map(Value::as_str).collect();
                    format!("map:{}", keys.join(","))
                }
                Some(other) => bail!("list-type {other}"),
            };
            format!("[{list}]{item}")
        }
        ("object", _) => {
            let atomic = field.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
            let value =
                field.get("additionalProperties").map_or_else(|| Ok("a".to_owned()), |v| type_code(package, v))?;
            format!("{{{}}}{value}", if atomic { "atomic" } else { "" })
        }
        (other, _) => bail!("type {other}"),
    })
}

fn patch_codes(out: &mut String, field: &Value) -> Result<()> {
    let Some(strategy) = field.get("x-kubernetes-patch-strategy").and_then(Value::as_str) else { return Ok(()) };
    write!(out, " {strategy}")?;
    if let Some(key) = field.get("x-kubernetes-patch-merge-key").and_then(Value::as_str) {
        write!(out, "={key}")?;
    }
    Ok(())
}
