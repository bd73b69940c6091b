//! The seam between the embedded engine and a directory of files, so that tests can fail and tear writes.
//!
//! Only what the engine needs: reads from a file's start, writes at an offset, and two syncs (a file's bytes; the directory's names).

use std::any::Any;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Held as long as the store is open.
pub type Lock = Box<dyn Any + Send + Sync>;

/// One directory.
pub trait Disk: Send + Sync {
    /// Takes the directory for this process. `WouldBlock` when another one has it.
    fn lock(&self) -> io::Result<Lock>;
    fn names(&self) -> io::Result<Vec<String>>;
    /// The file's bytes from its start.
    fn reader(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
    /// How many bytes the file has on disk.
    fn len(&self, name: &str) -> io::Result<u64>;
    /// Opens for writing; makes an empty file where there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when renames and removals are durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Differs after every start of the machine: unsynced writes survive only while it is the same.
    fn boot(&self) -> String;
    /// How a person finds the file.
    fn path(&self, name: &str) -> String;
}

pub trait DiskFile: Send + Sync {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Returns when all bytes written before are durable.
    fn sync(&self) -> io::Result<()>;
}

const LOCK_NAME: &str = "lock";

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes the directory, readable by its owner only, where there is none.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&path)?;
        Ok(Self(path))
    }

    /// A directory that is there.
    pub fn existing(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options
    }
}

impl Disk for Directory {
    fn lock(&self) -> io::Result<Lock> {
        let mut file = Self::options().open(self.0.join(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(std::process::id().to_string().as_bytes())?;
                Ok(Box::new(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                let message = format!("process {} has {} open", holder.trim(), self.0.display());
                Err(io::Error::new(io::ErrorKind::WouldBlock, message))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn reader(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.0.join(name))?))
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.0.join(name))?.len())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Self::options().open(self.0.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn boot(&self) -> String {
        // Without it every start counts as a new boot, which only costs watchers a new list.
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
