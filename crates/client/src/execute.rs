//! Does what a plan says: one call an action, in order; creations and deletions in growing batches.
//!
//! It never decides anything. The first failure ends the plan; what happened and what must be seen before the key is
//! planned again goes back as an [`Outcome`].

use std::time::Duration;

use api::status::About;
use api::{Gvr, Key, Object, Status};
use cache::{Action, Note, Plan, Precondition, Step};
use futures::future::join_all;
use serde_json::{Value, json};
use stdx::{Backoff, Rng};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::query::{DeleteOptions, ListQuery, Patch};
use crate::queue::{Barrier, Outcome};
use crate::recorder::Recorder;

/// Creations and deletions that stand side by side are sent in batches of 1, 2, 4, ... up to this: a server that refuses
/// the first is not asked hundreds of times.
const BATCH_LEN_MAX: usize = 64;
/// How many generated names are tried when they are taken.
const NAME_TRIES_MAX: usize = 4;
/// Between repeats of a create whose answer was lost.
const LOST_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
/// The length of the suffix of generated names.
const NAME_SUFFIX_LEN: usize = 5;
/// The longest prefix of a generated name.
const NAME_PREFIX_LEN_MAX: usize = 63 - NAME_SUFFIX_LEN;

pub(crate) struct Executor {
    pub client: Client,
    pub recorder: Recorder,
    pub rng: Rng,
    /// The field manager of applies.
    pub manager: &'static str,
}

/// What a successful action left behind.
struct Written {
    name: String,
    barrier: Option<Barrier>,
}

