//! Files of identities: whole or not at all, readable by whom they are for.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::PkiError;

pub const SECRET: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;

/// Writes a file with `mode` so that a reader, and a crash at any moment, sees the old content or the new.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    write(path, content, mode).map_err(|source| PkiError::File { action: "write", path: path.to_owned(), source })
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = directory.join(format!(".{}.tmp", name.to_string_lossy()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    // A file left over from a crash keeps its old mode, so the mode is set again.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

/// The file's text, or `None` where there is no file.
pub fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { action: "read", path: path.to_owned(), source }),
    }
}

/// Makes the directory with all its parents; only its owner may enter it.
pub fn make_directory(path: &Path) -> Result<(), PkiError> {
    let made = fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)));
    made.map_err(|source| PkiError::File { action: "make", path: path.to_owned(), source })
}
