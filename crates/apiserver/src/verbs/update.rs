//! PUT, and the loop that every change of an existing object runs in: read, make, check, write at that revision.

use api::{Key, Revision, Status};
use bytes::Bytes;
use serde_json::Value;

use super::commit::{self, CommitError};
use super::{Answer, Call, WriteOptions, decode, managed, meta, prepare, validate};
use crate::admission::{self, Attributes, Operation};
use crate::request::Verb;
use crate::seams::Access;
use crate::tree;

/// How often a change that names no revision is tried again when others write at the same time.
const ATTEMPTS_MAX: usize = 16;
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// An object as it lies in the store, in the resource's own version, with its resourceVersion.
pub(crate) struct Existing {
    pub tree: Value,
    /// In the stored version, with the resourceVersion.
    pub json: Bytes,
    pub revision: Revision,
}

impl Existing {
    pub async fn read(call: &Call, key: &Key) -> Result<Option<Self>, Status> {
        let Some(entry) = commit::read(call, key).await? else { return Ok(None) };
        let mut tree: Value = serde_json::from_slice(&entry.value).map_err(Status::internal)?;
        if let Some(custom) = &call.resource.custom {
            custom.restore(&call.resource, &mut tree);
        }
        if let Some(convert) = call.resource.hooks.from_stored {
            convert(&mut tree);
        }
        tree::set(&mut tree, "metadata.resourceVersion", entry.modified.to_string());
        let json = crate::storage::with_revision(&entry.value, entry.modified);
        Ok(Some(Self { tree, json, revision: entry.modified }))
    }

    /// The object as clients see it.
    pub fn json(&self, call: &Call) -> Result<Bytes, Status> {
        commit::outward(call, self.json.clone())
    }
}

pub(super) async fn update(mut call: Call) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "UpdateOptions")?;
    let mut object = decode::body(&mut call, &options)?;
    meta::place(&call, &mut object)?;
    meta::dedup_owners(&mut call, &mut object, false);
    let key = call.key();
    if call.resource.create_on_update && call.subresource().is_empty() && commit::read(&call, &key).await?.is_none() {
        check_uid(&call, &object, "")?;
        may_create(&call)?;
        let json = super::create_object(&mut call, object, &options, managed::Tracking::Changes).await?;
        return call.answer(201, json);
    }
    // Who names a revision has one attempt, so that nothing needs to be kept for another.
    let named = !matches!(tree::text(&object, "metadata.resourceVersion"), "" | "0");
    let make = |_: &mut Call, _: &Value| Ok(if named { std::mem::take(&mut object) } else { object.clone() });
    let json = replace(&mut call, &key, &options, managed::Tracking::Changes, make).await?;
    call.answer(200, json)
}

/// Who may change objects may not yet make them: an update or an apply that creates asks for that as well.
pub(super) fn may_create(call: &Call) -> Result<(), Status> {
    let Some(authorizer) = call.engine.authorizer() else { return Ok(()) };
    let info = &call.context.info;
    let access = Access {
        verb: Verb::Create.as_str().to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: None,
    };
    let decision = authorizer.authorize(&call.context.user, &access);
    if decision.allowed { Ok(()) } else { Err(Status::forbidden(call.about(), &decision.reason)) }
}

/// Changes an existing object: `make` gives the wanted object from the present one (a decoded tree with defaults).
pub(crate) async fn replace(
    call: &mut Call,
    key: &Key,
    options: &WriteOptions,
    tracking: managed::Tracking,
    mut make: impl FnMut(&mut Call, &Value) -> Result<Value, Status>,
) -> Result<Bytes, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let existing = Existing::read(call, key).await?;
        let existing = existing.ok_or_else(|| Status::not_found(call.about_name(&key.name)))?;
        let new = make(call, &existing.tree)?;
        let named = named_revision(call, &new, &existing)?;
        match write(call, key, options, tracking, new, &existing).await {
            Ok(json) => return Ok(json),
            Err(CommitError::Failed(status)) => return Err(status),
            Err(CommitError::Conflict) if named => return Err(Status::conflict(call.about_name(&key.name), MODIFIED)),
            Err(CommitError::Conflict | CommitError::Outrun) => {}
        }
    }
    Err(Status::conflict(call.about_name(&key.name), MODIFIED))
}

