//! Custom resources as controllers see them: what a CustomResourceDefinition serves, once it is established.

use api::{Gvr, Object, Revision};
use cache::{Discovery, Index, Interest, Snapshot};
use jiff::SignedDuration;
use serde::Deserialize;

use crate::Served;

pub(crate) const DEFINITIONS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
/// Definitions by the group and kind that they define.
pub(crate) const BY_KIND: Index = Index { name: "kind", values: kinds };

/// How long a list of a resource that is new may take.
pub(crate) const LIST_WAIT: SignedDuration = SignedDuration::from_millis(500);

/// What is read of a definition; its schemas, which are most of it, are skipped.
#[derive(Deserialize)]
struct Definition {
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    names: Names,
    scope: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Names {
    plural: String,
    kind: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    served: bool,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

/// The resource that the definition serves, in one of its versions.
pub(crate) fn served(definition: &Object) -> Option<Served> {
    let Definition { spec, status } = serde_json::from_slice(definition.json()).ok()?;
    let is_established = |condition: &Condition| condition.r#type == "Established" && condition.status == "True";
    if !status.conditions.iter().any(is_established) {
        return None;
    }
    let version = spec.versions.into_iter().find(|version| version.served)?;
    Some(Served {
        resource: Gvr { group: spec.group.into(), version: version.name.into(), resource: spec.names.plural.into() },
        kind: spec.names.kind,
        namespaced: spec.scope == "Namespaced",
    })
}

/// Namespaced custom resources.
pub(crate) fn namespaced(snapshot: &Snapshot) -> impl Iterator<Item = Gvr> {
    let custom = snapshot.list(&DEFINITIONS, None).filter_map(served);
    custom.filter(|served| served.namespaced).map(|served| served.resource)
}

/// Follows the metadata of namespaced custom resources.
pub(crate) fn discover_namespaced() -> Discovery {
    let names = |definition: &Object| {
        let served = served(definition).filter(|served| served.namespaced);
        served.map(|served| Interest::metadata(served.resource, &[])).into_iter().collect()
    };
    Discovery { resource: DEFINITIONS, names }
}

/// Whether it is known what the resource holds: one that has just been defined is not listed yet.
pub(crate) fn is_listed(snapshot: &Snapshot, resource: &Gvr) -> bool {
    snapshot.table(resource).is_some_and(|table| table.revision() != Revision::ZERO)
}

/// What serves a kind that is not built in.
pub(crate) fn of_kind(snapshot: &Snapshot, group: &str, kind: &str) -> Option<Served> {
    snapshot.by_index(&DEFINITIONS, BY_KIND.name, &format!("{group}/{kind}")).find_map(served)
}

fn kinds(definition: &Object) -> Vec<Box<str>> {
    let Ok(Definition { spec, .. }) = serde_json::from_slice(definition.json()) else { return Vec::new() };
    vec![format!("{}/{}", spec.group, spec.names.kind).into()]
}
