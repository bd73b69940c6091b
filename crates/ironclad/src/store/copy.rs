//! `ironclad store copy FROM TO`: between a directory and an etcd, or two of a kind, while no API server runs on either.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use launcher::progress::{Progress, say};
use launcher::{Result, Trouble};
use stdx::Rng;
use store::copy::CopyError;
use store::{Backup, BackupContents, EtcdOptions, EtcdStore, EtcdTls, Revision, Store, StoreError};

use super::backup::make_whole;
use super::opened::{embedded, failed, runtime};

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// A store's directory, or endpoints of an etcd (https://HOST:PORT,... or unix:///PATH).
    from: String,
    /// As FROM; there must be nothing in it.
    to: String,
    /// Who signed etcd's certificate.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// A certificate that etcd takes.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

pub fn run(args: &CopyArgs) -> Result<()> {
    let runtime = runtime()?;
    let progress = Progress::start();
    let done = runtime.block_on(async {
        let source = if is_etcd(&args.from) { etcd(args, &args.from)? } else { embedded(Path::new(&args.from))? };
        if is_etcd(&args.to) { to_etcd(args, &*source).await } else { to_directory(args, source).await }
    })?;
    say(&format!("{done} It took {}.", progress.total()));
    Ok(())
}

fn is_etcd(place: &str) -> bool {
    place.contains("://")
}

fn etcd(args: &CopyArgs, endpoints: &str) -> Result<Arc<dyn Store>> {
    let tls = EtcdTls { ca_file: args.cacert.clone(), cert_file: args.cert.clone(), key_file: args.key.clone() };
    let options = EtcdOptions {
        tls,
        // Nothing but the copy is to be written.
        history: None,
        stamp: Some(apiserver::storage::with_revision),
        ..EtcdOptions::new(endpoints.split(',').map(str::to_owned).collect())
    };
    let store = EtcdStore::open(options).map_err(|error| etcd_trouble(endpoints, &error))?;
    Ok(Arc::new(store))
}

fn etcd_trouble(endpoints: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(format!("{endpoints}: {error}"), "Check that etcd runs there, and --cacert, --cert and --key.")
}

async fn to_etcd(args: &CopyArgs, source: &dyn Store) -> Result<String> {
    let target = etcd(args, &args.to)?;
    let mut percent = 0;
    let told = |at: Revision, of: Revision| {
        let now = at.0 * 100 / of.0.max(1);
        if now > percent {
            percent = now;
            // Nobody looking is no error.
            write!(std::io::stderr(), "\r{now} %").ok();
        }
    };
    let copied = store::copy::copy(source, &target, told).await;
    if percent > 0 {
        writeln!(std::io::stderr()).ok();
    }
    let copied = copied.map_err(|error| copy_trouble(args, &error))?;
    Ok(format!(
        "Copied {} keys of revision {} to {}, which is at revision {}. It was read back and is the same.",
        copied.keys, copied.revision, args.to, copied.reached
    ))
}

fn copy_trouble(args: &CopyArgs, error: &CopyError) -> Trouble {
    let advice = match error {
        CopyError::Source(_) => "Nothing was changed there. Empty the target and try again.",
        CopyError::NotEmpty(_) | CopyError::TooFar { .. } => "Copy to an etcd that was just made.",
        CopyError::Disturbed => "Stop every API server of the target, empty it and try again.",
        CopyError::Target(_) | CopyError::Differs(_) => "Empty the target and try again.",
    };
    Trouble::new(format!("cannot copy {} to {}: {error}", args.from, args.to), advice)
}

/// A backup through a pipe into a restore.
async fn to_directory(args: &CopyArgs, source: Arc<dyn Store>) -> Result<String> {
    let fail = |error: &dyn std::fmt::Display| {
        Trouble::new(format!("cannot copy {} to {}: {error}", args.from, args.to), "Nothing was changed in either.")
    };
    let directory = PathBuf::from(&args.to);
    let (reader, mut writer) = std::io::pipe().map_err(|error| fail(&error))?;
    let making = std::thread::spawn({
        let directory = directory.clone();
        move || make_whole(&directory, |draft| store::restore(reader, draft, 0, &Rng::from_os()))
    });
    let read: std::result::Result<BackupContents, StoreError> = async {
        let backup = Backup::begin(source.clone(), &Rng::from_os()).await?;
        backup.write(&mut writer).await
    }
    .await;
    // Without its end the other side knows that the backup is not whole.
    drop(writer);
    let made = making.join().map_err(|_| fail(&"it panicked"))?;
    let read = match (read, made) {
        (Ok(read), Ok(made)) if made == read => read,
        (Err(error), Err(trouble)) => return Err(fail(&format!("{error} ({})", trouble.cause))),
        (_, Err(trouble)) => return Err(trouble),
        (Err(error), _) => return Err(fail(&error)),
        (Ok(_), Ok(_)) => return Err(fail(&"the copy differs")),
    };
    store::check(&directory).map_err(|error| failed(&directory, &error))?;
    Ok(format!("Copied {} keys of revision {} to {}.", read.entries, read.revision, args.to))
}
