//! storage.k8s.io: classes and drivers of volumes, and where volumes are attached.

pub mod csidriver;
pub mod csinode;
pub mod csistoragecapacity;
mod rules;
pub mod storageclass;
pub mod volumeattachment;
pub mod volumeattributesclass;

pub use rules::driver_name;
