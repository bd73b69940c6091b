//! discovery.k8s.io: endpoint slices.

pub mod endpointslice;
