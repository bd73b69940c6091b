//! Descriptions of types and fields, for `kubectl explain`.
//!
//! They are taken at run time from the JSON schemas that k8s-openapi's structs give (its feature `schemars`, which is
//! used nowhere else), so the tree carries no copy of upstream's texts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::resource::Column;
use api::typed::k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates, coordination, core,
    discovery, events, flowcontrol, networking, node, policy, rbac, resource, scheduling, storage,
};
use api::typed::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use api::typed::k8s_openapi::apimachinery::pkg::apis::meta;
use api::typed::k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
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
            admissionregistration::v1::MutatingAdmissionPolicy,
            admissionregistration::v1::MutatingAdmissionPolicyBinding,
            admissionregistration::v1::MutatingWebhookConfiguration,
            admissionregistration::v1::ValidatingAdmissionPolicy,
            admissionregistration::v1::ValidatingAdmissionPolicyBinding,
            admissionregistration::v1::ValidatingWebhookConfiguration,
            apiextensions::v1::CustomResourceDefinition,
            apiregistration::v1::APIService,
            apps::v1::ControllerRevision,
            apps::v1::DaemonSet,
            apps::v1::Deployment,
            apps::v1::ReplicaSet,
            apps::v1::StatefulSet,
            authentication::v1::SelfSubjectReview,
            authentication::v1::TokenRequest,
            authentication::v1::TokenReview,
            authorization::v1::LocalSubjectAccessReview,
            authorization::v1::SelfSubjectAccessReview,
            authorization::v1::SelfSubjectRulesReview,
            authorization::v1::SubjectAccessReview,
            autoscaling::v1::HorizontalPodAutoscaler,
            autoscaling::v1::Scale,
            autoscaling::v2::HorizontalPodAutoscaler,
            batch::v1::CronJob,
            batch::v1::Job,
            certificates::v1::CertificateSigningRequest,
            coordination::v1::Lease,
            core::v1::Binding,
            core::v1::ComponentStatus,
            core::v1::ConfigMap,
            core::v1::Endpoints,
            core::v1::Event,
            core::v1::LimitRange,
            core::v1::Namespace,
            core::v1::Node,
            core::v1::PersistentVolume,
            core::v1::PersistentVolumeClaim,
            core::v1::Pod,
            core::v1::PodTemplate,
            core::v1::ReplicationController,
            core::v1::ResourceQuota,
            core::v1::Secret,
            core::v1::Service,
            core::v1::ServiceAccount,
            discovery::v1::EndpointSlice,
            events::v1::Event,
            flowcontrol::v1::FlowSchema,
            flowcontrol::v1::PriorityLevelConfiguration,
            meta::v1::APIGroup,
            meta::v1::APIGroupList,
            meta::v1::APIResourceList,
            meta::v1::APIVersions,
            meta::v1::DeleteOptions,
            meta::v1::Status,
            networking::v1::IPAddress,
            networking::v1::Ingress,
            networking::v1::IngressClass,
            networking::v1::NetworkPolicy,
            networking::v1::ServiceCIDR,
            node::v1::RuntimeClass,
            policy::v1::Eviction,
            policy::v1::PodDisruptionBudget,
            rbac::v1::ClusterRole,
            rbac::v1::ClusterRoleBinding,
            rbac::v1::Role,
            rbac::v1::RoleBinding,
            resource::v1::DeviceClass,
            resource::v1::ResourceClaim,
            resource::v1::ResourceClaimTemplate,
            resource::v1::ResourceSlice,
            scheduling::v1::PriorityClass,
            storage::v1::CSIDriver,
            storage::v1::CSINode,
            storage::v1::CSIStorageCapacity,
            storage::v1::StorageClass,
            storage::v1::VolumeAttachment,
            storage::v1::VolumeAttributesClass,
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

/// A column's description: its own text, or that of the field which it names by type and field.
pub fn of_column(description: &str) -> &str {
    static FIELDS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(fields_of_columns);
    FIELDS.get(description).map_or(description, String::as_str)
}

/// The texts of all fields that columns of built-in kinds show. The rest of the words is not kept.
fn fields_of_columns() -> BTreeMap<&'static str, String> {
    let words = Words::new();
    let resources = crate::resources::all();
    let columns = resources.iter().flat_map(|resource| resource.columns).map(|column| column.description);
    let named = columns.chain([crate::output::table::NAME_DESCRIPTION, Column::CREATED]);
    let text = |name: &str| {
        let (owner, field) = name.rsplit_once('.')?;
        Some(words.of_field(owner, field)?.to_owned())
    };
    named.filter_map(|name| Some((name, text(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_a_column_names_is_documented() {
        let resources = crate::resources::all();
        let columns = resources.iter().flat_map(|resource| resource.columns).map(|column| column.description);
        let unknown: Vec<&str> =
            columns.filter(|name| name.starts_with("io.k8s.") && of_column(name) == *name).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
