//! Mounts as data: a list of `MountOp`s says everything, one executor carries it out with the kernel's descriptor-based
//! mount calls (fsopen, open_tree, move_mount, mount_setattr; Linux 5.12).
//!
//! Targets are looked up inside a [`Root`] and cannot leave it. Sources of binds are opened first, in the mount
//! namespace they live in (`Sources::open`), so that the executor may then run in a new one and bidirectional
//! propagation keeps its peers.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use crate::root::Root;
use crate::{During, Error, Result};

/// One step. Paths named `target`, `path` and `link` are inside the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountOp {
    /// A directory with its parents.
    Dir { path: PathBuf, mode: u32 },
    /// A symbolic link; what is there already stays.
    Symlink { to: PathBuf, link: PathBuf },
    /// A device node; one that is there is replaced.
    Node { path: PathBuf, char_device: bool, major: u32, minor: u32, mode: u32 },
    /// A new instance of a file system. Options are (key, value); an empty value is a flag.
    New { fstype: String, target: PathBuf, options: Vec<(String, String)>, attr: Attr },
    /// A path of the mount namespace where the sources were opened, seen again at `target`.
    Bind {
        source: PathBuf,
        target: PathBuf,
        recursive: bool,
        attr: Attr,
        attr_recursive: bool,
        propagation: Propagation,
    },
    /// Makes the path read-only in place, with all below it. Nothing happens if it is missing.
    Readonly { path: PathBuf },
    /// Hides the path: a file behind /dev/null's node, a directory behind an empty read-only tmpfs.
    Mask { path: PathBuf },
    /// New attributes for the mount at `target`.
    Attr { target: PathBuf, attr: Attr, recursive: bool },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attr {
    pub readonly: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
}

impl Attr {
    pub const NONE: Self = Self { readonly: false, nosuid: false, nodev: false, noexec: false };
    pub const READONLY: Self = Self { readonly: true, ..Self::NONE };
    /// For file systems that hold no programs and no devices.
    pub const DATA: Self = Self { nosuid: true, nodev: true, noexec: true, readonly: false };

    fn bits(self) -> u64 {
        let flag = |on, bit: MountAttrFlags| if on { u64::from(bit.bits()) } else { 0 };
        flag(self.readonly, MountAttrFlags::MOUNT_ATTR_RDONLY)
            | flag(self.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID)
            | flag(self.nodev, MountAttrFlags::MOUNT_ATTR_NODEV)
            | flag(self.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    /// Mounts made at the source appear here, not the other way.
    Slave,
    /// Both ways; the source must be on a shared mount.
    Shared,
    /// As the source is.
    Keep,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Keep => 0,
        }
    }
}

/// The bind sources of a list, opened in order.
#[derive(Debug)]
pub struct Sources(Vec<OwnedFd>);

impl Sources {
    pub fn open(ops: &[MountOp]) -> Result<Self> {
        let trees = ops.iter().filter_map(|op| match op {
            MountOp::Bind { source, recursive, .. } => Some(open_tree(source, *recursive)),
            _ => None,
        });
        Ok(Self(trees.collect::<Result<_>>()?))
    }
}

/// Carries the list out inside `root`.
pub fn apply(root: &Root, ops: &[MountOp]) -> Result<()> {
    apply_opened(root, ops, Sources::open(ops)?)
}

/// As `apply`, with sources opened earlier (from the same list).
pub fn apply_opened(root: &Root, ops: &[MountOp], sources: Sources) -> Result<()> {
    let mut sources = sources.0.into_iter();
    for op in ops {
        match op {
            MountOp::Dir { path, mode } => root.make_dir(path, *mode).map(drop)?,
            MountOp::Symlink { to, link } => symlink(root, to, link)?,
            MountOp::Node { path, char_device, major, minor, mode } => {
                node(root, path, *char_device, rustix::fs::makedev(*major, *minor), *mode)?;
            }
            MountOp::New { fstype, target, options, attr } => {
                let tree = new(fstype, options, *attr)?;
                attach(&tree, &root.make_dir(target, 0o755)?)
                    .during(|| format!("mount {fstype} at {}", target.display()))?;
            }
            MountOp::Bind { source, target, attr, attr_recursive, propagation, .. } => {
                let tree = sources.next().ok_or_else(|| Error::new("bind", Errno::INVAL))?;
                bind(root, tree, target, *attr, *attr_recursive, *propagation).map_err(|e| {
                    Error::new(format!("mount {} at {}: {}", source.display(), target.display(), e.op), e.source)
                })?;
            }
            MountOp::Readonly { path } => readonly(root, path)?,
            MountOp::Mask { path } => mask(root, path)?,
            MountOp::Attr { target, attr, recursive } => {
                let at = root.lookup(target).during(|| format!("open {}", target.display()))?;
                set_attr(&at, attr.bits(), 0, *recursive)
                    .during(|| format!("set attributes of {}", target.display()))?;
            }
        }
    }
    Ok(())
}

