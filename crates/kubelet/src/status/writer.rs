//! Writes a pod's status to the API: the newest one only, and only when it says something new.
//!
//! Every patch carries the pod's UID, so that a namesake's status is never touched. What the server has is learnt from
//! its answers, and from the pod itself when others wrote to it since: the node lifecycle controller calls the pods of a
//! silent node unready, and the node's word counts again when it is back.

use std::time::Duration;

use api::Revision;
use api::typed::{Pod, Typed};
use client::query::Patch;
use client::{Client, Error};
use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};
use stdx::Backoff;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::diff;
use crate::pod::PodRef;

const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

#[derive(Clone)]
struct Told {
    sequence: u64,
    key: api::Key,
    /// The API object that the status is of; none while a static pod has no mirror.
    uid: Option<String>,
    /// What the API held when the pod was last read, and the revision of that.
    held: Value,
    revision: Revision,
    status: Value,
}

/// What the server has after a write.
struct Known {
    uid: String,
    status: Value,
    revision: Revision,
}

pub struct Writer {
    told: watch::Sender<Option<Told>>,
    written: watch::Receiver<u64>,
    sequence: u64,
    _task: AbortOnDropHandle<()>,
}

impl Writer {
    pub fn start(client: Client) -> Self {
        let (told, receiver) = watch::channel(None);
        let (done, written) = watch::channel(0);
        let task = tokio::spawn(async move { write_all(&client, receiver, &done).await });
        Self { told, written, sequence: 0, _task: AbortOnDropHandle::new(task) }
    }

    pub fn tell(&mut self, pod: &PodRef, uid: Option<String>, status: &core::PodStatus) {
        let status = diff::tree(status);
        let held = pod.status().map(diff::tree).unwrap_or_default();
        let revision = pod.revision();
        let same = |old: &Told| old.uid == uid && old.status == status && old.revision == revision;
        if self.told.borrow().as_ref().is_some_and(same) {
            return;
        }
        self.sequence += 1;
        self.told.send_replace(Some(Told { sequence: self.sequence, key: pod.key(), uid, held, revision, status }));
    }

    /// Returns once the newest status has been written, or there is no object to write it to.
    pub async fn flush(&mut self) {
        let wanted = self.sequence;
        // The task lives as long as this handle.
        drop(self.written.wait_for(|written| *written >= wanted).await);
    }
}

async fn write_all(client: &Client, mut told: watch::Receiver<Option<Told>>, written: &watch::Sender<u64>) {
    let mut known: Option<Known> = None;
    let mut failures = 0;
    loop {
        let newest = told.borrow_and_update().clone();
        if let Some(newest) = newest {
            match write(client, &newest, &mut known).await {
                Ok(()) => {
                    failures = 0;
                    written.send_replace(newest.sequence);
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(pod = %newest.key, "cannot write the status: {error}");
                    // What the server holds is unknown now: say everything again, and replace addresses that it may have.
                    let status = json!({"podIPs": null, "hostIPs": null});
                    known = newest.uid.map(|uid| Known { uid, status, revision: newest.revision });
                    tokio::time::sleep(RETRY.delay(failures)).await;
                    continue;
                }
            }
        }
        if told.changed().await.is_err() {
            return;
        }
    }
}

async fn write(client: &Client, told: &Told, known: &mut Option<Known>) -> Result<(), Error> {
    let Some(uid) = &told.uid else { return Ok(()) };
    let before = match known {
        Some(known) if known.uid == *uid && told.revision <= known.revision => known.status.clone(),
        _ => told.held.clone(),
    };
    let Some(patch) = diff::patch(uid, &before, &told.status) else {
        return Ok(());
    };
    match client.patch_object(&Pod::GVR, &told.key, "status", &Patch::Strategic(patch)).await {
        Ok(pod) => *known = Some(Known { uid: uid.clone(), status: told.status.clone(), revision: pod.revision() }),
        // Gone, or another pod of the same name: there is nobody to tell.
        Err(error) if error.is_not_found() || error.is_conflict() => {
            *known = Some(Known { uid: uid.clone(), status: told.status.clone(), revision: told.revision });
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
