//! Stages 3 and 6, admission: plug-ins that may change an object, then plug-ins that may refuse it.
//!
//! A plug-in is one file and one line in [`CHAIN`]. It sees the request and the caches, and does no I/O.

mod certificates;
mod claim_resize;
mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod priority;
pub(crate) mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_in_use;

use api::status::About;
use api::{Gvr, Key, Object, Status};
use serde_json::Value;

use crate::engine::Engine;
use crate::resource::Resource;
use crate::user::User;
use crate::verbs::Call;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// What a plug-in may know about a request.
pub struct Attributes<'a> {
    pub engine: &'a Engine,
    pub resource: &'a Resource,
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// Empty while a generated name is not chosen yet.
    pub name: &'a str,
    pub user: &'a User,
    pub operation: Operation,
    pub dry_run: bool,
    pub old: Option<&'a Value>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(
        call: &'a Call,
        name: &'a str,
        operation: Operation,
        dry_run: bool,
        old: Option<&'a Value>,
    ) -> Self {
        Self {
            engine: &call.engine,
            resource: &call.resource,
            subresource: call.subresource(),
            namespace: &call.context.info.namespace,
            name,
            user: &call.context.user,
            operation,
            dry_run,
            old,
        }
    }

    /// The object itself, not a subresource, of this resource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.resource.gvr.group == group && self.resource.gvr.resource == resource
    }

    pub fn creates_pod(&self) -> bool {
        self.operation == Operation::Create && self.is("", "pods")
    }

    /// An object of the caches, which hold everything that was acknowledged before the request.
    pub fn cached(&self, resource: &Gvr, namespace: &str, name: &str) -> Option<Object> {
        self.engine.table(resource)?.get(&Key::new(namespace, name)).cloned()
    }

    pub fn forbidden(&self, why: &str) -> Status {
        let about = About { group: &self.resource.gvr.group, resource: &self.resource.gvr.resource, name: self.name };
        Status::forbidden(about, why)
    }
}

pub type Mutate = fn(&Attributes<'_>, &mut Value) -> Result<(), Status>;
pub type Validate = fn(&Attributes<'_>, &Value) -> Result<(), Status>;

/// One admission plug-in.
pub struct Plugin {
    pub name: &'static str,
    pub mutate: Option<Mutate>,
    pub validate: Option<Validate>,
}

/// In the order in which they run, which is upstream's.
pub const CHAIN: &[Plugin] = &[
    namespace_lifecycle::PLUGIN,
    limit_ranger::PLUGIN,
    service_account::PLUGIN,
    node_restriction::PLUGIN,
    priority::PLUGIN,
    default_toleration_seconds::PLUGIN,
    default_class::STORAGE,
    storage_in_use::PLUGIN,
    claim_resize::PLUGIN,
    runtime_class::PLUGIN,
    certificates::APPROVAL,
    certificates::SIGNING,
    certificates::SUBJECT,
    default_class::INGRESS,
];

pub(crate) fn mutate(attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
    CHAIN.iter().filter_map(|plugin| plugin.mutate).try_for_each(|mutate| mutate(attributes, object))
}

pub(crate) fn validate(attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    CHAIN.iter().filter_map(|plugin| plugin.validate).try_for_each(|validate| validate(attributes, object))
}
