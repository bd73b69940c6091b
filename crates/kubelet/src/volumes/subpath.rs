//! subPath mounts: a place inside a volume, opened so that no link can lead out of it, and bound by its descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::config::Mounts;

/// Binds `sub` of the volume at `volume` onto a place of the pod's own; that place.
pub fn bind(
    mounts: &dyn Mounts,
    volume: &Path,
    sub: &str,
    pod_dir: &Path,
    (name, container, index): (&str, &str, usize),
) -> io::Result<PathBuf> {
    let target = pod_dir.join("volume-subpaths").join(name).join(container).join(index.to_string());
    let source = open(volume, sub)?;
    let is_dir = rustix::fs::fstat(&source)?.st_mode & 0o170_000 == 0o040_000;
    mounts.unmount_all(&target)?;
    if is_dir {
        std::fs::create_dir_all(&target)?;
    } else {
        std::fs::create_dir_all(target.parent().unwrap_or(pod_dir))?;
        std::fs::File::create(&target)?;
    }
    mounts.bind(source.as_fd(), &target, false)?;
    Ok(target)
}

/// Opens the place, making directories that are missing, as open to users as the volume is: whoever may write to the
/// volume may write to what is made in it (upstream's SafeMakeDir).
fn open(volume: &Path, sub: &str) -> io::Result<OwnedFd> {
    let plain = Path::new(sub).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("subPath {sub:?} must not leave its volume")));
    }
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let beneath = |path: &Path| {
        openat2(
            &root,
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let rights = rustix::fs::fstat(&root)?.st_mode & 0o777;
    let mut reached = PathBuf::from(".");
    let mut at = beneath(&reached)?;
    for part in Path::new(sub).components() {
        reached.push(part);
        at = match beneath(&reached) {
            Ok(next) => next,
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&at, Path::new(part.as_os_str()), Mode::from_raw_mode(0o750))?;
                let made = openat2(
                    &root,
                    &reached,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
                )?;
                // Whatever the umask is; a group that is passed on (fsGroup) stays so.
                let kept = rustix::fs::fstat(&made)?.st_mode & 0o7000;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(kept | rights))?;
                beneath(&reached)?
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(at)
}
