//! `ironclad store check`: what is damaged, where, what that means and what to do; exit code 1 when anything was lost.

use std::path::Path;

use launcher::Result;
use launcher::progress::say;
use launcher::verbs::store::Place;
use serde_json::{Value, json};
use store::{BackupContents, CheckReport, FileReport, Finding, Severity};

use super::opened::failed;
use super::{Output, mib};

/// A running cluster's store may be checked too: only what it writes meanwhile may look like a torn tail.
pub fn store(place: &Place, output: Output) -> Result<u8> {
    let directory = match place {
        Place::Stopped { directory, .. } => directory.clone(),
        Place::Running(cluster) => cluster.directory()?,
    };
    let report = store::check(&directory).map_err(|error| failed(&directory, &error))?;
    let damaged = report.findings.iter().any(|finding| finding.severity != Severity::Harmless);
    if output == Output::Json {
        say(&format!("{:#}", tree(&report)));
    } else {
        for file in &report.files {
            say(&line(file));
        }
        for finding in &report.findings {
            say(&told(finding));
        }
        let end = match (damaged, report.opens()) {
            (false, _) => format!("The store is whole. Its newest revision is {}.", report.revision()),
            (true, true) => format!("The store opens with its newest revision, {}, but is damaged.", report.revision()),
            (true, false) => "The store is damaged and does not open.".to_owned(),
        };
        say(&end);
    }
    Ok(u8::from(damaged))
}

pub fn backup(path: &Path, output: Output) -> Result<u8> {
    let verified = super::backup::verify(path);
    if output == Output::Json {
        let file = path.display().to_string();
        let tree = match &verified {
            Ok(BackupContents { revision, entries, bytes }) => {
                json!({"file": file, "revision": revision.0, "keys": entries, "bytes": bytes})
            }
            Err(error) => json!({"file": file, "error": error.to_string()}),
        };
        say(&format!("{tree:#}"));
    } else {
        say(&match &verified {
            Ok(BackupContents { revision, entries, bytes }) => {
                format!("The backup is whole: revision {revision}, {entries} keys, {}.", mib(*bytes))
            }
            Err(error) => {
                format!("{}: {error}\n  lost: it cannot be restored\n  do:   use another backup", path.display())
            }
        });
    }
    Ok(u8::from(verified.is_err()))
}

fn line(file: &FileReport) -> String {
    let FileReport { file, version, newest, records, bytes, .. } = file;
    format!("{file}: format {version}, {records} records to revision {newest}, {}", mib(*bytes))
}

fn told(finding: &Finding) -> String {
    let Finding { file, offset, what, severity, advice } = finding;
    format!("{file} at offset {offset}: {what}\n  lost: {}\n  do:   {advice}", lost(*severity))
}

fn lost(severity: Severity) -> &'static str {
    match severity {
        Severity::Harmless => "nothing",
        Severity::HistoryLost => "older revisions; the newest state is whole",
        Severity::Repairable => "nothing, but the store does not open as it is",
        Severity::StateLost => "the newest state cannot be read from this directory",
    }
}

fn tree(report: &CheckReport) -> Value {
    let files = report.files.iter().map(|file| {
        json!({
            "file": file.file, "version": file.version, "generation": file.generation, "baseRevision": file.base.0,
            "newestRevision": file.newest.0, "frames": file.frames, "records": file.records, "bytes": file.bytes,
        })
    });
    let findings = report.findings.iter().map(|finding| {
        json!({
            "file": finding.file, "offset": finding.offset, "what": finding.what,
            "severity": format!("{:?}", finding.severity), "lost": lost(finding.severity), "advice": finding.advice,
        })
    });
    json!({
        "opens": report.opens(), "revision": report.revision().0,
        "files": files.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>(),
    })
}
