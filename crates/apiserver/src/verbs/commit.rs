//! Stage 7, commit: the object's bytes into the store, under a precondition. Nothing else writes.

use api::{Key, Revision, Status};
use bytes::Bytes;
use serde_json::Value;
use store::{Commit, Durability, Entry, Precondition, StoreError, StoreKey, Write};

use super::Call;
use crate::{metrics, storage};

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
    Failed(Status),
}

/// Writes the tree and returns the object as clients see it.
pub(crate) async fn put(call: &Call, key: &Key, expect: Expect, bytes: Bytes) -> Result<Bytes, CommitError> {
    let key = storage::key(&call.stored.gvr, key);
    let write = Write::Put(key.clone(), bytes.clone());
    let revision = commit(call, key, expect, write).await?;
    Ok(storage::with_revision(&bytes, revision))
}

/// Deletes the key and returns the revision of the deletion.
pub(crate) async fn delete(call: &Call, key: &Key, at: Revision) -> Result<Revision, CommitError> {
    let key = storage::key(&call.stored.gvr, key);
    commit(call, key.clone(), Expect::At(at), Write::Delete(key)).await
}

async fn commit(call: &Call, key: StoreKey, expect: Expect, write: Write) -> Result<Revision, CommitError> {
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
    let commit = Commit {
        preconditions: vec![precondition],
        writes: vec![write],
        durability,
        stamp: Some(storage::with_revision),
    };
    let begun = metrics::now();
    let done = call.engine.store().commit(commit).await;
    call.engine.metrics().stored(operation, &call.stored.gvr, begun);
    done.map_err(|error| match error {
        StoreError::Conflict { .. } => CommitError::Conflict,
        other => CommitError::Failed(Status::internal(other)),
    })
}

/// The newest entry of the key, straight from the store.
pub(crate) async fn read(call: &Call, key: &Key) -> Result<Option<Entry>, Status> {
    let begun = metrics::now();
    let found = call.engine.store().get(&storage::key(&call.stored.gvr, key)).await;
    call.engine.metrics().stored("get", &call.stored.gvr, begun);
    found.map_err(Status::internal)
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
