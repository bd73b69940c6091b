//! Descriptions of types and fields, for `kubectl explain`.
//!
//! They are taken at run time from the JSON schemas that k8s-openapi's structs give (its feature `schemars`, which is
//! used nowhere else), so the tree carries no copy of upstream's texts.

use api::typed::k8s_openapi::api::{
    apps, authentication, authorization, autoscaling, coordination, core, discovery, events, policy, rbac,
};
use api::typed::k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value};

/// All descriptions that are known.
pub struct Words(Map<String, Value>);

impl Words {
    /// Collects them; takes a few milliseconds.
    pub fn new() -> Self {
        let mut generator = SchemaGenerator::default();
        macro_rules! describe {
            ($($kind:ty),* $(,)?) => {$( generator.subschema_for::<$kind>(); )*};
        }
        describe!(
            apps::v1::Deployment,
            apps::v1::ReplicaSet,
            authentication::v1::SelfSubjectReview,
            authentication::v1::TokenRequest,
            authentication::v1::TokenReview,
            authorization::v1::LocalSubjectAccessReview,
            authorization::v1::SelfSubjectAccessReview,
            authorization::v1::SelfSubjectRulesReview,
            authorization::v1::SubjectAccessReview,
            autoscaling::v1::Scale,
            coordination::v1::Lease,
            core::v1::Binding,
            core::v1::ConfigMap,
            core::v1::Endpoints,
            core::v1::Event,
            core::v1::Namespace,
            core::v1::Node,
            core::v1::Pod,
            core::v1::Secret,
            core::v1::Service,
            core::v1::ServiceAccount,
            discovery::v1::EndpointSlice,
            events::v1::Event,
            meta::v1::DeleteOptions,
            meta::v1::Status,
            policy::v1::Eviction,
            rbac::v1::ClusterRole,
            rbac::v1::ClusterRoleBinding,
            rbac::v1::Role,
            rbac::v1::RoleBinding,
        );
        Self(generator.take_definitions(false))
    }

    pub fn of_type(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    pub fn of_field(&self, owner: &str, field: &str) -> Option<&str> {
        self.0.get(owner)?.get("properties")?.get(field)?.get("description")?.as_str()
    }
}
