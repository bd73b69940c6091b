//! POST: a new object.

use api::Status;
use bytes::Bytes;
use serde_json::Value;

use super::commit::{self, CommitError};
use super::{Answer, Call, Existing, WriteOptions, decode, managed, meta, prepare, validate};
use crate::admission::{self, Attributes, Operation, resource_quota};
use crate::request::Verb;
use crate::tree;

/// How often a generated name is tried again when it is taken.
const NAME_ATTEMPTS_MAX: usize = 8;
/// How often numbers are chosen anew because another server gave out some at the same time.
const OUTRUN_MAX: usize = 64;

pub(super) async fn create(mut call: Call) -> Result<Answer, Status> {
    if !call.context.info.name.is_empty() {
        return Err(Status::method_not_allowed(call.about()));
    }
    let options = WriteOptions::read(&call, "CreateOptions")?;
    let mut object = decode::body(&mut call, &options)?;
    meta::place(&call, &mut object)?;
    meta::dedup_owners(&mut call, &mut object, false);
    let json = create_object(&mut call, object, &options, managed::Tracking::Changes).await?;
    call.answer(201, json)
}

/// Admits, fills in, checks and stores a decoded object with defaults. Returns it as clients see it.
pub(crate) async fn create_object(
    call: &mut Call,
    mut object: Value,
    options: &WriteOptions,
    tracking: managed::Tracking,
) -> Result<Bytes, Status> {
    call.catch_up().await?;
    prepare::confine_new(call, &mut object);
    managed::track(call, None, &mut object, options, tracking)?;
    let name = tree::text(&object, "metadata.name").to_owned();
    let attributes = Attributes::new(call, &name, Operation::Create, options.dry_run, None);
    admission::mutate(&attributes, &mut object)?;
    meta::dedup_owners(call, &mut object, true);
    let mut taken = name.clone();
    let generates = !tree::text(&object, "metadata.generateName").is_empty();
    let may_be_outrun = call.engine.services().may_be_outrun(&call.resource);
    let (mut names, mut outrun) = (0, 0);
    while names < NAME_ATTEMPTS_MAX && outrun < OUTRUN_MAX {
        // Tried again from the object as it was before its name and numbers were chosen.
        let kept = (name.is_empty() || may_be_outrun).then(|| object.clone());
        prepare::prepare_create(call, &mut object, options)?;
        tree::text(&object, "metadata.name").clone_into(&mut taken);
        match (finish(call, object, options).await, kept) {
            (Err(CommitError::Conflict), Some(unnamed)) if name.is_empty() => (object, names) = (unnamed, names + 1),
            (Err(CommitError::Outrun), Some(kept)) => (object, outrun) = (kept, outrun + 1),
            (Err(CommitError::Conflict | CommitError::Outrun), _) => break,
            (Err(CommitError::Failed(status)), _) => return Err(status),
            (Ok(json), _) => return Ok(json),
        }
    }
    if outrun == OUTRUN_MAX {
        return Err(Status::conflict(call.about_name(&taken), super::update::MODIFIED));
    }
    Err(already_exists(call, generates, &taken).await)
}

/// Who asked for a generated name is told so even if they gave a name as well.
async fn already_exists(call: &Call, generates: bool, name: &str) -> Status {
    let about = call.about_name(name);
    let mut status = if generates { Status::name_not_generated(about) } else { Status::already_exists(about) };
    if let Ok(Some(present)) = Existing::read(call, &call.key_of(name)).await
        && tree::is_set(&present.tree, "metadata.deletionTimestamp")
    {
        status.message.insert_str(0, "object is being deleted: ");
    }
    status
}

/// Only now, as the store itself refuses it: whoever sends a revision has read the object somewhere.
fn refuse_revision(object: &Value) -> Result<(), Status> {
    let revision: u64 = tree::text(object, "metadata.resourceVersion").parse().unwrap_or_default();
    if revision == 0 {
        return Ok(());
    }
    Err(Status::failure(500, "", "resourceVersion should not be set on objects to be created"))
}

async fn finish(call: &mut Call, mut object: Value, options: &WriteOptions) -> Result<Bytes, CommitError> {
    // Before validation, which looks at what is given; it is given back if anything refuses the object.
    let assigned = call.engine.services().assign(&call.engine, &call.resource, &mut object, None).await;
    let reservation = assigned.map_err(CommitError::Failed)?;
    validate::create(call, &object).map_err(CommitError::Failed)?;
    let key = meta::key_of(&object);
    let attributes = Attributes::new(call, &key.name, Operation::Create, options.dry_run, None);
    admission::validate(&attributes, &object).map_err(CommitError::Failed)?;
    validate::grant(call, &object, None).map_err(CommitError::Failed)?;
    if let Some(canonicalize) = call.resource.hooks.canonicalize {
        canonicalize(&mut object);
    }
    let bytes = commit::encode(call, &object);
    let json = if options.dry_run {
        let taken = commit::read(call, &key).await.map_err(CommitError::Failed)?.is_some();
        if taken {
            return Err(CommitError::Conflict);
        }
        let attributes = Attributes::new(call, &key.name, Operation::Create, true, None);
        resource_quota::charge(&attributes, &object).map_err(CommitError::Failed)?;
        bytes
    } else {
        if call.context.info.verb == Verb::Create {
            refuse_revision(&object).map_err(CommitError::Failed)?;
        }
        let json = commit::put_charged(call, &key, bytes, &object, None, options, &reservation).await?;
        reservation.keep();
        json
    };
    commit::outward(call, json).map_err(CommitError::Failed)
}
