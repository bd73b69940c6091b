//! StatefulSet: pods with names and volumes of their own, in order.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_label;
use api::validation::number::{at_most_100_percent, nonnegative, nonnegative_or_percent, number_or_percent};
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::workload::{self, OVER_REPLICAS, count, negative};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::warnings::claim_spec;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["sts".into()],
        categories: vec!["all".into()],
        generation: true,
        name_rule: dns1123_label,
        field_refusal: Some("field label not supported for appsv1.StatefulSet: {}"),
        subresources: &[workload::SCALE, Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            validate_create: Some(|set| spec_causes(set, true)),
            validate_update: Some(validate_update),
            validate_status: Some(validate_status),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<StatefulSet>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Ready", "Number of the pod with ready state", |o, _| {
        format!("{}/{}", count(o, "status.readyReplicas"), count(o, "spec.replicas")).into()
    }),
    Column::age(),
    workload::CONTAINERS,
    workload::IMAGES,
];

/// Claim templates say what they are, so that comparisons and applies see the same object as their readers.
fn default(set: &mut Value) {
    if tree::list(set, "spec.volumeClaimTemplates").is_empty() {
        return;
    }
    for claim in tree::list_mut(set, "spec.volumeClaimTemplates") {
        tree::set(claim, "apiVersion", "v1");
        tree::set(claim, "kind", "PersistentVolumeClaim");
    }
}

fn prepare_create(set: &mut Value, _: &HookContext<'_>) {
    tree::set(set, "status", json!({ "replicas": 0, "availableReplicas": 0 }));
}

/// The name of the service is asked of new sets alone: those that were made before it was checked stay valid.
fn spec_causes(set: &Value, is_new: bool) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &set["spec"];
    let mut causes = Vec::new();
    match tree::text(spec, "podManagementPolicy") {
        "" => causes.push(path.child("podManagementPolicy").required("")),
        "OrderedReady" | "Parallel" => {}
        other => {
            causes.push(path.child("podManagementPolicy").invalid(other, "must be 'OrderedReady' or 'Parallel'"));
        }
    }
    causes.extend(strategy(&spec["updateStrategy"], &path.child("updateStrategy")));
    let retention = path.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let policy = tree::text(spec, &format!("persistentVolumeClaimRetentionPolicy.{field}"));
        if !matches!(policy, "Retain" | "Delete") {
            causes.push(retention.child(field).not_supported(policy, &["Retain", "Delete"]));
        }
    }
    causes.extend(negative(spec, &path, &["replicas", "minReadySeconds", "ordinals.start"]));
    let service = tree::text(spec, "serviceName");
    if is_new && !service.is_empty() {
        causes.extend(path.child("serviceName").invalid_each(service, dns1123_label(service)));
    }
    causes.extend(workload::selector(spec, &path, "statefulset"));
    causes.extend(workload::lasting_template(spec, &path, "StatefulSet", ""));
    causes
}

fn strategy(strategy: &Value, path: &Path) -> Vec<Cause> {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    let at = path.child("rollingUpdate");
    let shown = rolling.map_or("null".to_owned(), |rolling| {
        let unavailable = rolling.get("maxUnavailable").unwrap_or(&Value::Null);
        format!(r#"{{"Partition":{},"MaxUnavailable":{unavailable}}}"#, count(rolling, "partition"))
    });
    match (tree::text(strategy, "type"), rolling) {
        ("", _) => vec![path.required("")],
        ("OnDelete" | "RollingUpdate", None) => Vec::new(),
        ("OnDelete", Some(_)) => vec![at.invalid_shown(&shown, "only allowed for updateStrategy 'RollingUpdate'")],
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &at),
        (other, _) => {
            let shown = format!(r#"{{"Type":{other:?},"RollingUpdate":{shown}}}"#);
            vec![path.invalid_shown(&shown, "must be 'RollingUpdate' or 'OnDelete'")]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Vec<Cause> {
    let mut causes: Vec<Cause> = nonnegative(rolling.get("partition"), &path.child("partition")).into_iter().collect();
    if let Some(unavailable) = rolling.get("maxUnavailable").filter(|unavailable| !unavailable.is_null()) {
        let at = path.child("maxUnavailable");
        causes.extend(nonnegative_or_percent(unavailable, &at));
        if number_or_percent(unavailable) == 0 {
            causes.push(at.invalid(unavailable.clone(), "cannot be 0"));
        }
        causes.extend(at_most_100_percent(unavailable, &at));
    }
    causes
}

const CHANGEABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let rest = |set: &Value| {
        let mut spec = set["spec"].clone();
        for field in CHANGEABLE {
            tree::remove(&mut spec, field);
        }
        spec
    };
    let mut causes = spec_causes(new, false);
    if rest(new) == rest(old) {
        return causes;
    }
    let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
               'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    causes.push(Path::new("spec").forbidden(why));
    causes
}

fn validate_status(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = workload::status_counts(
        new,
        &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        &[
            ("readyReplicas", "replicas", OVER_REPLICAS),
            ("currentReplicas", "replicas", OVER_REPLICAS),
            ("updatedReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"),
        ],
    );
    causes.extend(workload::collisions(new, old));
    causes
}

fn warn(set: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = workload::template_warnings(set, old);
    let claims = Path::new("spec.volumeClaimTemplates");
    for (i, claim) in tree::list(set, "spec.volumeClaimTemplates").iter().enumerate() {
        warnings.extend(claim_spec(&claim["spec"], &claims.index(i)));
    }
    let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
    let kept = tree::int(set, "spec.revisionHistoryLimit").is_some_and(|limit| limit < 0);
    warnings.extend(kept.then(|| format!("spec.revisionHistoryLimit: {why}")));
    warnings
}
