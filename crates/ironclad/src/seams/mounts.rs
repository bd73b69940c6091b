//! The mounts that the kubelet's volumes need.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use kubelet::config::Mounts;
use linux::mount::{self, Attr};
use rustix::mount::{MountFlags, OpenTreeFlags, UnmountFlags};

pub struct KernelMounts;

fn failed(error: linux::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

impl Mounts for KernelMounts {
    fn tmpfs(&self, target: &Path, size_bytes: Option<u64>) -> io::Result<()> {
        let size = size_bytes.map(|bytes| ("size".to_owned(), bytes.to_string()));
        let options: Vec<_> = size.into_iter().chain([("mode".to_owned(), "0777".to_owned())]).collect();
        let tree = mount::new("tmpfs", &options, Attr::NONE).map_err(failed)?;
        mount::attach_at(&tree, target).map_err(failed)
    }

    fn bind(&self, source: BorrowedFd<'_>, target: &Path, read_only: bool) -> io::Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = rustix::mount::open_tree(source, "", flags)?;
        mount::attach_at(&tree, target).map_err(failed)?;
        if read_only {
            rustix::mount::mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
        Ok(())
    }

    fn unmount_all(&self, below: &Path) -> io::Result<()> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
        for point in mount_points(&mountinfo, below).iter().rev() {
            match rustix::mount::unmount(point, UnmountFlags::DETACH) {
                Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Mount points at or below a path, in the order of mounting.
fn mount_points(mountinfo: &str, below: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    points.filter(|point| point.starts_with(below)).collect()
}

/// The kernel writes blanks and backslashes of paths as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut out = text.to_owned();
    for (escape, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(escape, plain);
    }
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_path_are_found_and_blanks_are_read() {
        let text = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /pods/a rw - tmpfs a rw\n3 2 0:3 / /pods/a/x\\040y rw - tmpfs a rw\n4 1 0:4 / /pods/ab rw - tmpfs a rw";
        let found = mount_points(text, Path::new("/pods/a"));
        assert_eq!(found, [PathBuf::from("/pods/a"), PathBuf::from("/pods/a/x y")]);
    }
}
