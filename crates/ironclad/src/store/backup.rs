//! `ironclad store save | restore`. What is written gets its name when it is whole, checked and on disk.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use launcher::progress::say;
use launcher::trouble::plain;
use launcher::verbs::store::Place;
use launcher::{Result, Trouble};
use stdx::Rng;
use store::{Backup, BackupContents, StoreError};

use super::mib;
use super::opened::{Opened, failed, holds_store};

pub fn save(place: &Place, path: &Path) -> Result<()> {
    let draft = beside(path, "partial");
    let saved = write(place, &draft).and_then(|contents| {
        std::fs::rename(&draft, path)
            .and_then(|()| sync(&parent(path)))
            .map_err(|error| Trouble::file("write", path, &error))?;
        Ok(contents)
    });
    if saved.is_err() {
        // It may never have been made.
        std::fs::remove_file(&draft).ok();
    }
    let BackupContents { revision, entries, bytes } = saved?;
    say(&format!("Saved revision {revision}: {entries} keys, {} in {}.", mib(bytes), path.display()));
    Ok(())
}

fn write(place: &Place, draft: &Path) -> Result<BackupContents> {
    let fail = |error: io::Error| Trouble::file("write", draft, &error);
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // It holds every Secret.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft).map_err(fail)?;
    match place {
        Place::Running(cluster) => cluster.backup(draft, &mut file)?,
        Place::Stopped { directory, .. } => {
            let out = &mut file;
            let write = async |store| Backup::begin(store, &Rng::from_os()).await?.write(out).await;
            Opened::at(directory)?.run(write).map(drop)?;
        }
    }
    file.sync_all().map_err(fail)?;
    let broken =
        |error| Trouble::new(format!("the backup is not whole: {error}"), "Try again; the disk may be failing.");
    verify(draft).map_err(broken)
}

/// Reads a backup to its end.
pub fn verify(path: &Path) -> std::result::Result<BackupContents, StoreError> {
    store::verify_backup(reader(path).map_err(|error| StoreError::Io(plain(&error)))?)
}

fn reader(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 20, File::open(path)?))
}

pub fn restore(place: &Place, path: &Path, bump_revision: u64) -> Result<()> {
    let directory = match place {
        Place::Stopped { directory, .. } => directory,
        Place::Running(cluster) => return Err(cluster.must_stop("its store cannot be restored")),
    };
    let broken = |error: StoreError| Trouble::new(format!("{}: {error}", path.display()), "Restore another backup.");
    refuse_store(directory)?;
    verify(path).map_err(broken)?;
    let source = reader(path).map_err(|error| Trouble::file("read", path, &error))?;
    let made = make_whole(directory, |draft| store::restore(source, draft, bump_revision, &Rng::from_os()))?;
    let BackupContents { revision, entries, .. } = made;
    let goes_on =
        if bump_revision > 0 { format!(", which goes on at {}", revision.0 + bump_revision) } else { String::new() };
    say(&format!("Restored revision {revision}{goes_on}: {entries} keys in {}.", directory.display()));
    Ok(())
}

/// Has a store made, which gets its name when it is whole; refuses a directory that holds one.
pub fn make_whole(
    directory: &Path,
    make: impl FnOnce(&Path) -> std::result::Result<BackupContents, StoreError>,
) -> Result<BackupContents> {
    refuse_store(directory)?;
    let draft = beside(directory, "restoring");
    remove(&draft)?;
    let made = make(&draft).map_err(|error| failed(&draft, &error)).and_then(|contents| {
        put_in_place(&draft, directory).map_err(|error| Trouble::file("make", directory, &error))?;
        Ok(contents)
    });
    if made.is_err() {
        remove(&draft)?;
    }
    made
}

fn refuse_store(directory: &Path) -> Result<()> {
    if !holds_store(directory).map_err(|error| Trouble::file("read", directory, &error))? {
        return Ok(());
    }
    let directory = directory.display();
    Err(Trouble::new(
        format!("there is a store in {directory} already"),
        format!("Move it away first: mv {directory} {directory}.old"),
    ))
}

fn remove(draft: &Path) -> Result<()> {
    match std::fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Trouble::file("remove", draft, &error)),
        _ => Ok(()),
    }
}

/// The directory gets its name at once, so that a crash leaves a whole store or none.
fn put_in_place(draft: &Path, directory: &Path) -> io::Result<()> {
    match std::fs::remove_file(directory.join("lock")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(draft, directory)?;
    sync(&parent(directory))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A hidden name beside the path.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parent(path).join(format!(".{name}.{what}"))
}
