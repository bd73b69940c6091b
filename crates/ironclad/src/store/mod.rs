//! `ironclad store ...`: the flags, and which room does what.
//!
//! The store of a running cluster is asked through its API server, so that nobody else ever opens it; that of a stopped
//! one, or a directory, is opened here. A file or directory that is made gets its name only when it is whole.

mod backup;
mod check;
mod copy;
mod opened;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use launcher::profile::DEFAULT_NAME;
use launcher::progress::say;
use launcher::verbs::store::Place;
use launcher::{Layout, Result};
use serde_json::Value;
use stdx::{Clock, SystemClock};
use store::Revision;

use opened::Opened;

#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Write a backup to a file; the cluster goes on meanwhile.
    Save {
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Make the store of a stopped cluster, or of a directory, from a backup.
    Restore {
        file: PathBuf,
        #[command(flatten)]
        of: Of,
        /// Let revisions go on so much later, for clients that have seen newer ones than the backup's.
        #[arg(long, value_name = "N", default_value_t = 0)]
        bump_revision: u64,
    },
    /// Read every byte of a store, or of a backup, and say what is damaged and what to do.
    Check {
        /// A backup to be checked.
        #[arg(conflicts_with_all = ["profile", "dir"])]
        file: Option<PathBuf>,
        #[command(flatten)]
        of: Of,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Forget history and give its disk space back.
    Compact {
        #[command(flatten)]
        of: Of,
        /// Forget what is older than this (300, 90s, 5m, 2h).
        #[arg(long, value_name = "AGE", default_value = "5m", value_parser = seconds)]
        older_than: u64,
        /// Forget what is before this revision.
        #[arg(long, value_name = "N", conflicts_with = "older_than")]
        revision: Option<u64>,
    },
    /// Copy a store to another engine: every object with its revisions; no API server may run on either.
    Copy(copy::CopyArgs),
    /// Show how much a store holds.
    Stats {
        #[command(flatten)]
        of: Of,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct Of {
    /// The cluster.
    #[arg(short, long, default_value = DEFAULT_NAME)]
    profile: String,
    /// The directory of a store that no process has open, instead of a cluster's.
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

pub fn seconds(text: &str) -> std::result::Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| "not a time such as 300, 90s, 5m or 2h".into())
}

impl Of {
    fn place(self, layout: &Layout) -> Result<Place> {
        match self.dir {
            Some(directory) => Ok(Place::Stopped { directory, lock: None }),
            None => launcher::verbs::store::find(layout, &self.profile),
        }
    }
}

/// Gives the exit code.
pub fn run(layout: &Layout, verb: StoreVerb) -> Result<u8> {
    match verb {
        StoreVerb::Save { file, of } => backup::save(&of.place(layout)?, &file)?,
        StoreVerb::Restore { file, of, bump_revision } => backup::restore(&of.place(layout)?, &file, bump_revision)?,
        StoreVerb::Check { file: Some(file), output, .. } => return check::backup(&file, output),
        StoreVerb::Check { file: None, of, output } => return check::store(&of.place(layout)?, output),
        StoreVerb::Compact { of, older_than, revision } => compact(&of.place(layout)?, older_than, revision)?,
        StoreVerb::Copy(args) => copy::run(&args)?,
        StoreVerb::Stats { of, output } => stats(&of.place(layout)?, output)?,
    }
    Ok(0)
}

fn compact(place: &Place, older_than: u64, revision: Option<u64>) -> Result<()> {
    let (before, after) = match place {
        Place::Running(cluster) => {
            let query = match revision {
                Some(revision) => format!("revision={revision}"),
                None => format!("olderThan={older_than}"),
            };
            (cluster.stats()?, cluster.compact(&query)?)
        }
        Place::Stopped { directory, .. } => Opened::at(directory)?.run(async |store| {
            let before = store.stats().await?;
            match revision {
                Some(revision) => {
                    store.compact(Revision(revision)).await?;
                    store.reclaim().await?;
                }
                None => store::forget_older(&*store, SystemClock.now().as_second(), older_than).await?,
            }
            Ok((apiserver::stats_tree(&before), apiserver::stats_tree(&store.stats().await?)))
        })?,
    };
    say(&format!("oldest revision: {} -> {}", number(&before, "oldestRevision"), number(&after, "oldestRevision")));
    say(&format!("on disk:         {} -> {}", size(&before, "diskBytes"), size(&after, "diskBytes")));
    Ok(())
}

fn stats(place: &Place, output: Output) -> Result<()> {
    let tree = match place {
        Place::Running(cluster) => cluster.stats()?,
        Place::Stopped { directory, .. } => {
            Opened::at(directory)?.run(async |store| Ok(apiserver::stats_tree(&store.stats().await?)))?
        }
    };
    if output == Output::Json {
        say(&format!("{tree:#}"));
        return Ok(());
    }
    for (what, shown) in [
        ("revision", number(&tree, "revision")),
        ("oldest revision", number(&tree, "oldestRevision")),
        ("keys", number(&tree, "keys")),
        ("live", size(&tree, "liveBytes")),
        ("history", format!("{}, {} events", size(&tree, "historyBytes"), number(&tree, "historyEvents"))),
        ("on disk", size(&tree, "diskBytes")),
    ] {
        say(&format!("{:<17}{shown}", format!("{what}:")));
    }
    Ok(())
}

fn number(tree: &Value, field: &str) -> String {
    tree[field].as_u64().map_or("unknown".to_owned(), |number| number.to_string())
}

fn size(tree: &Value, field: &str) -> String {
    tree[field].as_u64().map_or("unknown".to_owned(), mib)
}

#[allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_in_seconds_minutes_and_hours() {
        let read: Vec<_> =
            ["0", "90s", "5m", "2h", "", "m", "-1s", "1.5h"].iter().map(|text| seconds(text).ok()).collect();
        assert_eq!(read, [Some(0), Some(90), Some(300), Some(7200), None, None, None, None]);
    }
}
