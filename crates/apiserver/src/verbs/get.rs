//! GET of one object.

use api::Status;

use super::commit;
use super::options::get_revision;
use super::{Answer, Call};
use crate::storage;

pub(super) async fn get(call: Call) -> Result<Answer, Status> {
    let key = call.key();
    // With a resourceVersion the cache may answer, once it is that new; without one the newest is meant.
    let json = match get_revision(&call)? {
        Some(revision) => {
            call.reach(revision).await?;
            call.cache.table().get(&key).map(|object| object.json().clone())
        }
        None => {
            let entry = commit::read(&call, &key).await?;
            // A custom resource may have been written before its schema had a default.
            let custom = call.resource.custom.is_some();
            entry.and_then(|entry| match custom {
                true => call.cache.restore(&entry.value, entry.modified).map(|object| object.json().clone()),
                false => Some(storage::with_revision(&entry.value, entry.modified)),
            })
        }
    };
    let json = json.ok_or_else(|| Status::not_found(call.about()))?;
    let json = commit::outward(&call, json)?;
    call.answer(200, json)
}