/// The uid that a body names is that of the object (empty when there is none), in the words of upstream's store.
fn check_uid(call: &Call, new: &Value, present: &str) -> Result<(), Status> {
    let uid = tree::text(new, "metadata.uid");
    if uid.is_empty() || uid == present {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {uid}, UID in object meta: {present}",
        crate::storage::upstream_key(&call.stored.gvr, &call.key())
    );
    Err(Status::conflict(call.about(), &why))
}

/// Checks the revision and uid that the new object names. True when it names the revision that it changes.
fn named_revision(call: &Call, new: &Value, existing: &Existing) -> Result<bool, Status> {
    let name = tree::text(&existing.tree, "metadata.name");
    // A patch names no precondition: a uid in it is a change, which validation refuses.
    let is_patch = call.context.info.verb == Verb::Patch;
    if !is_patch {
        check_uid(call, new, tree::text(&existing.tree, "metadata.uid"))?;
    }
    let revision = tree::text(new, "metadata.resourceVersion");
    if revision.is_empty() || revision == "0" {
        if call.resource.unconditional_update {
            return Ok(false);
        }
        let shown = Value::from(0);
        let cause = crate::causes::invalid_value("metadata.resourceVersion", &shown, "must be specified for an update");
        let gvr = &call.resource.gvr;
        return Err(Status::invalid(&gvr.group, &gvr.resource, name, vec![cause]));
    }
    match revision.parse::<Revision>() {
        // A patch made from the present object carries its revision without having named it.
        Ok(revision) if revision == existing.revision => Ok(!is_patch),
        Ok(_) => Err(Status::conflict(call.about_name(name), MODIFIED)),
        Err(_) => {
            let why = format!("strconv.ParseUint: parsing {revision:?}: invalid syntax");
            Err(Status::failure(500, "", why))
        }
    }
}

async fn write(
    call: &mut Call,
    key: &Key,
    options: &WriteOptions,
    tracking: managed::Tracking,
    mut new: Value,
    existing: &Existing,
) -> Result<Bytes, CommitError> {
    let old = &existing.tree;
    let failed = CommitError::Failed;
    meta::carry(&mut new, old);
    prepare::confine(call, &mut new, old);
    managed::track(call, Some(old), &mut new, options, tracking).map_err(failed)?;
    let attributes = Attributes::new(call, &key.name, Operation::Update, options.dry_run, Some(old));
    admission::mutate(&attributes, &mut new).map_err(failed)?;
    meta::dedup_owners(call, &mut new, true);
    prepare::prepare_update(call, &mut new, old, options.dry_run);
    let assigned = call.engine.services().assign(&call.engine, &call.resource, &mut new, Some(old)).await;
    let reservation = assigned.map_err(failed)?;
    validate::update(call, &new, old).map_err(failed)?;
    if let Some(canonicalize) = call.resource.hooks.canonicalize {
        canonicalize(&mut new);
    }
    let attributes = Attributes::new(call, &key.name, Operation::Update, options.dry_run, Some(old));
    admission::validate(&attributes, &new).map_err(failed)?;
    validate::grant(call, &new, Some(old)).map_err(failed)?;
    if deletes(call, &new, old) {
        let revision =
            if options.dry_run { existing.revision } else { commit::delete(call, key, existing.revision).await? };
        let bytes = crate::storage::with_revision(&commit::encode(call, &new), revision);
        return commit::outward(call, bytes).map_err(failed);
    }
    managed::ignore_times(&mut new, old);
    let bytes = commit::encode(call, &new);
    let unwritten = crate::storage::with_revision(&bytes, existing.revision);
    let json = if options.dry_run || unwritten == existing.json {
        unwritten
    } else {
        let old_at = Some((old, existing.revision));
        let json = commit::put_charged(call, key, bytes, &new, old_at, options, &reservation).await?;
        reservation.keep();
        call.engine.services().released(&call.resource, old, Some(&new));
        json
    };
    commit::outward(call, json).map_err(failed)
}

/// The last finalizer of an object that is being deleted is gone: the update deletes it.
fn deletes(call: &Call, new: &Value, old: &Value) -> bool {
    if !tree::list(new, "metadata.finalizers").is_empty() || !tree::is_set(old, "metadata.deletionTimestamp") {
        return false;
    }
    if call.resource.finalized_by_spec {
        return tree::list(new, "spec.finalizers").is_empty();
    }
    tree::int(old, "metadata.deletionGracePeriodSeconds").unwrap_or_default() == 0
}
