//! DELETE of one object and of a collection: grace, finalizers, propagation.
//!
//! ```text
//! alive --delete--> gone                         nothing holds it
//! alive --delete--> terminating (grace > 0)      the kubelet deletes it again with grace 0
//! alive --delete--> terminating (finalizers)     the update that removes the last one deletes it
//! ```

use api::status::About;
use api::{Key, Object, Status};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;

use super::commit::{self, CommitError, Expect};
use super::options::ListOptions;
use super::update::{Existing, MODIFIED};
use super::{Answer, Call, DeleteOptions, list, meta};
use crate::admission::{self, Attributes, Operation};
use crate::{storage, tree};

const ATTEMPTS_MAX: usize = 16;
/// Deletions of a collection that are on their way at the same time.
const AT_ONCE_MAX: usize = 128;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion came to.
pub(crate) struct Deleted {
    pub json: Bytes,
    /// It is gone; otherwise it is terminating.
    pub gone: bool,
    pub uid: String,
}

pub(super) async fn delete(mut call: Call) -> Result<Answer, Status> {
    let options = DeleteOptions::read(&call)?;
    warn_of_orphans(&mut call, &options);
    let key = call.key();
    let deleted = delete_object(&call, &key, &options).await?;
    let code = if !deleted.gone && options.orphan_dependents == Some(false) { 202 } else { 200 };
    if !deleted.gone || call.resource.returns_deleted {
        return call.answer(code, deleted.json);
    }
    let mut details = api::status::Details { uid: deleted.uid, name: key.name.to_string(), ..Default::default() };
    details.group = call.resource.gvr.group.to_string();
    details.kind = call.resource.gvr.resource.to_string();
    let status = Status::success(Some(details));
    Ok(Answer { warnings: call.warnings, ..Answer::json(code, strip_code(&status).into()) })
}

/// Says that dependents stay, to whoever did not choose it.
fn warn_of_orphans(call: &mut Call, options: &DeleteOptions) {
    let chosen = options.propagation_policy.is_some() || options.orphan_dependents.is_some();
    if let Some(warning) = call.resource.orphans.filter(|warning| !chosen && !warning.is_empty()) {
        call.warnings.push(warning.to_owned());
    }
}

/// Upstream's success Status of a deletion carries no code.
fn strip_code(status: &Status) -> Vec<u8> {
    let mut tree = serde_json::to_value(status).unwrap_or_default();
    tree::remove(&mut tree, "code");
    tree.to_string().into_bytes()
}

/// Deletes the object, or begins its deletion.
pub(crate) async fn delete_object(call: &Call, key: &Key, options: &DeleteOptions) -> Result<Deleted, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let existing = Existing::read(call, key).await?;
        let existing = existing.ok_or_else(|| Status::not_found(call.about_name(&key.name)))?;
        check_preconditions(call, &existing, options)?;
        let attributes =
            Attributes::new(call, &key.name, Operation::Delete, options.is_dry_run(), Some(&existing.tree));
        admission::validate(&attributes, &existing.tree)?;
        match attempt(call, key, options, &existing).await {
            Ok(deleted) => return Ok(deleted),
            Err(CommitError::Conflict | CommitError::Outrun) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(Status::conflict(call.about_name(&key.name), MODIFIED))
}

fn check_preconditions(call: &Call, existing: &Existing, options: &DeleteOptions) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let name = tree::text(&existing.tree, "metadata.name");
    let uid = tree::text(&existing.tree, "metadata.uid");
    // Upstream names the kind here where it names the resource everywhere else.
    let of_kind = About { group: &call.resource.gvr.group, resource: &call.resource.kind.kind, name };
    if let Some(asked) = wanted.uid.as_deref().filter(|asked| *asked != uid) {
        let why = format!(
            "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(of_kind, &why));
    }
    let revision = existing.revision.to_string();
    if let Some(asked) = wanted.resource_version.as_deref().filter(|asked| *asked != revision) {
        let why = format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record \
             ({revision}). The object might have been modified"
        );
        return Err(Status::conflict(of_kind, &why));
    }
    Ok(())
}

async fn attempt(call: &Call, key: &Key, options: &DeleteOptions, existing: &Existing) -> Result<Deleted, CommitError> {
    let uid = tree::text(&existing.tree, "metadata.uid").to_owned();
    let done = |json, gone| Ok(Deleted { json, gone, uid: uid.clone() });
    match plan(call, options, &existing.tree) {
        Step::AlreadyPending => done(existing.json(call).map_err(CommitError::Failed)?, false),
        Step::Mark(object) => {
            let bytes = commit::encode(call, &object);
            let unwritten = storage::with_revision(&bytes, existing.revision);
            let json = if unwritten == existing.json || options.is_dry_run() {
                unwritten
            } else {
                commit::put(call, key, Expect::At(existing.revision), bytes).await?
            };
            done(commit::outward(call, json).map_err(CommitError::Failed)?, false)
        }
        Step::Remove(object) => {
            let revision = if options.is_dry_run() {
                existing.revision
            } else {
                let revision = commit::delete(call, key, existing.revision).await?;
                call.engine.services().released(&call.resource, &existing.tree, None);
                revision
            };
            let json = storage::with_revision(&commit::encode(call, &object), revision);
            done(commit::outward(call, json).map_err(CommitError::Failed)?, true)
        }
    }
}

/// What to do with an object that shall go.
enum Step {
    /// It is terminating already, and this request does not hurry it.
    AlreadyPending,
    /// Write it as terminating.
    Mark(Value),
    Remove(Value),
}