impl Executor {
    pub(crate) async fn execute(&self, key: &Key, plan: Plan) -> Outcome {
        let mut outcome = Outcome::default();
        let mut rest = plan.steps.as_slice();
        let mut batch_len = 1;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take(batch_len).take_while(|step| may_join(&first.action, &step.action)).count();
            let (batch, later) = rest.split_at(alike.max(1));
            let results = join_all(batch.iter().map(|step| self.check_and_act(step))).await;
            let mut failed = false;
            for (step, result) in batch.iter().zip(results) {
                failed |= !self.conclude(key, step, result, &mut outcome).await;
            }
            if failed {
                break;
            }
            batch_len = if alike == 0 { 1 } else { (batch_len * 2).min(BATCH_LEN_MAX) };
            rest = later;
        }
        outcome
    }

    /// Whether the plan may go on.
    async fn conclude(&self, key: &Key, step: &Step, result: Result<Written>, outcome: &mut Outcome) -> bool {
        match result {
            Ok(written) => {
                // A write that nothing will show wakes the key by its effects.
                outcome.acted |= written.barrier.is_some();
                outcome.barriers.extend(written.barrier);
                if let Some(note) = &step.done {
                    self.recorder.record(fill_note(note, &written.name, ""));
                }
                true
            }
            Err(error) if error.is_namespace_terminating() => false,
            Err(error) => {
                outcome.failed = true;
                if error.is_conflict() || error.is_not_found() {
                    // The plan was made from an older state: it is made again from a newer one.
                    tracing::debug!("{}: {key}: {error}", self.manager);
                    return false;
                }
                tracing::info!("{}: {key}: {error}", self.manager);
                let name = key_of(&step.action).map(|(_, key)| key.name.to_string()).unwrap_or_default();
                let message = error.to_string();
                if let Some(note) = &step.failed {
                    self.recorder.record(fill_note(note, &name, &message));
                }
                if let Some(otherwise) = &step.otherwise {
                    let shown = self.act(&fill_action(otherwise, &name, &message)).await;
                    outcome.barriers.extend(shown.ok().and_then(|written| written.barrier));
                }
                false
            }
        }
    }

    async fn check_and_act(&self, step: &Step) -> Result<Written> {
        for (resource, key, uid) in &step.absent {
            match self.client.read(resource, key).await {
                Ok(found) if uid.is_empty() || found.uid() == &**uid => {
                    let about = About { group: &resource.group, resource: &resource.resource, name: &key.name };
                    return Err(Status::conflict(about, "it exists, and was planned for as gone").into());
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        self.act(&step.action).await
    }

    async fn act(&self, action: &Action) -> Result<Written> {
        let client = &self.client;
        let written = match action {
            Action::Create { resource, namespace, object } => {
                let made = self.create(resource, namespace, object).await?;
                seen(resource, &made)
            }
            Action::Update { resource, key, subresource, object } => {
                seen(resource, &client.update_object(resource, key, subresource, object).await?)
            }
            Action::Patch { resource, key, subresource, patch, precondition } => {
                let patch = Patch::Merge(with_precondition(patch, precondition));
                seen(resource, &client.patch_object(resource, key, subresource, &patch).await?)
            }
            Action::Apply { resource, key, subresource, object } => {
                let patch =
                    Patch::Apply { object: object.clone(), field_manager: self.manager.to_owned(), force: true };
                seen(resource, &client.patch_object(resource, key, subresource, &patch).await?)
            }
            Action::Delete { resource, key, precondition, propagation, grace_period_secs } => {
                let options = DeleteOptions {
                    uid: precondition.uid.as_deref().map(str::to_owned),
                    revision: precondition.revision,
                    propagation: *propagation,
                    grace_period_secs: *grace_period_secs,
                };
                gone(resource, key, precondition, client.delete_object(resource, key, &options).await.map(drop))?
            }
            Action::DeleteCollection { resource, namespace } => {
                client.delete_collection(resource, namespace, &ListQuery::default()).await?;
                Written { name: String::new(), barrier: None }
            }
            Action::Evict { key, precondition } => {
                let uid = precondition.uid.as_deref().map(str::to_owned);
                let options = DeleteOptions { uid, revision: precondition.revision, ..DeleteOptions::default() };
                let pods = Gvr::new("", "v1", "pods");
                gone(&pods, key, precondition, client.evict(key, &options).await)?
            }
            Action::Tell => Written { name: String::new(), barrier: None },
        };
        Ok(written)
    }

    /// Creates exactly one object: the name is made here, and as long as answers are lost the same object is asked for
    /// again, because a plan made without knowing whether it exists could make a second one.
    async fn create(&self, resource: &Gvr, namespace: &str, object: &Value) -> Result<Object> {
        let prefix = object["metadata"]["generateName"].as_str().filter(|_| object["metadata"]["name"].is_null());
        let Some(prefix) = prefix else { return self.client.create_object(resource, namespace, object).await };
        let prefix: String = prefix.chars().take(NAME_PREFIX_LEN_MAX).collect();
        let mut object = object.clone();
        for _ in 0..NAME_TRIES_MAX {
            let name = format!("{prefix}{}", self.rng.name_suffix(NAME_SUFFIX_LEN));
            object["metadata"]["name"] = json!(name);
            match self.create_named(resource, &Key::new(namespace, &name), &object).await {
                Err(error) if error.is_already_exists() => {}
                result => return result,
            }
        }
        self.client.create_object(resource, namespace, &object).await
    }

    async fn create_named(&self, resource: &Gvr, key: &Key, object: &Value) -> Result<Object> {
        let mut lost = 0;
        loop {
            let result = self.client.create_object(resource, &key.namespace, object).await;
            let answer = match result {
                // It is the one whose answer was lost.
                Err(error) if error.is_already_exists() && lost > 0 => self.client.read(resource, key).await,
                answer => answer,
            };
            match answer {
                Err(Error::Transport(_) | Error::Decode(_)) => {
                    lost += 1;
                    tokio::time::sleep(LOST_BACKOFF.delay(lost)).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Whether an action may run beside the first of its batch.
fn may_join(first: &Action, other: &Action) -> bool {
    match (first, other) {
        (Action::Create { resource: a, .. }, Action::Create { resource: b, .. })
        | (Action::Delete { resource: a, .. }, Action::Delete { resource: b, .. }) => a == b,
        _ => false,
    }
}

fn key_of(action: &Action) -> Option<(&Gvr, &Key)> {
    match action {
        Action::Update { resource, key, .. }
        | Action::Patch { resource, key, .. }
        | Action::Apply { resource, key, .. }
        | Action::Delete { resource, key, .. } => Some((resource, key)),
        Action::Create { .. } | Action::DeleteCollection { .. } | Action::Evict { .. } | Action::Tell => None,
    }
}

fn seen(resource: &Gvr, object: &Object) -> Written {
    Written { name: object.name().to_owned(), barrier: Some(Barrier::AtLeast(resource.clone(), object.revision())) }
}

/// A deletion of what is already gone is a success.
fn gone(resource: &Gvr, key: &Key, precondition: &Precondition, result: Result<()>) -> Result<Written> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => {
            let uid = precondition.uid.clone();
            let barrier = uid.map(|uid| Barrier::Gone(resource.clone(), key.clone(), uid));
            Ok(Written { name: key.name.to_string(), barrier })
        }
    }
}

fn with_precondition(patch: &Value, precondition: &Precondition) -> Value {
    let mut patch = patch.clone();
    if let Some(uid) = &precondition.uid {
        patch["metadata"]["uid"] = json!(&**uid);
    }
    if let Some(revision) = precondition.revision {
        patch["metadata"]["resourceVersion"] = json!(revision.to_string());
    }
    patch
}

fn fill(text: &str, name: &str, error: &str) -> String {
    text.replace("{name}", name).replace("{error}", error)
}

fn fill_note(note: &Note, name: &str, error: &str) -> Note {
    Note { message: fill(&note.message, name, error), ..note.clone() }
}

fn fill_action(action: &Action, name: &str, error: &str) -> Action {
    let mut action = action.clone();
    if let Action::Create { object: tree, .. }
    | Action::Update { object: tree, .. }
    | Action::Apply { object: tree, .. }
    | Action::Patch { patch: tree, .. } = &mut action
    {
        fill_tree(tree, name, error);
    }
    action
}

fn fill_tree(tree: &mut Value, name: &str, error: &str) {
    match tree {
        Value::String(text) if text.contains('{') => *text = fill(text, name, error),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_tree(item, name, error)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_tree(field, name, error)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
