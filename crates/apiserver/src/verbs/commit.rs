//! Stage 7, commit: the object's bytes into the store, under a precondition. Nothing else writes.

use api::{Key, Revision, Status};
use bytes::Bytes;
use serde_json::Value;
use store::{Commit, Durability, Entry, Precondition, StoreError, StoreKey, Write};

use super::{Call, WriteOptions};
use crate::admission::resource_quota::{self, Charge};
use crate::admission::{Attributes, Operation};
use crate::services::{self, Reservation};
use crate::{metrics, storage};

/// How often a write that counts against a quota is tried again when others write there at the same time.
const CHARGES_MAX: usize = 16;

/// What must be true of the key for the write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Absent,
    At(Revision),
}

#[derive(Debug)]
pub(crate) enum CommitError {
    /// Somebody else was faster.
    Conflict,
    /// Another server gave out an address or a port meanwhile: choose anew.
    Outrun,
    Failed(Status),
}

/// Writes the tree and returns the object as clients see it.
pub(crate) async fn put(call: &Call, key: &Key, expect: Expect, bytes: Bytes) -> Result<Bytes, CommitError> {
    let key = storage::key(&call.stored.gvr, key);
    let write = Write::Put(key.clone(), bytes.clone());
    let revision = commit(call, key, expect, write).await?;
    Ok(storage::with_revision(&bytes, revision))
}

/// As [`put`], with the numbers that a service takes, together with what the object uses of its namespace's quotas; refused if that is too much.
pub(crate) async fn put_charged(
    call: &Call,
    key: &Key,
    bytes: Bytes,
    object: &Value,
    old: Option<(&Value, Revision)>,
    options: &WriteOptions,
    reservation: &Reservation,
) -> Result<Bytes, CommitError> {
    let (operation, expect) = match old {
        None => (Operation::Create, Expect::Absent),
        Some((_, revision)) => (Operation::Update, Expect::At(revision)),
    };
    let attributes = Attributes::new(call, &key.name, operation, options.dry_run, old.map(|(old, _)| old));
    let stored = storage::key(&call.stored.gvr, key);
    for _ in 0..CHARGES_MAX {
        let charges = resource_quota::charge(&attributes, object).map_err(CommitError::Failed)?;
        let write = Write::Put(stored.clone(), bytes.clone());
        let beside = charges.iter().map(charged).chain(reservation.claim());
        match try_commit(call, stored.clone(), expect, write, beside).await {
            Ok(revision) => return Ok(storage::with_revision(&bytes, revision)),
            Err(Lost::Object) => return Err(CommitError::Conflict),
            Err(Lost::Numbers) => return Err(CommitError::Outrun),
            Err(Lost::Failed(status)) => return Err(CommitError::Failed(status)),
            // Somebody else used of the same quota: what is left is counted anew.
            Err(Lost::Quota) => call.catch_up().await.map_err(CommitError::Failed)?,
        }
    }
    let about = api::status::About { group: "", resource: "resourcequotas", name: &key.namespace };
    Err(CommitError::Failed(Status::conflict(about, super::update::MODIFIED)))
}

/// Why a commit did not happen.
enum Lost {
    /// Somebody else wrote the object.
    Object,
    /// Somebody else wrote a quota.
    Quota,
    /// Another server gave out a number.
    Numbers,
    Failed(Status),
}

/// A quota with what is used of it, over exactly the one that was read.
fn charged(charge: &Charge) -> (Precondition, Write) {
    let key = storage::key(&resource_quota::QUOTAS, &charge.key);
    (Precondition::ModifiedAt(key.clone(), charge.revision), Write::Put(key, storage::encode(&charge.quota)))
}

/// Deletes the key and returns the revision of the deletion.
pub(crate) async fn delete(call: &Call, key: &Key, at: Revision) -> Result<Revision, CommitError> {
    let key = storage::key(&call.stored.gvr, key);
    commit(call, key.clone(), Expect::At(at), Write::Delete(key)).await
}

async fn commit(call: &Call, key: StoreKey, expect: Expect, write: Write) -> Result<Revision, CommitError> {
    try_commit(call, key, expect, write, std::iter::empty()).await.map_err(|lost| match lost {
        Lost::Object | Lost::Quota | Lost::Numbers => CommitError::Conflict,
        Lost::Failed(status) => CommitError::Failed(status),
    })
}

async fn try_commit(
    call: &Call,
    key: StoreKey,
    expect: Expect,
    write: Write,
    beside: impl Iterator<Item = (Precondition, Write)>,
) -> Result<Revision, Lost> {
    let own = key.clone();
    let precondition = match expect {
        Expect::Absent => Precondition::Absent(key),
        Expect::At(revision) => Precondition::ModifiedAt(key, revision),
    };
    let durability = if call.stored.buffered { Durability::Buffered } else { Durability::Synced };
    let operation = match (&write, expect) {
        (Write::Delete(_), _) => "delete",
        (Write::Put(..), Expect::Absent) => "create",
        (Write::Put(..), Expect::At(_)) => "update",
    };
    let (preconditions, writes) = std::iter::once((precondition, write)).chain(beside).unzip();
    let commit = Commit { preconditions, writes, durability };
    let begun = metrics::now();
    let done = call.engine.store().commit(commit).await;
    call.engine.metrics().stored(operation, &call.stored.gvr, begun);
    done.map_err(|error| match error {
        StoreError::Conflict { key, .. } if services::is_ledger(&key) => Lost::Numbers,
        StoreError::Conflict { key, .. } if key != own => Lost::Quota,
        StoreError::Conflict { .. } => Lost::Object,
        other => Lost::Failed(storage::failed(other)),
    })
}

/// The newest entry of the key, straight from the store.
pub(crate) async fn read(call: &Call, key: &Key) -> Result<Option<Entry>, Status> {
    let begun = metrics::now();
    let found = call.engine.store().get(&storage::key(&call.stored.gvr, key)).await;
    call.engine.metrics().stored("get", &call.stored.gvr, begun);
    found.map_err(storage::failed)
}

/// The bytes to store for an object in the resource's own version.
pub(crate) fn encode(call: &Call, object: &Value) -> Bytes {
    if let Some(custom) = &call.resource.custom
        && custom.storage_version != call.resource.gvr.version
    {
        let version = format!("{}/{}", call.resource.gvr.group, custom.storage_version);
        return storage::with_api_version(storage::encode(object), &version);
    }
    match call.resource.hooks.to_stored {
        Some(convert) => {
            let mut object = object.clone();
            convert(&mut object);
            storage::encode(&object)
        }
        None => storage::encode(object),
    }
}

/// JSON in the stored version to JSON in the resource's own.
pub(crate) fn outward(call: &Call, json: Bytes) -> Result<Bytes, Status> {
    if call.resource.custom.is_some() {
        return Ok(storage::with_api_version(json, &call.resource.kind.api_version()));
    }
    let Some(convert) = call.resource.hooks.from_stored else { return Ok(json) };
    let mut tree: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
    let revision = crate::tree::text(&tree, "metadata.resourceVersion").parse().unwrap_or_default();
    convert(&mut tree);
    let bytes = storage::encode(&tree);
    Ok(if revision == Revision::ZERO { bytes } else { storage::with_revision(&bytes, revision) })
}
