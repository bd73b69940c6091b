//! ControllerRevision: one template of a StatefulSet or DaemonSet, kept to return to.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::Value;

use super::workload;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        columns: COLUMNS,
        hooks: Hooks {
            validate: Some(validate),
            validate_update: Some(|new, old| workload::unchanged(new, old, &["data"])),
            ..Hooks::default()
        },
        ..Resource::of::<ControllerRevision>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Controller", "Controller of the object", |o, _| controller(o).into()),
    Column::text("Revision", "io.k8s.api.apps.v1.ControllerRevision.revision", |o, _| {
        workload::count(o, "revision").into()
    }),
    Column::age(),
];

/// `statefulset.apps/web`.
fn controller(revision: &Value) -> String {
    let mut owners = tree::list(revision, "metadata.ownerReferences").iter();
    let Some(owner) = owners.find(|owner| tree::flag(owner, "controller")) else {
        return cells::NONE.to_owned();
    };
    let kind = tree::text(owner, "kind").to_lowercase();
    let (group, _) = tree::text(owner, "apiVersion").rsplit_once('/').unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", tree::text(owner, "name"))
}

fn validate(revision: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !tree::is_set(revision, "data") {
        causes.push(Path::new("data").required("data is mandatory"));
    }
    causes.extend(workload::negative(revision, &Path::default(), &["revision"]));
    causes
}
