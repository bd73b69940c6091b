//! pods/eviction: a deletion that asks first. There are no disruption budgets yet, so nothing objects.

use api::Status;

use super::binding::created;
use crate::tree;
use crate::verbs::{self, Answer, Call, DeleteOptions, WriteOptions};

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
    verbs::delete_object(&call, &call.key(), &deletion).await?;
    Ok(created())
}
