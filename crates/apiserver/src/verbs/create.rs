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
    for _ in 0..NAME_ATTEMPTS_MAX {
        // Only a generated name can be tried again, from the object that has none yet.
        let unnamed = name.is_empty().then(|| object.clone());
        prepare::prepare_create(call, &mut object, options)?;
        tree::text(&object, "metadata.name").clone_into(&mut taken);
        match (finish(call, object, options).await, unnamed) {
            (Err(CommitError::Conflict), Some(unnamed)) => object = unnamed,
            (Err(CommitError::Conflict), None) => break,
            (Err(CommitError::Failed(status)), _) => return Err(status),
            (Ok(json), _) => return Ok(json),
        }
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
    let reservation = call.engine.services().assign(&call.resource, &mut object, None).map_err(CommitError::Failed)?;
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
        let json = commit::put_charged(call, &key, bytes, &object, None, options).await?;
        reservation.keep();
        json
    };
    commit::outward(call, json).map_err(CommitError::Failed)
}
