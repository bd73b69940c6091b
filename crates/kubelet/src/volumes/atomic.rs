//! Writes a set of files so that a reader sees all of the old set or all of the new one.
//!
//! ```text
//! volume/..2026_11_20_1/a.txt      the data, never changed once it is linked
//! volume/..data -> ..2026_11_20_1  switched by one rename
//! volume/a.txt -> ..data/a.txt     what users open
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

/// Files by their path inside the volume.
pub type Payload = BTreeMap<String, PayloadFile>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFile {
    pub bytes: Vec<u8>,
    pub mode: u32,
}

const DATA: &str = "..data";

/// Makes the volume hold exactly `payload`; true when something changed.
pub fn write(dir: &Path, payload: &Payload, fs_group: Option<i64>) -> io::Result<bool> {
    payload.keys().try_for_each(|path| check_path(path))?;
    let data = dir.join(DATA);
    let old = std::fs::read_link(&data).ok();
    if old.is_some() && holds(&data, payload)? {
        return Ok(false);
    }
    let name = next_name(dir, old.as_deref())?;
    let fresh = dir.join(&name);
    write_all(&fresh, payload, fs_group)?;
    let staged = dir.join("..data_tmp");
    remove_if_there(&staged)?;
    symlink(&name, &staged)?;
    std::fs::rename(&staged, &data)?;
    link_names(dir, payload)?;
    if let Some(old) = old {
        std::fs::remove_dir_all(dir.join(old))?;
    }
    Ok(true)
}

fn check_path(path: &str) -> io::Result<()> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.starts_with("..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?} in a volume")));
    }
    Ok(())
}

/// Whether the linked data is the payload already: same files, same content, same modes.
fn holds(data: &Path, payload: &Payload) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    list(data, "", &mut found)?;
    if found.len() != payload.len() {
        return Ok(false);
    }
    for (path, file) in payload {
        let at = data.join(path);
        if !found.contains(path) || std::fs::read(&at)? != file.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.insert(name);
        }
    }
    Ok(())
}

/// A directory name that is not in use: readers may still have the old one open.
fn next_name(dir: &Path, old: Option<&Path>) -> io::Result<String> {
    let last =
        old.and_then(|old| old.to_str()).and_then(|old| old.strip_prefix("..")).and_then(|n| n.parse::<u64>().ok());
    let mut number = last.unwrap_or(0);
    loop {
        number += 1;
        let name = format!("..{number}");
        let at = dir.join(&name);
        if !at.exists() {
            return Ok(name);
        }
        // Left behind by a crash before it was linked.
        std::fs::remove_dir_all(at)?;
    }
}

fn write_all(fresh: &Path, payload: &Payload, fs_group: Option<i64>) -> io::Result<()> {
    std::fs::create_dir_all(fresh)?;
    std::fs::set_permissions(fresh, std::fs::Permissions::from_mode(0o755))?;
    let gid = fs_group.and_then(|group| u32::try_from(group).ok());
    for (path, file) in payload {
        let at = fresh.join(path);
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&at, &file.bytes)?;
        let mode = if gid.is_some() { file.mode | 0o440 } else { file.mode };
        if gid.is_some() {
            std::os::unix::fs::chown(&at, None, gid)?;
        }
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Links the first part of every path into `..data`, and removes links of what is gone.
fn link_names(dir: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(name.as_str()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        let at = dir.join(name);
        if std::fs::symlink_metadata(&at).is_err() {
            symlink(Path::new(DATA).join(name), at)?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
