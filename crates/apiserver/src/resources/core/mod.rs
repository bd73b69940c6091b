//! The core group.

pub mod configmap;
mod data_rules;
pub mod endpoints;
pub mod event;
pub mod limitrange;
mod limitrange_rules;
pub mod namespace;
pub mod node;
pub mod persistentvolume;
pub(crate) mod persistentvolume_rules;
mod persistentvolume_sources;
pub mod persistentvolumeclaim;
pub(crate) mod persistentvolumeclaim_rules;
pub mod pod;
pub(super) mod pod_columns;
pub(crate) mod pod_rules;
pub mod podtemplate;
pub mod replicationcontroller;
pub(crate) mod resource_names;
pub mod resourcequota;
mod resourcequota_rules;
pub mod secret;
pub mod service;
pub(crate) mod service_rules;
pub mod serviceaccount;
pub(crate) mod volume_cells;
