//! Termination messages: what a container left in its file, or at the end of its log where the policy says so.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Worker;
use crate::logs::parse::parse_line;
use crate::observed::{RunState, Seen};
use crate::pod::label;

const MESSAGE_LEN_MAX: usize = 4096;
const LOG_LEN_MAX: u64 = 2048;
const LOG_LINES_MAX: usize = 80;

impl Worker {
    /// The file into which the container may write; made empty.
    pub(super) fn words_file(&self, container: &str, attempt: u32) -> std::io::Result<PathBuf> {
        let path = self.words_path(container, attempt);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::File::create(&path)?;
        // Whatever user the container runs as may leave a message.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        Ok(path)
    }

    fn words_path(&self, container: &str, attempt: u32) -> PathBuf {
        let dir = self.shared.config.pod_dir(self.pod.uid()).join("containers").join(container);
        dir.join(attempt.to_string())
    }

    /// Reads the messages of containers that have ended since.
    pub(super) fn read_last_words(&mut self) {
        let unread = |seen: &&Seen| seen.state() == RunState::Exited && !self.last_words.contains_key(seen.id());
        let ended: Vec<Seen> = self.observed.containers.iter().filter(unread).cloned().collect();
        for seen in ended {
            let words = self.words_of(&seen);
            self.last_words.insert(seen.id().to_owned(), words);
        }
        let observed = &self.observed;
        self.last_words.retain(|id, _| observed.containers.iter().any(|seen| seen.id() == id));
    }

    fn words_of(&self, seen: &Seen) -> String {
        let path = self.words_path(seen.name(), seen.restart_count());
        let mut bytes = std::fs::read(path).unwrap_or_default();
        bytes.truncate(MESSAGE_LEN_MAX);
        if !bytes.is_empty() {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        let falls_back =
            seen.status.annotations.get(label::MESSAGE_POLICY).is_some_and(|p| p == "FallbackToLogsOnError");
        if falls_back && seen.status.exit_code != 0 {
            let dir = self.shared.config.pod_log_dir(self.pod.namespace(), self.pod.name(), self.pod.uid());
            let log = dir.join(seen.name()).join(format!("{}.log", seen.restart_count()));
            let tail = log_tail(&log);
            if !tail.is_empty() {
                return tail;
            }
        }
        seen.status.message.clone()
    }
}

/// The last lines of a log, without their stamps.
fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        // Stamps take room too: read twice what may be told.
        file.seek(SeekFrom::Start(len.saturating_sub(4 * LOG_LEN_MAX)))?;
        let mut bytes = Vec::new();
        file.take(4 * LOG_LEN_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(parse_line).collect();
    let first = lines.len().saturating_sub(LOG_LINES_MAX);
    let mut text: Vec<u8> = lines[first..].iter().flat_map(|line| line.with_newline()).collect();
    let excess = text.len().saturating_sub(usize::try_from(LOG_LEN_MAX).unwrap_or(usize::MAX));
    text.drain(..excess);
    String::from_utf8_lossy(&text).into_owned()
}
