//! What a verb says when it fails: first the cause, then what to do about it.

use std::fmt;
use std::io;
use std::path::Path;

/// A failure as the user reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub cause: String,
    pub advice: String,
}

pub type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    pub fn new(cause: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { cause: cause.into(), advice: advice.into() }
    }

    /// A failed operation on a file; `doing` reads as in "cannot write".
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("Free some space on the file system of {} and try again.", path.display())
            }
            io::ErrorKind::PermissionDenied => "Run ironclad as root, for example with sudo.".to_owned(),
            io::ErrorKind::ReadOnlyFilesystem => {
                "Set IRONCLAD_HOME to a directory on a writable file system.".to_owned()
            }
            _ => format!("Check {} and try again.", path.display()),
        };
        Self::new(format!("cannot {doing} {}: {}", path.display(), plain(error)), advice)
    }

    /// The same trouble with its cause put into a sentence.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.cause = format!("{what}: {}", self.cause);
        self
    }
}

/// An error without Rust's "(os error N)".
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.cause, self.advice)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_so_and_what_to_do() {
        let error = io::Error::from_raw_os_error(28);
        let trouble = Trouble::file("write", Path::new("/var/lib/ironclad/x"), &error);
        expect_test::expect![[r#"
            cannot write /var/lib/ironclad/x: No space left on device
            Free some space on the file system of /var/lib/ironclad/x and try again."#]]
        .assert_eq(&trouble.to_string());
    }
}
