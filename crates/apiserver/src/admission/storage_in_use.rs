//! StorageObjectInUseProtection: volumes and claims carry a finalizer, so that they stay while somebody uses them.

use api::Status;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "StorageObjectInUseProtection", mutate: Some(mutate), validate: None };

fn mutate(attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
    let finalizer = if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else {
        return Ok(());
    };
    if attributes.operation == Operation::Create && !tree::texts(object, "metadata.finalizers").contains(&finalizer) {
        tree::list_mut(object, "metadata.finalizers").push(finalizer.into());
    }
    Ok(())
}