fn plan(call: &Call, options: &DeleteOptions, old: &Value) -> Step {
    let mut object = old.clone();
    if call.resource.finalized_by_spec {
        return plan_namespace(call, object);
    }
    let graceful = match call.resource.hooks.graceful_deletion {
        Some(period) => grace(call, options, &mut object, period),
        None => Grace::None,
    };
    if matches!(graceful, Grace::Pending) {
        return Step::AlreadyPending;
    }
    let finalizers = finalizers_after(options, old, call.resource.orphans.is_some());
    let held = !finalizers.is_empty();
    if finalizers != tree::texts(old, "metadata.finalizers") {
        tree::set(&mut object, "metadata.finalizers", finalizers);
    }
    match graceful {
        Grace::Secs(secs) if secs > 0 || held => Step::Mark(object),
        Grace::Secs(_) => Step::Remove(object),
        Grace::None | Grace::Pending if held => {
            mark_deleting(call, &mut object);
            Step::Mark(object)
        }
        Grace::None | Grace::Pending => Step::Remove(object),
    }
}

enum Grace {
    /// The kind, or this deletion, knows no grace.
    None,
    Secs(i64),
    Pending,
}

fn grace(call: &Call, options: &DeleteOptions, object: &mut Value, period: fn(&Value, Option<i64>) -> i64) -> Grace {
    let asked = options.grace_period_seconds.map(|secs| if secs < 0 { 1 } else { secs });
    if let Some(since) = deletion_time(object) {
        let present = tree::int(object, "metadata.deletionGracePeriodSeconds").unwrap_or_default();
        if present == 0 {
            return Grace::None;
        }
        // A second deletion may only shorten the grace period.
        return match asked {
            Some(shorter) if shorter < present => {
                let at = since + jiff::SignedDuration::from_secs(shorter - present);
                tree::set(object, "metadata.deletionTimestamp", meta::timestamp(at));
                tree::set(object, "metadata.deletionGracePeriodSeconds", shorter);
                Grace::Secs(shorter)
            }
            _ => Grace::Pending,
        };
    }
    let secs = period(object, asked);
    let at = call.now() + jiff::SignedDuration::from_secs(secs);
    tree::set(object, "metadata.deletionTimestamp", meta::timestamp(at));
    tree::set(object, "metadata.deletionGracePeriodSeconds", secs);
    bump_generation(object);
    Grace::Secs(secs)
}

fn deletion_time(object: &Value) -> Option<jiff::Timestamp> {
    tree::text(object, "metadata.deletionTimestamp").parse().ok()
}

fn bump_generation(object: &mut Value) {
    if let Some(generation) = tree::int(object, "metadata.generation").filter(|generation| *generation > 0) {
        tree::set(object, "metadata.generation", generation + 1);
    }
}

/// The kind knows no grace, but finalizers hold the object.
fn mark_deleting(call: &Call, object: &mut Value) {
    if !tree::is_set(object, "metadata.deletionGracePeriodSeconds") {
        bump_generation(object);
    }
    if deletion_time(object).is_none_or(|at| at > call.now()) {
        tree::set(object, "metadata.deletionTimestamp", meta::timestamp(call.now()));
    }
    tree::set(object, "metadata.deletionGracePeriodSeconds", 0);
}

/// A namespace is emptied by its controller first; it goes when both lists of finalizers are empty.
fn plan_namespace(call: &Call, mut object: Value) -> Step {
    if deletion_time(&object).is_none() {
        tree::set(&mut object, "metadata.deletionTimestamp", meta::timestamp(call.now()));
        match call.resource.hooks.begin_deletion {
            Some(begin) => begin(&mut object, call.now()),
            None => tree::set(&mut object, "status.phase", "Terminating"),
        }
        return Step::Mark(object);
    }
    let held = ["spec.finalizers", "metadata.finalizers"].iter().any(|path| !tree::list(&object, path).is_empty());
    if held { Step::AlreadyPending } else { Step::Remove(object) }
}

/// The finalizers with the garbage collector's two as the propagation policy asks.
fn finalizers_after(options: &DeleteOptions, old: &Value, orphans: bool) -> Vec<String> {
    let present = tree::texts(old, "metadata.finalizers");
    let policy = options.propagation_policy.as_deref();
    let orphan = match (policy, options.orphan_dependents) {
        (Some(policy), _) => policy == "Orphan",
        (None, Some(orphan)) => orphan,
        (None, None) => present.contains(&ORPHAN) || (orphans && !present.contains(&FOREGROUND)),
    };
    let foreground = match (policy, options.orphan_dependents) {
        (Some(policy), _) => policy == "Foreground",
        (None, Some(_)) => false,
        (None, None) => present.contains(&FOREGROUND),
    };
    let others = present.into_iter().filter(|name| !matches!(*name, ORPHAN | FOREGROUND));
    let wanted = [(orphan, ORPHAN), (foreground, FOREGROUND)];
    others.chain(wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name)).map(str::to_owned).collect()
}

/// Deletes the objects that a list with these options shows, and answers with that list: as they were before. The
/// first refusal ends it.
pub(super) async fn delete_collection(mut call: Call) -> Result<Answer, Status> {
    let list = ListOptions::read(&call, false)?;
    let options = DeleteOptions::read(&call)?;
    warn_of_orphans(&mut call, &options);
    let page = list::page(&call, &list).await?;
    // Many at once, so that one sync of the store's log serves many.
    let (of, with) = (&call, &options);
    let keys: Vec<Key> = page.objects.iter().map(Object::key).collect();
    let deletions = keys.into_iter().map(|key| async move { delete_object(of, &key, with).await });
    let mut deletions = futures::stream::iter(deletions).buffered(AT_ONCE_MAX);
    while let Some(deleted) = deletions.next().await {
        match deleted {
            Err(status) if !status.is_not_found() => return Err(status),
            Ok(_) | Err(_) => {}
        }
    }
    drop(deletions);
    list::send(call, page)
}
