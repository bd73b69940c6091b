//! Unpacks one layer's tar into a directory for overlayfs: whiteouts become 0:0 devices, opaque directories get the
//! overlay's attribute. Every path is looked up inside the directory and cannot leave it, whatever the tar says.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use linux::root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Entry, EntryType};

use super::store::Hashing;
use super::{During, Error, Result};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Returns the digest of the plain tar.
pub fn layer(packed: impl Read, dir: &Path) -> Result<String> {
    let root = Root::open(dir).map_err(|error| Error::Invalid(error.to_string()))?;
    let mut plain = Hashing::new(plain(packed)?);
    let mut archive = tar::Archive::new(&mut plain);
    // Making files in a directory changes its time, so directories' times come last.
    let mut dir_times = Vec::new();
    for entry in archive.entries().during(|| "read layer".into())? {
        let mut entry = entry.during(|| "read layer".into())?;
        one(&root, &mut entry, &mut dir_times)?;
    }
    for (path, time) in dir_times.into_iter().rev() {
        if let Ok(fd) = root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            let _ = rustix::fs::futimens(&fd, &times(time));
        }
    }
    // What follows the end mark belongs to the digest too.
    std::io::copy(&mut plain, &mut std::io::sink()).during(|| "read layer".into())?;
    Ok(plain.digest())
}

/// Unpacks gzip and zstd, told by their first bytes.
pub fn plain<'a>(packed: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut packed = BufReader::with_capacity(128 * 1024, packed);
    let start = packed.fill_buf().during(|| "read layer".into())?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(packed)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(zstd::Decoder::with_buffer(packed).during(|| "read zstd layer".into())?));
    }
    Ok(Box::new(packed))
}

fn one(root: &Root, entry: &mut Entry<'_, impl Read>, dir_times: &mut Vec<(PathBuf, i64)>) -> Result<()> {
    let path = entry.path().during(|| "read path in layer".into())?.into_owned();
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) {
        return Ok(());
    }
    let path: PathBuf = path.components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
    let bad = |error: linux::Error| Error::Io {
        what: format!("unpack {}: {}", path.display(), error.op),
        source: error.source,
    };
    let failed = |error: Errno| Error::Io { what: format!("unpack {}", path.display()), source: error.into() };
    let mtime = i64::try_from(entry.header().mtime().unwrap_or_default()).unwrap_or_default();
    if path.as_os_str().is_empty() || kind == EntryType::Directory {
        let fd = make_directory(root, &path).map_err(bad)?;
        finish(&fd, entry).map_err(failed)?;
        dir_times.push((path, mtime));
        return Ok(());
    }
    let (parent, name) = root.make_parent(&path).map_err(bad)?;
    let text = name.to_string_lossy();
    if text == OPAQUE {
        let fd = make_directory(root, path.parent().unwrap_or(Path::new(""))).map_err(bad)?;
        return rustix::fs::fsetxattr(&fd, "trusted.overlay.opaque", b"y", XattrFlags::empty()).map_err(failed);
    }
    if let Some(hidden) = text.strip_prefix(WHITEOUT) {
        remove(&parent, hidden).map_err(failed)?;
        return rustix::fs::mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), 0).map_err(failed);
    }
    remove(&parent, name).map_err(failed)?;
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
            let mut file = std::fs::File::from(fd);
            std::io::copy(entry, &mut file).during(|| format!("unpack {}", path.display()))?;
            finish(&file, entry).map_err(failed)?;
            return rustix::fs::futimens(&file, &times(mtime)).map_err(failed);
        }
        EntryType::Link => return hard_link(root, entry, &parent, name, &path),
        EntryType::Symlink => {
            let to = entry.link_name().during(|| "read link".into())?.unwrap_or_default().into_owned();
            rustix::fs::symlinkat(&to, &parent, name).map_err(failed)?;
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            let device = rustix::fs::makedev(
                entry.header().device_major().ok().flatten().unwrap_or_default(),
                entry.header().device_minor().ok().flatten().unwrap_or_default(),
            );
            let (file_type, device) = match kind {
                EntryType::Char => (FileType::CharacterDevice, device),
                EntryType::Block => (FileType::BlockDevice, device),
                _ => (FileType::Fifo, 0),
            };
            rustix::fs::mknodat(&parent, name, file_type, Mode::from_raw_mode(0o600), device).map_err(failed)?;
        }
        other => return Err(Error::Invalid(format!("unpack {}: unknown entry type {other:?}", path.display()))),
    }
    own(&parent, name, entry).map_err(failed)?;
    if kind != EntryType::Symlink {
        let mode = Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & 0o7777);
        rustix::fs::chmodat(&parent, name, mode, AtFlags::empty()).map_err(failed)?;
    }
    rustix::fs::utimensat(&parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
}

/// A directory open for changing it. What is there and is none goes.
fn make_directory(root: &Root, path: &Path) -> linux::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    match root.open_at(path, flags, Mode::empty()) {
        Ok(fd) => return Ok(fd),
        Err(Errno::NOENT) => {}
        Err(_) => {
            let (parent, name) = root.make_parent(path)?;
            remove(&parent, name).map_err(|error| linux::Error::new("replace", error))?;
        }
    }
    root.make_dir(path, 0o755)?;
    root.open_at(path, flags, Mode::empty()).map_err(|error| linux::Error::new("open directory", error))
}

/// Removes what an earlier entry of the same layer put there. A directory with content stays, and the making fails.
fn remove(parent: impl AsFd, name: impl rustix::path::Arg + Copy) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn hard_link(
    root: &Root,
    entry: &Entry<'_, impl Read>,
    parent: impl AsFd,
    name: &std::ffi::OsStr,
    path: &Path,
) -> Result<()> {
    let to = entry.link_name().during(|| "read link".into())?.unwrap_or_default().into_owned();
    let what = || format!("unpack {}: link to {}", path.display(), to.display());
    let target_name = to.file_name().ok_or_else(|| Error::Invalid(what()))?;
    let target_parent = root.lookup(to.parent().unwrap_or(Path::new("/"))).during(what)?;
    // The name itself is not followed: linkat without AT_SYMLINK_FOLLOW links a symbolic link, not its target.
    rustix::fs::linkat(&target_parent, target_name, parent, name, AtFlags::empty()).during(what)
}

/// Owner, mode and extended attributes of an open file; in this order, since a change of owner drops the others.
fn finish(fd: impl AsFd, entry: &mut Entry<'_, impl Read>) -> rustix::io::Result<()> {
    let (uid, gid) = ids(entry);
    rustix::fs::fchown(&fd, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.header().mode().unwrap_or(0o755) & 0o7777))?;
    let Ok(Some(extensions)) = entry.pax_extensions() else { return Ok(()) };
    for extension in extensions.flatten() {
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) else { continue };
        // An attribute of overlayfs itself would let an image reach into how layers are put together.
        if name.starts_with("trusted.overlay.") {
            continue;
        }
        match rustix::fs::fsetxattr(&fd, name, extension.value_bytes(), XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn own(parent: impl AsFd, name: &std::ffi::OsStr, entry: &Entry<'_, impl Read>) -> rustix::io::Result<()> {
    let (uid, gid) = ids(entry);
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn ids(entry: &Entry<'_, impl Read>) -> (Uid, Gid) {
    let id = |value: std::io::Result<u64>| value.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
    (Uid::from_raw(id(entry.header().uid())), Gid::from_raw(id(entry.header().gid())))
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
