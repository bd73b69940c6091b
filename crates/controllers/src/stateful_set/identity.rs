//! Who a pod of a StatefulSet is: its name, host name, labels and volumes follow from its ordinal.

use api::Object;
use cache::{Action, Precondition, Step};
use serde_json::{Value, json};

use super::{Pod, Set};
use crate::history::{REVISION_HASH, Revision};
use crate::pods::PODS;
use crate::template::pod_of_template;
use crate::tree::{Tree, set};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn pod_name(set: &str, ordinal: i64) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal in the name of a pod of the set.
pub(super) fn ordinal_of(set: &str, pod: &str) -> Option<i64> {
    let (parent, digits) = pod.rsplit_once('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if parent == set && is_number { digits.parse::<i32>().ok().map(i64::from) } else { None }
}

/// The name of the claim that a template makes for an ordinal.
pub(super) fn claim_name(template: &Value, set: &str, ordinal: i64) -> String {
    format!("{}-{set}-{ordinal}", template.text("metadata.name"))
}

/// The labels by which others find a pod of the set.
fn identity_labels(set: &str, ordinal: i64) -> [(&'static str, String); 2] {
    [(POD_NAME, pod_name(set, ordinal)), (POD_INDEX, ordinal.to_string())]
}

pub(super) fn pod_of(owner: &Object, tree: &Value, revision: &Revision, ordinal: i64) -> Value {
    let mut pod = pod_of_template(&revision.template, owner);
    let name = pod_name(owner.name(), ordinal);
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"][REVISION_HASH] = json!(revision.name);
    for (label, value) in identity_labels(owner.name(), ordinal) {
        pod["metadata"]["labels"][label] = json!(value);
    }
    pod["spec"]["hostname"] = json!(name);
    let service = tree.text("spec.serviceName");
    if !service.is_empty() {
        pod["spec"]["subdomain"] = json!(service);
    }
    let templates = tree.items("spec.volumeClaimTemplates");
    if !templates.is_empty() {
        let claims = templates.iter().map(|template| {
            let claim = claim_name(template, owner.name(), ordinal);
            json!({"name": template.text("metadata.name"), "persistentVolumeClaim": {"claimName": claim}})
        });
        let is_own =
            |volume: &&Value| templates.iter().all(|template| template.text("metadata.name") != volume.text("name"));
        let volumes = claims.chain(revision.template.items("spec.volumes").iter().filter(is_own).cloned()).collect();
        set(&mut pod, "spec.volumes", Value::Array(volumes));
    }
    pod
}

impl Set<'_> {
    /// Puts back the labels that make a pod this ordinal's.
    pub(super) fn repair_identity(&self, pod: &Pod) -> Option<Step> {
        let labels = identity_labels(self.object.name(), pod.ordinal);
        if labels.iter().all(|(label, value)| pod.object.label(label) == Some(value)) {
            return None;
        }
        let mut patch = json!({"metadata": {"labels": {}}});
        for (label, value) in labels {
            patch["metadata"]["labels"][label] = json!(value);
        }
        let (set, name) = (self.object.name(), pod.object.name());
        let patch = Action::Patch {
            resource: PODS,
            key: pod.object.key(),
            subresource: "".into(),
            patch,
            precondition: Precondition::same(&pod.object),
        };
        let step = Step::from(patch)
            .done(self.told("SuccessfulUpdate", format!("update Pod {name} in StatefulSet {set} successful")))
            .failed(
                self.warned("FailedUpdate", format!("update Pod {name} in StatefulSet {set} failed error: {{error}}")),
            );
        Some(step)
    }
}
