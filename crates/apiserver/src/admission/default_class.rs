//! DefaultStorageClass and DefaultIngressClass: claims and ingresses that name no class get the one that is marked so.

use api::{Gvr, Object, Status};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::tree;

pub const STORAGE: Plugin = Plugin { name: "DefaultStorageClass", mutate: Some(storage_class), validate: None };
pub const INGRESS: Plugin = Plugin { name: "DefaultIngressClass", mutate: Some(ingress_class), validate: None };

const STORAGE_CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");
const INGRESS_CLASSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ingressclasses");

/// The newest class with one of the annotations; of equally old ones the first by name.
fn default_of(attributes: &Attributes<'_>, classes: &Gvr, annotations: &[&str]) -> Option<String> {
    let table = attributes.engine.table(classes)?;
    let marked = |class: &&Object| {
        let tree = class.tree().unwrap_or_default();
        let present = tree::at(&tree, "metadata.annotations").cloned().unwrap_or_default();
        annotations.iter().any(|key| present.get(*key).and_then(Value::as_str) == Some("true"))
    };
    let created = |class: &&Object| class.meta().creation_timestamp;
    let newest = table.iter().filter(marked).map(|class| created(&class)).max()?;
    let first = table.iter().filter(marked).find(|class| created(class) == newest)?;
    Some(first.name().to_owned())
}

fn has_annotation(object: &Value, key: &str) -> bool {
    tree::at(object, "metadata.annotations").is_some_and(|all| all.get(key).is_some())
}

fn storage_class(attributes: &Attributes<'_>, claim: &mut Value) -> Result<(), Status> {
    let named = tree::is_set(claim, "spec.storageClassName")
        || has_annotation(claim, "volume.beta.kubernetes.io/storage-class");
    if attributes.operation != Operation::Create || !attributes.is("", "persistentvolumeclaims") || named {
        return Ok(());
    }
    let marks = &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    if let Some(class) = default_of(attributes, &STORAGE_CLASSES, marks) {
        tree::set(claim, "spec.storageClassName", class);
    }
    Ok(())
}

fn ingress_class(attributes: &Attributes<'_>, ingress: &mut Value) -> Result<(), Status> {
    let named =
        tree::is_set(ingress, "spec.ingressClassName") || has_annotation(ingress, "kubernetes.io/ingress.class");
    if attributes.operation != Operation::Create || !attributes.is("networking.k8s.io", "ingresses") || named {
        return Ok(());
    }
    let marks = &["ingressclass.kubernetes.io/is-default-class"];
    if let Some(class) = default_of(attributes, &INGRESS_CLASSES, marks) {
        tree::set(ingress, "spec.ingressClassName", class);
    }
    Ok(())
}
