//! The descriptor of a resource: all that the generic engine knows about one.
//!
//! A built-in resource is one small file under `resources/<group>/` that makes a `Resource`, and one line in
//! `resources/mod.rs`; a custom resource makes its descriptor at run time. Structure (fields, types, list kinds, merge
//! keys, defaults) comes from the schema tables of `api` by [`Resource::schema`]; hooks say only what a schema cannot.

use std::sync::Arc;

use api::name::Str;
use api::status::{Cause, Status};
use api::{Gvk, Gvr};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::custom::Custom;
use crate::user::User;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// A resource as it is served and stored.
#[derive(Clone)]
pub struct Resource {
    pub gvr: Gvr,
    pub kind: Gvk,
    pub singular: Str,
    pub short_names: Vec<Str>,
    pub categories: Vec<Str>,
    pub scope: Scope,
    /// The key of its type in the schema tables, such as `io.k8s.api.core.v1.Pod`.
    pub schema: Str,
    /// Field selectors that it takes besides metadata.name and metadata.namespace; each is indexed in the watch cache.
    /// One that is not called as its path is `name=path`.
    pub selectable_fields: &'static [&'static str],
    /// How a selector by any other field is refused; `{}` stands for the field. Only kinds with words of their own.
    pub field_refusal: Option<&'static str>,
    /// What of the object, besides its spec, a write to its status leaves as it is and does not own.
    pub status_keeps: &'static [&'static str],
    pub columns: &'static [Column],
    /// What the column of names shows, where that is more than the name.
    pub name_cell: Option<fn(&Value) -> String>,
    pub subresources: &'static [Subresource],
    /// The same objects served under another group or version share the storage of that resource (both Event groups).
    pub stored_as: Option<Gvr>,
    /// Writes may be acknowledged before they are on disk (Leases, Events).
    pub buffered: bool,
    /// Answered at creation and never stored (reviews).
    pub review: Option<Review>,
    /// `metadata.generation` counts changes of what is wanted.
    pub generation: bool,
    /// PUT makes an object that is not there.
    pub create_on_update: bool,
    /// PUT without a resourceVersion overwrites whatever is there.
    pub unconditional_update: bool,
    /// A client may give the status of a new object (nodes).
    pub keeps_status: bool,
    /// Tables do not begin with the name (events).
    pub unnamed: bool,
    /// A deletion answers with the object that is gone, not with a Status.
    pub returns_deleted: bool,
    /// `spec.finalizers` holds it besides `metadata.finalizers` (namespaces).
    pub finalized_by_spec: bool,
    /// There is no deletion of a whole collection (namespaces).
    pub deleted_singly: bool,
    /// Dependents outlive it unless the deletion says otherwise. The text warns whoever lets it; empty warns nobody.
    pub orphans: Option<&'static str>,
    /// It is given addresses and ports (services).
    pub allocates: bool,
    pub name_rule: NameRule,
    /// Told to everybody who uses it.
    pub deprecated: Option<&'static str>,
    /// What the definition of a custom resource says, which no constant can hold.
    pub custom: Option<Arc<Custom>>,
    /// Describes its type and fields; nothing for a custom resource, whose definition does.
    pub words: Option<Words>,
    pub hooks: Hooks,
}

/// Adds a type, and what it is made of, to the descriptions.
pub type Words = fn(&mut SchemaGenerator);

/// A kind that is a type of ours.
pub trait BuiltIn: k8s_openapi::Resource<Scope: InScope> + JsonSchema {}
impl<K: k8s_openapi::Resource<Scope: InScope> + JsonSchema> BuiltIn for K {}

/// The scope of a type, as a value.
pub trait InScope {
    const SCOPE: Scope;
}

impl InScope for k8s_openapi::ClusterResourceScope {
    const SCOPE: Scope = Scope::Cluster;
}

impl InScope for k8s_openapi::NamespaceResourceScope {
    const SCOPE: Scope = Scope::Namespaced;
}

pub use api::validation::meta::NameRule;

/// A question that is asked by creating it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    Token,
    SubjectAccess,
    LocalSubjectAccess,
    SelfSubjectAccess,
    SelfSubjectRules,
    SelfSubject,
    /// No question but the older form of pods/binding, which is not stored either.
    Binding,
    /// Read and never written: how the parts of the control plane are, as they are asked.
    Components,
}

/// Verbs of a stored resource, in discovery's order.
const STORED_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The same without the deletion of a collection.
const SINGLE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// The same, in the order in which upstream lists them for custom resources.
const CUSTOM_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

