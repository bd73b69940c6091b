//! What all parts of one kubelet share: settings, seams, the client, followed tables.

use std::collections::BTreeMap;

use api::typed::Service;
use cache::Note;
use cache::controller::{About, NoteKind};
use client::{Client, Recorder};
use jiff::Timestamp;

use crate::config::{Config, Deps, Facts};
use crate::pod::{ContainerRef, PodRef};
use crate::references::References;
use client::follow::Follow;

pub struct Shared {
    pub config: Config,
    pub deps: Deps,
    pub client: Client,
    pub recorder: Recorder,
    pub references: References,
    pub services: Follow,
    pub machine: Facts,
    /// What pods may use, in thousandths.
    pub allocatable_millis: BTreeMap<String, i64>,
}

impl Shared {
    /// The time of day in whole seconds, as objects carry it.
    pub fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    pub fn tell(
        &self,
        pod: &PodRef,
        container: Option<&ContainerRef<'_>>,
        kind: NoteKind,
        reason: &'static str,
        message: String,
    ) {
        let about = About {
            api_version: "v1".into(),
            kind: "Pod".into(),
            key: pod.key(),
            uid: pod.uid().into(),
            field_path: container.map(ContainerRef::field_path),
        };
        self.recorder.record(Note { about, kind, reason: reason.into(), message });
    }

    pub fn services(&self) -> Vec<Service> {
        let view = self.services.view();
        view.table.iter().filter_map(|object| object.typed().ok()).collect()
    }

    pub fn node_resolv_conf(&self) -> String {
        std::fs::read_to_string(&self.config.resolv_conf).unwrap_or_default()
    }

    /// What the downward API may tell.
    pub fn env_facts(&self, addresses: Vec<String>) -> crate::env::field::Facts {
        crate::env::field::Facts {
            node_name: self.config.node_name.clone(),
            host_ips: self.config.node_ips.clone(),
            pod_ips: addresses,
            allocatable_millis: self.allocatable_millis.clone(),
        }
    }
}

/// A duration as jiff counts it; the longest there is when it is too long.
pub fn signed(duration: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

/// How long from `now` until `at`; nothing when it is past.
pub fn until(at: Timestamp, now: Timestamp) -> std::time::Duration {
    at.duration_since(now).try_into().unwrap_or_default()
}
