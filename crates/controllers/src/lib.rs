//! The cluster's controllers: one file each, pure plans over a snapshot.
//!
//! No controller reads a clock, sleeps, remembers or writes: `client::driver` runs them all. A controller knows the
//! resources it decides about and no other controller; they meet only in the API.

mod cron_job;
mod daemon_set;
mod definitions;
mod deployment;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod garbage;
mod history;
mod job;
mod labels;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod owners;
mod pod_garbage;
mod pods;
mod rank;
mod replica_set;
mod resource_quota;
mod role_aggregation;
mod root_ca;
mod service_account;
mod services;
mod slices;
mod stateful_set;
mod taint_eviction;
mod template;
#[cfg(test)]
mod testing;
mod tree;
mod ttl_after_finished;
mod volume_protection;

use std::sync::Arc;

use api::Gvr;
use cache::Controller;

pub use cron_job::CronJobController;
pub use daemon_set::DaemonSetController;
pub use deployment::DeploymentController;
pub use disruption::DisruptionController;
pub use endpoint_slice::EndpointSliceController;
pub use endpoint_slice_mirroring::EndpointSliceMirroring;
pub use endpoints::EndpointsController;
pub use garbage::GarbageCollector;
pub use job::JobController;
pub use namespace::NamespaceController;
pub use node_ipam::NodeIpamController;
pub use node_lifecycle::NodeLifecycleController;
pub use pod_garbage::PodGarbageCollector;
pub use replica_set::ReplicaSetController;
pub use resource_quota::ResourceQuotaController;
pub use role_aggregation::ClusterRoleAggregation;
pub use root_ca::RootCaPublisher;
pub use service_account::ServiceAccountController;
pub use stateful_set::StatefulSetController;
pub use taint_eviction::TaintEvictionController;
pub use ttl_after_finished::TtlAfterFinished;
pub use volume_protection::{ClaimProtection, VolumeProtection};

/// A resource that the API server serves and that can be listed, watched and deleted: one version of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub resource: Gvr,
    pub kind: String,
    pub namespaced: bool,
}

/// What the controllers must be told about their cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    pub served: Vec<Served>,
    /// The cluster's authority, in PEM.
    pub authority: String,
    /// The range that nodes get their pods' ranges (a /24 each) from, such as `10.244.0.0/16`.
    pub pod_range: String,
    /// When this control plane began to look: nodes are not blamed for silence before it.
    pub since: jiff::Timestamp,
}

/// Every controller of a cluster.
pub fn all(settings: &Settings) -> Vec<Arc<dyn Controller>> {
    vec![
        Arc::new(DeploymentController),
        Arc::new(ReplicaSetController::replica_sets()),
        Arc::new(ReplicaSetController::replication_controllers()),
        Arc::new(StatefulSetController),
        Arc::new(DaemonSetController),
        Arc::new(JobController),
        Arc::new(CronJobController),
        Arc::new(TtlAfterFinished),
        Arc::new(DisruptionController),
        Arc::new(ClusterRoleAggregation),
        Arc::new(EndpointSliceController),
        Arc::new(EndpointsController),
        Arc::new(EndpointSliceMirroring),
        Arc::new(ServiceAccountController),
        Arc::new(RootCaPublisher::new(settings.authority.clone())),
        Arc::new(NamespaceController::new(&settings.served)),
        Arc::new(GarbageCollector::new(&settings.served)),
        Arc::new(NodeLifecycleController::new(settings.since)),
        Arc::new(TaintEvictionController),
        Arc::new(NodeIpamController::new(&settings.pod_range)),
        Arc::new(PodGarbageCollector),
        Arc::new(ResourceQuotaController::new(&settings.served)),
        Arc::new(ClaimProtection),
        Arc::new(VolumeProtection),
    ]
}