/// An overlay of read-only layers (uppermost first) under a writable one, not yet attached.
pub fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    match overlay_by_layer(lower, upper, work) {
        // `lowerdir+` is from Linux 6.8; before, all layers go in one string.
        Err(error) if error.source.raw_os_error() == Some(libc::EINVAL) => overlay_by_string(lower, upper, work),
        other => other,
    }
}

fn overlay_by_layer(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).during(|| "fsopen overlay")?;
    for layer in lower {
        rustix::mount::fsconfig_set_string(&fs, "lowerdir+", layer.as_path())
            .during(|| format!("overlay layer {}", layer.display()))?;
    }
    rustix::mount::fsconfig_set_string(&fs, "upperdir", upper)
        .during(|| format!("overlay upper {}", upper.display()))?;
    rustix::mount::fsconfig_set_string(&fs, "workdir", work).during(|| format!("overlay work {}", work.display()))?;
    rustix::mount::fsconfig_create(&fs).during(|| "mount overlay")?;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).during(|| "fsmount overlay")
}

fn overlay_by_string(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    let lower: Vec<String> = lower.iter().map(|layer| layer.display().to_string()).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    if options.len() > 4095 {
        return Err(Error::new(format!("overlay of {} layers", lower.len()), Errno::NAMETOOLONG));
    }
    // The old call can only attach at a path: attach in `work`'s sibling, take the tree, detach.
    let at = work.with_file_name("rootfs");
    std::fs::create_dir_all(&at).during(|| format!("make {}", at.display()))?;
    let data = CString::new(options).map_err(|e| Error::new("overlay options", io::Error::from(e)))?;
    rustix::mount::mount("overlay", &at, "overlay", rustix::mount::MountFlags::empty(), Some(data.as_c_str()))
        .during(|| "mount overlay")?;
    let tree = open_tree(&at, false);
    rustix::mount::unmount(&at, UnmountFlags::DETACH).during(|| format!("unmount {}", at.display()))?;
    tree
}

/// A detached instance of a file system.
pub fn new(fstype: &str, options: &[(String, String)], attr: Attr) -> Result<OwnedFd> {
    let fs = rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).during(|| format!("fsopen {fstype}"))?;
    // What df and /proc/mounts show as the device.
    rustix::mount::fsconfig_set_string(&fs, "source", fstype).during(|| format!("{fstype} source"))?;
    for (key, value) in options {
        let done = if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&fs, key.as_str())
        } else {
            rustix::mount::fsconfig_set_string(&fs, key.as_str(), value.as_str())
        };
        done.during(|| format!("{fstype} option {key}={value}"))?;
    }
    rustix::mount::fsconfig_create(&fs).during(|| format!("create {fstype}"))?;
    let attr = MountAttrFlags::from_bits_retain(u32::try_from(attr.bits()).unwrap_or_default());
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attr).during(|| format!("fsmount {fstype}"))
}

/// A detached copy of the mount at `source`.
pub fn open_tree(source: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(CWD, source, flags).during(|| format!("open {}", source.display()))
}

/// Attaches a detached tree at an open directory or file.
pub fn attach(tree: impl AsFd, at: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", at, "", flags)
}

/// Attaches a detached tree at a path.
pub fn attach_at(tree: impl AsFd, path: &Path) -> Result<()> {
    rustix::mount::move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during(|| format!("mount at {}", path.display()))
}

