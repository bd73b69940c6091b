//! Does the steps of [`super::plan`]. It never chooses.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::driver::plan::{MountFlag, NodeOp};

/// Does `op`; the error names it.
pub fn run(op: &NodeOp) -> io::Result<()> {
    attempt(op)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {}", label(op), crate::trouble::plain(&error))))
}

fn attempt(op: &NodeOp) -> io::Result<()> {
    match op {
        NodeOp::PrivateMounts => {
            let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            Ok(rustix::mount::mount_change("/", flags)?)
        }
        NodeOp::SharedMounts => {
            let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
            Ok(rustix::mount::mount_change("/", flags)?)
        }
        NodeOp::Directory { path, mode } => make_directory(path, *mode),
        NodeOp::Mount { kind, target, flags, data } => {
            let flags = flags.iter().fold(MountFlags::empty(), |all, flag| {
                all | match flag {
                    MountFlag::NoSuid => MountFlags::NOSUID,
                    MountFlag::NoDev => MountFlags::NODEV,
                    MountFlag::NoExec => MountFlags::NOEXEC,
                }
            });
            let data = std::ffi::CString::new(data.as_str()).map_err(io::Error::other)?;
            Ok(rustix::mount::mount(*kind, target, *kind, flags, data.as_c_str())?)
        }
        NodeOp::Bind { from, to } => {
            if from.is_file() && !to.exists() {
                fs::File::create(to)?;
            }
            Ok(rustix::mount::mount_bind(from, to)?)
        }
        NodeOp::Device { path, major, minor, mode } => {
            let device = rustix::fs::makedev(*major, *minor);
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(*mode), device)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))
        }
        NodeOp::Symlink { at, to } => Ok(rustix::fs::symlink(*to, at)?),
        NodeOp::Write { path, text } => {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::write(path, text)
        }
        NodeOp::Hostname { name } => Ok(rustix::system::sethostname(name.as_bytes())?),
        NodeOp::Pivot { root } => pivot(root),
        NodeOp::Sysctl { key, value } => match fs::write(Path::new("/proc/sys").join(key), value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
    }
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The old root ends up on top of the new one and is let go, so that no directory for it is needed.
fn pivot(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn label(op: &NodeOp) -> String {
    match op {
        NodeOp::PrivateMounts => "make mounts private".to_owned(),
        NodeOp::SharedMounts => "make mounts shared".to_owned(),
        NodeOp::Directory { path, .. } => format!("make {}", path.display()),
        NodeOp::Mount { kind, target, .. } => format!("mount {kind} on {}", target.display()),
        NodeOp::Bind { from, to } => format!("bind {} to {}", from.display(), to.display()),
        NodeOp::Device { path, .. } => format!("make device {}", path.display()),
        NodeOp::Symlink { at, .. } => format!("link {}", at.display()),
        NodeOp::Write { path, .. } => format!("write {}", path.display()),
        NodeOp::Hostname { name } => format!("set host name {name}"),
        NodeOp::Pivot { root } => format!("pivot to {}", root.display()),
        NodeOp::Sysctl { key, .. } => format!("set {key}"),
    }
}
