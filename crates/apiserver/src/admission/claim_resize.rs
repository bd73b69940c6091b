//! PersistentVolumeClaimResize: only a bound claim of a class that allows it may grow.

use api::quantity::Quantity;
use api::{Gvr, Status};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::resources::core::volume_cells;
use crate::resources::fields::quantity;
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "PersistentVolumeClaimResize", mutate: None, validate: Some(validate) };

const CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

fn validate(attributes: &Attributes<'_>, claim: &Value) -> Result<(), Status> {
    let Some(old) = attributes
        .old
        .filter(|_| attributes.operation == Operation::Update && attributes.is("", "persistentvolumeclaims"))
    else {
        return Ok(());
    };
    let size =
        |claim: &Value| tree::at(claim, "spec.resources.requests.storage").and_then(quantity).unwrap_or(Quantity::ZERO);
    if size(claim) <= size(old) {
        return Ok(());
    }
    if tree::text(old, "status.phase") != "Bound" {
        return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
    }
    let (class, before) = (volume_cells::class(claim), volume_cells::class(old));
    let name = class.as_str().unwrap_or_default();
    let found = attributes.cached(&CLASSES, "", name).and_then(|class| class.tree().ok());
    if class == before && found.is_some_and(|class| tree::flag(&class, "allowVolumeExpansion")) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
               support resize";
    Err(attributes.forbidden(why))
}
