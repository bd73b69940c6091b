//! What volumes and claims show and fill in alike.

use serde_json::{Value, json};

use crate::tree;

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// `RWO,ROX`: each mode once, in a fixed order.
pub fn modes(object: &Value, path: &str) -> Value {
    const SHORT: &[(&str, &str)] =
        &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let present = tree::texts(object, path);
    let short = SHORT.iter().filter(|(mode, _)| present.contains(mode)).map(|(_, short)| *short);
    short.collect::<Vec<_>>().join(",").into()
}

pub fn phase(object: &Value) -> Value {
    if tree::is_set(object, "metadata.deletionTimestamp") {
        return "Terminating".into();
    }
    tree::text(object, "status.phase").into()
}

/// The class: by the old annotation, or by its field.
pub fn class(object: &Value) -> Value {
    let annotation = tree::at(object, "metadata.annotations").and_then(|all| all.get(BETA_CLASS));
    annotation.cloned().unwrap_or_else(|| tree::text(object, "spec.storageClassName").into())
}

/// `dataSource` and `dataSourceRef` say the same where both can; whoever writes one means both.
pub fn both_sources(claim: &mut Value) {
    let (source, reference) = ("spec.dataSource", "spec.dataSourceRef");
    match (tree::at(claim, source).cloned(), tree::at(claim, reference).cloned()) {
        (Some(one), None) => tree::set(claim, reference, one),
        (None, Some(one)) if tree::text(&one, "namespace").is_empty() => {
            let known = matches!(
                (tree::text(&one, "apiGroup"), tree::text(&one, "kind")),
                ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
            );
            if known {
                let mut local = json!({ "kind": one["kind"], "name": one["name"] });
                if let Some(group) = one.get("apiGroup") {
                    tree::set(&mut local, "apiGroup", group.clone());
                }
                tree::set(claim, source, local);
            }
        }
        _ => {}
    }
}
