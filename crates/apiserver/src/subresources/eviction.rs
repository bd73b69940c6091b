//! pods/eviction: a deletion that asks first. There are no disruption budgets yet, so nothing objects.

use api::Status;

use super::binding::created;
use crate::tree;
use crate::verbs::{self, Answer, Call, CommitError, DeleteOptions, Existing, Expect, WriteOptions};

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
    if !deletion.is_dry_run() {
        mark(&call).await?;
    }
    verbs::delete_object(&call, &call.key(), &deletion).await?;
    Ok(created())
}

/// Says on the pod that it goes by eviction, where somebody will have the time to read it.
async fn mark(call: &Call) -> Result<(), Status> {
    for _ in 0..ATTEMPTS_MAX {
        let key = call.key();
        let existing = Existing::read(call, &key).await?.ok_or_else(|| Status::not_found(call.about()))?;
        let mut pod = existing.tree.clone();
        let ended = matches!(tree::text(&pod, "status.phase"), "Failed" | "Succeeded");
        if ended || tree::text(&pod, "spec.nodeName").is_empty() || tree::is_set(&pod, "metadata.deletionTimestamp") {
            return Ok(());
        }
        let now = verbs::timestamp(call.now());
        let conditions = tree::list_mut(&mut pod, "status.conditions");
        conditions.retain(|condition| tree::text(condition, "type") != "DisruptionTarget");
        conditions.push(serde_json::json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now,
        }));
        match verbs::put(call, &key, Expect::At(existing.revision), verbs::encode(call, &pod)).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(Status::conflict(call.about(), "the pod is being written too often; please try again"))
}
