//! pods/eviction: a deletion that asks the pod's disruption budget first.

use api::Status;
use serde_json::Value;

use super::binding::created;
use super::budget::{self, Leave};
use crate::tree;
use crate::verbs::{self, Answer, Call, CommitError, DeleteOptions, Existing, Expect, Preconditions, WriteOptions};

const ATTEMPTS_MAX: usize = 16;

pub(crate) async fn create(mut call: Call) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "CreateOptions")?;
    let eviction = verbs::decode_as(&mut call, "io.k8s.api.policy.v1.Eviction", "policy/v1", "Eviction", &options)?;
    let name = tree::text(&eviction, "metadata.name");
    if !name.is_empty() && name != call.context.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let asked = tree::at(&eviction, "deleteOptions").cloned().unwrap_or_else(|| serde_json::json!({}));
    let mut deletion: DeleteOptions =
        serde_json::from_value(asked).map_err(|error| Status::bad_request(format!("deleteOptions: {error}")))?;
    if options.dry_run {
        deletion.dry_run = Some(vec!["All".to_owned()]);
    }
    deletion.check()?;
    call.catch_up().await?;
    let pod = Existing::read(&call, &call.key()).await?.ok_or_else(|| Status::not_found(call.about()))?;
    let leave = if is_unguarded(&pod.tree) {
        Leave::Free
    } else {
        budget::ask(&call, &pod.tree, deletion.is_dry_run()).await?
    };
    let asked = deletion.preconditions.clone().unwrap_or_default();
    if let Leave::AsItIs(_) = leave
        && asked.resource_version.is_none()
    {
        let revision = Some(pod.revision.to_string());
        deletion.preconditions = Some(Preconditions { resource_version: revision, ..asked.clone() });
    }
    match (evict(&call, deletion).await, leave) {
        // The pod changed since the budget looked at it: it may have become one that counts.
        (Err(status), Leave::AsItIs(budget)) if status.is_conflict() && asked.resource_version.is_none() => {
            Err(budget::still_processed(&budget))
        }
        (Err(status), _) => Err(status),
        (Ok(()), _) => Ok(created()),
    }
}

/// Pods that do no work, or are going already, are nobody's budget.
fn is_unguarded(pod: &Value) -> bool {
    matches!(tree::text(pod, "status.phase"), "Pending" | "Succeeded" | "Failed")
        || tree::is_set(pod, "metadata.deletionTimestamp")
}

async fn evict(call: &Call, mut deletion: DeleteOptions) -> Result<(), Status> {
    let wanted = deletion.preconditions.as_ref().and_then(|wanted| wanted.resource_version.clone());
    if !deletion.is_dry_run()
        && let Some(revision) = mark(call, wanted.as_deref()).await?
        && let Some(preconditions) = deletion.preconditions.as_mut().filter(|_| wanted.is_some())
    {
        // The mark made the pod newer; nobody else did.
        preconditions.resource_version = Some(revision);
    }
    verbs::delete_object(call, &call.key(), &deletion).await.map(drop)
}

/// Says on the pod that it goes by eviction, where somebody will have the time to read it. Returns the pod's new revision.
/// A pod that is no longer at the revision that is `wanted` is left to the deletion, which will refuse it.
async fn mark(call: &Call, wanted: Option<&str>) -> Result<Option<String>, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let key = call.key();
        let existing = Existing::read(call, &key).await?.ok_or_else(|| Status::not_found(call.about()))?;
        let mut pod = existing.tree.clone();
        let ended = matches!(tree::text(&pod, "status.phase"), "Failed" | "Succeeded");
        if ended || tree::text(&pod, "spec.nodeName").is_empty() || tree::is_set(&pod, "metadata.deletionTimestamp") {
            return Ok(None);
        }
        if wanted.is_some_and(|wanted| wanted != existing.revision.to_string()) {
            return Ok(None);
        }
        let now = verbs::timestamp(call.now());
        let conditions = tree::list_mut(&mut pod, "status.conditions");
        conditions.retain(|condition| tree::text(condition, "type") != "DisruptionTarget");
        conditions.push(serde_json::json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now,
        }));
        match verbs::put(call, &key, Expect::At(existing.revision), verbs::encode(call, &pod)).await {
            Ok(json) => return revision_of(&json).map(Some),
            Err(CommitError::Conflict | CommitError::Outrun) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(Status::conflict(call.about(), "the pod is being written too often; please try again"))
}

fn revision_of(json: &[u8]) -> Result<String, Status> {
    let found = api::field::extract(json, &["metadata.resourceVersion"]).map_err(Status::internal)?;
    Ok(found.iter().map(|text| &**text).collect())
}
