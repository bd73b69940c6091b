//! The contract of every controller: a pure plan over a snapshot.
//!
//! ```text
//! change --wakes--> keys --(queue: dedup, backoff, barrier)--> plan(snapshot, key, now) --> actions --> API
//! ```
//!
//! A controller never writes, sleeps or remembers. One driver (`client::driver`) runs them all: it gives one key to one
//! worker at a time, and does not plan a key again before the cache has seen the key's own last write
//! (read-your-writes by resourceVersion, KEP-5647), so that no plan needs expectations.

use api::name::Str;
use api::{Gvr, Key, Object};
use jiff::Timestamp;
use serde_json::Value;

use crate::index::Index;
use crate::snapshot::Snapshot;
use crate::table::Change;

/// A key to plan, or to plan at a later time.
pub type Wake = Key;

/// A resource that a controller reads, and how.
#[derive(Clone, Debug)]
pub struct Interest {
    pub resource: Gvr,
    pub indexes: Vec<Index>,
    /// Only metadata is needed: the cache may hold the objects without spec and status.
    pub metadata_only: bool,
}

impl Interest {
    pub fn new(resource: Gvr, indexes: &[Index]) -> Self {
        Self { resource, indexes: indexes.to_vec(), metadata_only: false }
    }

    pub fn metadata(resource: Gvr, indexes: &[Index]) -> Self {
        Self { resource, indexes: indexes.to_vec(), metadata_only: true }
    }
}

/// Resources that are known only at run time: the objects of `resource` name them (custom resources, by their
/// definitions).
#[derive(Clone, Debug)]
pub struct Discovery {
    pub resource: Gvr,
    /// What one object adds to what the controller reads.
    pub names: fn(&Object) -> Vec<Interest>,
}

/// One kind of decision about the cluster, such as "a ReplicaSet has as many pods as it asks for".
pub trait Controller: Send + Sync {
    /// Upstream's name, such as `replicaset-controller`: the source of its events, and its field manager.
    fn name(&self) -> &'static str;

    /// The service account in kube-system that it acts as: mostly its name.
    fn account(&self) -> &'static str {
        self.name()
    }

    /// The resources that it reads. Its snapshots hold these, with the indexes named here.
    fn watches(&self) -> Vec<Interest>;

    /// More resources to read, while there are objects that name them. They are woken for and read like the others; a
    /// table whose revision is zero has not been listed yet.
    fn discovers(&self) -> Option<Discovery> {
        None
    }

    /// The keys that a change of `resource` may concern.
    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Wake>;

    /// What to do about `key`. Called again whenever something about the key changed, and at `Plan::wake_at`.
    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError>;
}

/// What a controller wants done, in order. An empty plan says that all is well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// When to look again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn act(actions: Vec<Action>) -> Self {
        Self { steps: actions.into_iter().map(Step::from).collect(), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn push(&mut self, step: impl Into<Step>) {
        self.steps.push(step.into());
    }

    /// Makes the plan wake no later than `at`.
    pub fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// An action, and what to tell of how it went. The steps after one that failed are not done.
///
/// In messages and in `otherwise`, `{name}` stands for the written object's name (a created one may have been given its
/// name on the way) and `{error}` for why the action failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    /// Objects (of this uid, or of any where it is empty) that must not exist. The driver asks the API for each before it acts: a snapshot may lag in one
    /// resource behind another, so that an object is missing in it which does exist.
    pub absent: Vec<(Gvr, Key, Box<str>)>,
    pub done: Option<Note>,
    pub failed: Option<Note>,
    /// Done if the action failed (other than by a conflict): a status that shows the failure.
    pub otherwise: Option<Box<Action>>,
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { action, absent: Vec::new(), done: None, failed: None, otherwise: None }
    }
}

impl Step {
    pub fn done(mut self, note: Note) -> Self {
        self.done = Some(note);
        self
    }

    pub fn failed(mut self, note: Note) -> Self {
        self.failed = Some(note);
        self
    }

    pub fn otherwise(mut self, action: Action) -> Self {
        self.otherwise = Some(Box::new(action));
        self
    }
}

/// Which object a write means: it fails with a conflict if the object is another one, or has changed, meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    pub uid: Option<Box<str>>,
    pub revision: Option<api::Revision>,
}

impl Precondition {
    /// The very object, in the very state that was planned from.
    pub fn exactly(object: &Object) -> Self {
        Self { uid: Some(object.uid().into()), revision: Some(object.revision()) }
    }

    /// The very object, in whatever state.
    pub fn same(object: &Object) -> Self {
        Self { uid: Some(object.uid().into()), revision: None }
    }
}

/// One write to the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// With `metadata.generateName` the driver makes the name, so that a create whose answer was lost can be repeated
    /// without making a second object.
    Create { resource: Gvr, namespace: Box<str>, object: Value },
    /// Replaces the object; `object` carries the resourceVersion that it was planned from. `subresource` is empty or
    /// such as `status`.
    Update { resource: Gvr, key: Key, subresource: Str, object: Value },
    /// A JSON merge patch; the driver adds the precondition to the patch.
    Patch { resource: Gvr, key: Key, subresource: Str, patch: Value, precondition: Precondition },
    /// Server-side apply with the controller's name as field manager.
    Apply { resource: Gvr, key: Key, subresource: Str, object: Value },
    Delete {
        resource: Gvr,
        key: Key,
        precondition: Precondition,
        /// `Background`, `Foreground` or `Orphan`; the server's default when absent.
        propagation: Option<&'static str>,
        grace_period_secs: Option<i64>,
    },
    /// Deletes every object of the resource in the namespace; the namespace's own deletion is the precondition.
    DeleteCollection { resource: Gvr, namespace: Box<str> },
    /// Nothing is written: a step that only tells.
    Tell,
    /// POST to a pod's eviction subresource, which honours disruption budgets.
    Evict { key: Key, precondition: Precondition },
}

/// An Event to record about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub about: About,
    pub kind: NoteKind,
    pub reason: Str,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    Normal,
    Warning,
}

impl Note {
    pub fn normal(about: &Object, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: About::object(about), kind: NoteKind::Normal, reason: reason.into(), message: message.into() }
    }

    pub fn warning(about: &Object, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: About::object(about), kind: NoteKind::Warning, reason: reason.into(), message: message.into() }
    }
}

/// The object that an Event is about, as in its involvedObject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub key: Key,
    pub uid: Box<str>,
    pub field_path: Option<String>,
}

impl About {
    pub fn object(object: &Object) -> Self {
        let meta = object.meta();
        Self {
            api_version: meta.api_version.clone(),
            kind: meta.kind.clone(),
            key: object.key(),
            uid: meta.uid.clone(),
            field_path: None,
        }
    }
}

/// Why a plan could not be made; the driver logs it and tries again with backoff.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("cannot read {what}: {source}")]
    Decode { what: String, source: api::object::DecodeError },
    #[error("{0}")]
    Invalid(String),
}
