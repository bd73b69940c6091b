//! Compaction by age, and giving back what it frees.

use crate::{Store, StoreError};

/// Forgets what is older than `age_secs` at `now_secs` (seconds since 1970), and gives its space on disk back. Ages are
/// known to a few seconds; 0 forgets all history.
pub async fn forget_older(store: &dyn Store, now_secs: i64, age_secs: u64) -> Result<(), StoreError> {
    let before = match age_secs {
        0 => Some(store.current().await?),
        _ => store.revision_at(now_secs.saturating_sub_unsigned(age_secs)).await?,
    };
    if let Some(before) = before {
        store.compact(before).await?;
    }
    store.reclaim().await
}