/// Changes how mounts under `path` propagate.
pub fn set_propagation(path: &Path, propagation: Propagation, recursive: bool) -> Result<()> {
    let at = rustix::fs::open(path, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, Mode::empty())
        .during(|| format!("open {}", path.display()))?;
    set_attr(&at, 0, propagation.bits(), recursive).during(|| format!("set propagation of {}", path.display()))
}

/// Makes the attached mount `root` the root of the calling process's mount namespace and lets the old one go.
pub fn pivot(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root).during(|| "enter new root")?;
    rustix::process::pivot_root(".", ".").during(|| "pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).during(|| "unmount old root")?;
    rustix::process::chdir("/").during(|| "enter /")
}

/// Unmounts what is at `path`, lazily; nothing there is fine.
pub fn unmount(path: &Path) -> Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(Error::new(format!("unmount {}", path.display()), error)),
    }
}

fn bind(
    root: &Root,
    tree: OwnedFd,
    target: &Path,
    attr: Attr,
    attr_recursive: bool,
    propagation: Propagation,
) -> Result<()> {
    if propagation != Propagation::Keep {
        set_attr(&tree, 0, propagation.bits(), true).during(|| "set propagation")?;
    }
    if attr != Attr::NONE {
        set_attr(&tree, attr.bits(), 0, attr_recursive).during(|| "set attributes")?;
    }
    let stat = rustix::fs::fstat(&tree).during(|| "stat source")?;
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
    let at = if is_dir { root.make_dir(target, 0o755)? } else { root.make_file(target)? };
    attach(&tree, &at).during(|| "attach")
}

fn symlink(root: &Root, to: &Path, link: &Path) -> Result<()> {
    let (parent, name) = root.make_parent(link)?;
    match rustix::fs::symlinkat(to, &parent, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(Error::new(format!("symlink {}", link.display()), error)),
    }
}

fn node(root: &Root, path: &Path, char_device: bool, device: rustix::fs::Dev, mode: u32) -> Result<()> {
    let (parent, name) = root.make_parent(path)?;
    let kind = if char_device { rustix::fs::FileType::CharacterDevice } else { rustix::fs::FileType::BlockDevice };
    match rustix::fs::unlinkat(&parent, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(Error::new(format!("replace {}", path.display()), error)),
    }
    let mode = Mode::from_raw_mode(mode);
    rustix::fs::mknodat(&parent, name, kind, mode, device).during(|| format!("make node {}", path.display()))?;
    // mknod's mode is cut by the umask.
    rustix::fs::chmodat(&parent, name, mode, rustix::fs::AtFlags::empty())
        .during(|| format!("chmod {}", path.display()))
}

fn readonly(root: &Root, path: &Path) -> Result<()> {
    let at = match root.lookup(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other.during(|| format!("open {}", path.display()))?,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&at, "", flags).during(|| format!("open {}", path.display()))?;
    set_attr(&tree, Attr::READONLY.bits(), 0, true).during(|| format!("make {} read-only", path.display()))?;
    attach(&tree, &at).during(|| format!("make {} read-only", path.display()))
}

fn mask(root: &Root, path: &Path) -> Result<()> {
    let at = match root.lookup(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other.during(|| format!("open {}", path.display()))?,
    };
    let stat = rustix::fs::fstat(&at).during(|| format!("stat {}", path.display()))?;
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
    let tree = if is_dir {
        new(
            "tmpfs",
            &[("size".into(), "0".into()), ("nr_inodes".into(), "2".into())],
            Attr { readonly: true, ..Attr::DATA },
        )?
    } else {
        let null = root.lookup(Path::new("/dev/null")).during(|| "open /dev/null")?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        rustix::mount::open_tree(&null, "", flags).during(|| "open /dev/null")?
    };
    attach(&tree, &at).during(|| format!("mask {}", path.display()))
}

fn set_attr(tree: impl AsFd, set: u64, propagation: u64, recursive: bool) -> rustix::io::Result<()> {
    /// struct mount_attr of <linux/mount.h>.
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: a valid descriptor, an empty C string, and a struct of the size given; all outlive the call.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if rc == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
