//! Typed structs of the built-in kinds, and the only place where their (de)serialization is compiled.
//!
//! Serde code for the big kinds is slow to compile, so it is instantiated here once per kind behind plain functions;
//! other crates call [`Typed::decode`] and [`Typed::encode`] and never serde itself.

pub use k8s_openapi;
pub use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
pub use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
pub use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SubjectAccessReview};
pub use k8s_openapi::api::coordination::v1::Lease;
pub use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount,
};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;
pub use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};

use crate::name::Gvr;

/// A built-in kind with a typed struct.
pub trait Typed: Sized {
    const GVR: Gvr;
    const KIND: &'static str;

    fn decode(json: &[u8]) -> Result<Self, serde_json::Error>;
    /// The object as JSON, with its apiVersion and kind.
    fn encode(&self) -> Vec<u8>;
    fn to_tree(&self) -> serde_json::Value;
}

macro_rules! typed {
    ($($kind:ident: $group:literal $version:literal $plural:literal;)*) => {$(
        impl Typed for $kind {
            const GVR: Gvr = Gvr::new($group, $version, $plural);
            const KIND: &'static str = stringify!($kind);

            fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(json)
            }

            fn encode(&self) -> Vec<u8> {
                serde_json::to_vec(self).expect("invariant: a typed object always encodes")
            }

            fn to_tree(&self) -> serde_json::Value {
                serde_json::to_value(self).expect("invariant: a typed object always encodes")
            }
        }
    )*};
}

typed! {
    ClusterRole: "rbac.authorization.k8s.io" "v1" "clusterroles";
    ClusterRoleBinding: "rbac.authorization.k8s.io" "v1" "clusterrolebindings";
    ConfigMap: "" "v1" "configmaps";
    Deployment: "apps" "v1" "deployments";
    EndpointSlice: "discovery.k8s.io" "v1" "endpointslices";
    Endpoints: "" "v1" "endpoints";
    Event: "" "v1" "events";
    Lease: "coordination.k8s.io" "v1" "leases";
    Namespace: "" "v1" "namespaces";
    Node: "" "v1" "nodes";
    Pod: "" "v1" "pods";
    ReplicaSet: "apps" "v1" "replicasets";
    Role: "rbac.authorization.k8s.io" "v1" "roles";
    RoleBinding: "rbac.authorization.k8s.io" "v1" "rolebindings";
    Secret: "" "v1" "secrets";
    Service: "" "v1" "services";
    ServiceAccount: "" "v1" "serviceaccounts";
}
