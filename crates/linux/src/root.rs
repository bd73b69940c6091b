//! A directory as a root that no path can leave: every lookup is openat2 with RESOLVE_IN_ROOT, so neither `..` nor a
//! symbolic link in an image or a volume reaches outside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{During, Error, Result};

/// Symbolic links to missing places that are followed while making a directory.
const DANGLING_MAX: u32 = 8;

#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).during(|| format!("open {}", path.display()))?;
        Ok(Self { fd })
    }

    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens what is at `path` (absolute paths start at the root); the last link is followed too.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::IN_ROOT) {
                // The kernel could not be sure that a `..` stays inside while something was renamed: look again.
                Err(Errno::AGAIN) if !flags.contains(OFlags::NONBLOCK) => {}
                other => return other,
            }
        }
    }

    pub fn lookup(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH, Mode::empty())
    }

    /// The directory at `path`, made with its parents where missing.
    pub fn make_dir(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        self.make_dir_bounded(path, mode, DANGLING_MAX).during(|| format!("make directory {}", path.display()))
    }

    fn make_dir_bounded(&self, path: &Path, mode: u32, dangling_max: u32) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_at(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut at = self.open_at(Path::new("."), flags, Mode::empty())?;
        let mut so_far = PathBuf::from("/");
        for part in path.components() {
            let Component::Normal(name) = part else {
                if part == Component::ParentDir {
                    so_far.pop();
                    at = self.open_at(&so_far, flags, Mode::empty())?;
                }
                continue;
            };
            so_far.push(name);
            at = match self.open_at(&so_far, flags, Mode::empty()) {
                Err(Errno::NOENT) => match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(mode)) {
                    Ok(()) => self.open_at(&so_far, flags, Mode::empty())?,
                    Err(Errno::EXIST) if dangling_max > 0 => {
                        let link = rustix::fs::readlinkat(&at, name, Vec::new())?;
                        let link = std::ffi::OsStr::new(std::str::from_utf8(link.to_bytes()).or(Err(Errno::ILSEQ))?);
                        let target = so_far.parent().unwrap_or(Path::new("/")).join(link);
                        self.make_dir_bounded(&target, mode, dangling_max - 1)?
                    }
                    Err(error) => return Err(error),
                },
                other => other?,
            };
        }
        Ok(at)
    }

    /// The file at `path`, made empty with its parent directories where missing.
    pub fn make_file(&self, path: &Path) -> Result<OwnedFd> {
        if let Ok(fd) = self.lookup(path) {
            return Ok(fd);
        }
        self.make_parent(path)?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NONBLOCK;
        self.open_at(path, flags, Mode::from_raw_mode(0o644)).during(|| format!("make file {}", path.display()))?;
        self.lookup(path).during(|| format!("open {}", path.display()))
    }

    /// The directory that holds `path`, made where missing, and the last name.
    pub fn make_parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a std::ffi::OsStr)> {
        let name =
            path.file_name().ok_or_else(|| Error::new(format!("open parent of {}", path.display()), Errno::INVAL))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.make_dir(parent, 0o755)?, name))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
