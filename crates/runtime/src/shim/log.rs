//! A container's log file in CRI's format: `TIME STREAM P|F TEXT`, a line each, rotated by size.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Longer lines are written in parts, all but the last tagged P, as the kubelet expects.
pub const LINE_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    bytes_max: u64,
    files_max: u32,
    line: Vec<u8>,
}

impl Log {
    /// A `bytes_max` of 0 leaves rotation to others (rename, then `reopen`).
    pub fn open(path: &Path, bytes_max: u64, files_max: u32) -> std::io::Result<Self> {
        let mut log = Self { path: path.to_owned(), file: None, size: 0, bytes_max, files_max, line: Vec::new() };
        log.reopen()?;
        Ok(log)
    }

    pub fn reopen(&mut self) -> std::io::Result<()> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().create(true).append(true).mode(0o640).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// One line or part of a line. A disk that is full loses it: the container must not stop for that.
    pub fn write(&mut self, stream: &str, text: &[u8], whole: bool) {
        self.line.clear();
        let time = super::stdio::now();
        let tag = if whole { 'F' } else { 'P' };
        let _ = write!(self.line, "{time:.9} {stream} {tag} ");
        self.line.extend_from_slice(text);
        self.line.push(b'\n');
        if let Some(file) = &mut self.file
            && file.write_all(&self.line).is_ok()
        {
            self.size += self.line.len() as u64;
        }
        if self.bytes_max > 0 && self.size >= self.bytes_max && whole {
            let _ = self.rotate();
        }
    }

    /// The file gets the time as a suffix; the oldest beyond `files_max` (this one included) go.
    fn rotate(&mut self) -> std::io::Result<()> {
        let stamp = super::stdio::now().strftime("%Y%m%d-%H%M%S").to_string();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        std::fs::rename(&self.path, self.path.with_file_name(format!("{name}.{stamp}")))?;
        let mut old: Vec<PathBuf> = std::fs::read_dir(self.path.parent().unwrap_or(Path::new("/")))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with(&format!("{name}.")))
            .collect();
        old.sort();
        let keep = self.files_max.saturating_sub(1) as usize;
        for path in old.iter().take(old.len().saturating_sub(keep)) {
            std::fs::remove_file(path)?;
        }
        self.reopen()
    }
}
