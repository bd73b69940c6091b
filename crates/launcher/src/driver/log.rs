//! A log file that cannot grow without bound: at its limit it becomes `<name>.1` and a new one begins.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
    max: u64,
}

impl Log {
    pub fn open(path: &Path, max: u64) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { path: path.to_path_buf(), file, len, max })
    }

    /// Lines that cannot be written are lost: a full disk must not stop a node.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() as u64 > self.max && self.len > 0 {
            let _ = self.rotate();
        }
        if self.file.write_all(bytes).is_ok() {
            self.len += bytes.len() as u64;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_the_log_begins_anew_and_keeps_one_old_file() {
        let dir = std::env::temp_dir().join(format!("ironclad-log-{}", std::process::id()));
        let path = dir.join("x.log");
        let mut log = Log::open(&path, 10).expect("opens");
        for text in ["12345\n", "6789\n", "abc\n"] {
            log.write(text.as_bytes());
        }
        assert_eq!(fs::read_to_string(&path).expect("reads"), "6789\nabc\n");
        assert_eq!(fs::read_to_string(dir.join("x.log.1")).expect("reads"), "12345\n");
        fs::remove_dir_all(dir).expect("removes");
    }
}