impl Resource {
    /// A built-in resource with nothing special about it: its names, scope and schema are those of its type.
    pub fn of<K: BuiltIn>() -> Self {
        let gvr = Gvr::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT);
        let scope = <K::Scope as InScope>::SCOPE;
        let words: Words = |generator| drop(generator.subschema_for::<K>());
        Self { words: Some(words), ..Self::new(gvr, K::KIND, &K::KIND.to_lowercase(), scope, K::schema_name()) }
    }

    /// A resource with nothing special about it. Its schema is named like `io.k8s.api.core.v1.Pod`.
    pub fn new(gvr: Gvr, kind: &'static str, singular: &str, scope: Scope, schema: Str) -> Self {
        let kind = Gvk { group: gvr.group.clone(), version: gvr.version.clone(), kind: kind.into() };
        Self {
            gvr,
            kind,
            singular: singular.to_owned().into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            schema,
            selectable_fields: &[],
            field_refusal: None,
            status_keeps: &[],
            columns: &[],
            name_cell: None,
            subresources: &[],
            stored_as: None,
            buffered: false,
            review: None,
            generation: false,
            create_on_update: false,
            unconditional_update: true,
            keeps_status: false,
            unnamed: false,
            returns_deleted: false,
            finalized_by_spec: false,
            deleted_singly: false,
            orphans: None,
            allocates: false,
            name_rule: api::validation::name::dns1123_subdomain,
            deprecated: None,
            custom: None,
            words: None,
            hooks: Hooks::default(),
        }
    }

    /// A resource that is only asked, never stored.
    pub fn question<K: BuiltIn>(review: Review) -> Self {
        Self { review: Some(review), ..Self::of::<K>() }
    }

    /// The verbs that discovery shows.
    pub fn verbs(&self) -> &'static [&'static str] {
        match (&self.custom, self.review) {
            (Some(_), _) => CUSTOM_VERBS,
            (None, Some(Review::Components)) => &["get", "list"],
            (None, Some(_)) => &["create"],
            (None, None) if self.deleted_singly => SINGLE_VERBS,
            (None, None) => STORED_VERBS,
        }
    }

    /// The kind of its lists.
    pub fn list_kind(&self) -> String {
        match &self.custom {
            Some(custom) => custom.list_kind.clone(),
            None => format!("{}List", self.kind.kind),
        }
    }

    /// The place of a field selector's field among those that are indexed.
    pub fn field_position(&self, name: &str) -> Option<usize> {
        match &self.custom {
            Some(custom) => custom.selects(name),
            None => self.selectable_fields.iter().position(|field| field_name(field) == name),
        }
    }

    /// Where the values of the selectable fields are.
    pub fn field_paths(&self) -> Box<[&'static str]> {
        let path = |field: &'static str| field.split_once('=').map_or(field, |(_, path)| path);
        self.selectable_fields.iter().map(|field| path(field).split('|').next().unwrap_or_default()).collect()
    }

    /// The place of the field that stands in where the one of this name is empty.
    pub fn field_fallback(&self, name: &str) -> Option<usize> {
        let field = self.selectable_fields.iter().find(|field| field_name(field) == name)?;
        self.field_position(field.split_once('|')?.1)
    }

    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub fn has(&self, subresource: &Subresource) -> bool {
        self.subresources.contains(subresource)
    }
}

/// One column of `kubectl get`.
#[derive(Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `date`, ...
    pub kind: &'static str,
    pub format: &'static str,
    /// Shown with `-o wide` only when it is not zero.
    pub priority: i32,
    /// Its text, or the documented field that it shows (`io.k8s.api.core.v1.PodSpec.nodeName`), whose text it takes over.
    pub description: &'static str,
    /// The cell: from the object and the present time (for ages).
    pub cell: fn(&Value, jiff::Timestamp) -> Value,
}

impl Column {
    /// A column of text that is always shown.
    pub const fn text(
        name: &'static str,
        description: &'static str,
        cell: fn(&Value, jiff::Timestamp) -> Value,
    ) -> Self {
        Self { name, kind: "string", format: "", priority: 0, description, cell }
    }

    pub const fn integer(
        name: &'static str,
        description: &'static str,
        cell: fn(&Value, jiff::Timestamp) -> Value,
    ) -> Self {
        Self { kind: "integer", ..Self::text(name, description, cell) }
    }

    pub const fn boolean(
        name: &'static str,
        description: &'static str,
        cell: fn(&Value, jiff::Timestamp) -> Value,
    ) -> Self {
        Self { kind: "boolean", ..Self::text(name, description, cell) }
    }

    pub const fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// Its cells are names of objects.
    pub const fn name(self) -> Self {
        Self { format: "name", ..self }
    }

    /// Shown with `-o wide` only.
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// The field that ages are counted from.
    pub const CREATED: &'static str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta.creationTimestamp";

    /// The age of the object.
    pub const fn age() -> Self {
        Self::text("Age", Self::CREATED, crate::output::age::of)
    }
}

impl Subresource {
    /// The object itself, of which only a part is written here.
    pub fn is_part(&self) -> bool {
        matches!(self, Self::Status | Self::EphemeralContainers | Self::Resize | Self::Approval)
    }

    /// The last part of its path.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale { .. } | Self::CustomScale => "scale",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Token => "token",
            Self::Finalize => "finalize",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Approval => "approval",
            Self::Connect(path) => path,
        }
    }
}

/// A path under an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// Writes only `.status` (and metadata that status writers may change).
    Status,
    /// The paths of replicas, status replicas and the selector, for autoscaling/v1 Scale.
    Scale { spec_replicas: &'static str, status_replicas: &'static str, selector: &'static str },
    /// The same with the paths of a custom resource's definition.
    CustomScale,
    /// pods/binding.
    Binding,
    /// pods/eviction.
    Eviction,
    /// serviceaccounts/token.
    Token,
    /// namespaces/finalize.
    Finalize,
    /// pods/ephemeralcontainers.
    EphemeralContainers,
    /// pods/resize.
    Resize,
    /// certificatesigningrequests/approval.
    Approval,
    /// Forwarded to the node's kubelet: log, exec, attach, portforward, proxy.
    Connect(&'static str),
}

/// What a hook may know besides the object.
pub struct HookContext<'a> {
    pub user: &'a User,
    pub now: jiff::Timestamp,
    pub dry_run: bool,
    /// Empty for the object itself.
    pub subresource: &'a str,
}

pub type Warn = fn(&Value, Option<&Value>) -> Vec<String>;
pub type ValidatePart = fn(&str, &Value, &Value) -> Vec<Cause>;

/// What only code can say about a resource. Every hook is optional; a hook that is absent does nothing.
#[derive(Clone, Copy, Default)]
pub struct Hooks {
    /// Defaults that depend on other fields; plain ones are in the schema's defaults.
    pub default: Option<fn(&mut Value)>,
    /// Clears and sets what clients may not choose at creation (status, allocated fields).
    pub prepare_create: Option<fn(&mut Value, &HookContext<'_>)>,
    /// Keeps what an update may not touch. Arguments: new, old.
    pub prepare_update: Option<fn(&mut Value, &Value, &HookContext<'_>)>,
    /// What follows from the rest, and is set after the object was found valid.
    pub canonicalize: Option<fn(&mut Value)>,
    pub validate: Option<fn(&Value) -> Vec<Cause>>,
    /// What holds only for new objects.
    pub validate_create: Option<fn(&Value) -> Vec<Cause>>,
    /// Arguments: new, old.
    pub validate_update: Option<fn(&Value, &Value) -> Vec<Cause>>,
    /// What a write to the status must keep to. Arguments: new, old.
    pub validate_status: Option<fn(&Value, &Value) -> Vec<Cause>>,
    /// Warnings about a valid object. Arguments: new, and what it replaces.
    pub warn: Option<Warn>,
    /// A write to another part (`resize`, `ephemeralcontainers`), named first; then new and old.
    pub validate_part: Option<ValidatePart>,
    /// The seconds of grace for the object, given those that the request asks for. Without the hook there is no grace.
    pub graceful_deletion: Option<fn(&Value, Option<i64>) -> i64>,
    /// For kinds that a controller empties first ([`Resource::finalized_by_spec`]): what the first deletion writes.
    pub begin_deletion: Option<fn(&mut Value, jiff::Timestamp)>,
    /// From the stored form, where [`Resource::stored_as`] is another version.
    pub from_stored: Option<fn(&mut Value)>,
    /// To the stored form.
    pub to_stored: Option<fn(&mut Value)>,
}

/// How selectors call a selectable field.
pub fn field_name(field: &str) -> &str {
    field.split_once('=').map_or(field, |(name, _)| name)
}

/// All causes for which an object is refused, as one Status.
pub fn invalid(kind: &Gvk, name: &str, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid(&kind.group, &kind.kind, name, causes)) }
}
