//! ConfigMaps and Secrets that pods of this node refer to: each is watched by name while a pod needs it.
//!
//! Upstream offers the same choice ("watch" change detection). One watch an object keeps what a node may read small,
//! and tells a change at once: the workers of the pods that hold it are woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use api::typed::{ConfigMap, Secret, Typed};
use api::{Gvr, Key, Object};
use client::hub::Selection;
use client::{Client, Env, Error};
use k8s_openapi::api::core::v1 as core;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::pod::PodRef;
use client::follow::Follow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// One object that a pod names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Reference {
    fn resource(&self) -> Gvr {
        match self.kind {
            Kind::ConfigMap => ConfigMap::GVR,
            Kind::Secret => Secret::GVR,
        }
    }

    pub fn not_found(&self) -> String {
        let kind = match self.kind {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        };
        format!("{kind} {:?} not found", self.name)
    }
}

/// What the references of a pod hold now: absent objects are `None`.
pub type Referred = BTreeMap<Reference, Option<Object>>;

pub struct References {
    client: Client,
    env: Env,
    held: Mutex<BTreeMap<Reference, Held>>,
}

struct Held {
    follow: Arc<Follow>,
    holders: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
    _wake: AbortOnDropHandle<()>,
}

impl References {
    pub fn new(client: Client, env: Env) -> Self {
        Self { client, env, held: Mutex::default() }
    }

    /// Makes the pod hold exactly these references; `wake` is notified when one of them changes.
    pub fn hold(&self, uid: &str, wanted: &BTreeSet<Reference>, wake: &Arc<Notify>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|reference, entry| {
            let mut holders = entry.holders.lock().unwrap_or_else(PoisonError::into_inner);
            if !wanted.contains(reference) {
                holders.remove(uid);
            }
            !holders.is_empty()
        });
        for reference in wanted {
            let entry = held.entry(reference.clone()).or_insert_with(|| self.watch(reference));
            let mut holders = entry.holders.lock().unwrap_or_else(PoisonError::into_inner);
            holders.insert(uid.to_owned(), Arc::clone(wake));
        }
    }

    pub fn release(&self, uid: &str) {
        self.hold(uid, &BTreeSet::new(), &Arc::new(Notify::new()));
    }

    fn watch(&self, reference: &Reference) -> Held {
        let selection = Selection {
            namespace: reference.namespace.clone(),
            fields: format!("metadata.name={}", reference.name),
            ..Selection::default()
        };
        let follow = Follow::start(self.client.clone(), reference.resource(), selection, self.env.clone());
        let holders: Arc<Mutex<BTreeMap<String, Arc<Notify>>>> = Arc::default();
        let (mut changes, to_wake) = (follow.subscribe(), Arc::clone(&holders));
        let wake = tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let holders = to_wake.lock().unwrap_or_else(PoisonError::into_inner).clone();
                holders.values().for_each(|wake| wake.notify_one());
            }
        });
        Held { follow: Arc::new(follow), holders, _wake: AbortOnDropHandle::new(wake) }
    }

    /// The revisions of what is held now, which tell whether anything has changed.
    pub fn revisions(&self, wanted: &BTreeSet<Reference>) -> Vec<Option<api::Revision>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = |reference: &Reference| {
            let view = held.get(reference)?.follow.view();
            view.table.get(&Key::new(&reference.namespace, &reference.name)).map(Object::revision)
        };
        wanted.iter().map(revision).collect()
    }

    /// The references' objects, once each has been read for the first time.
    pub async fn read(&self, wanted: &BTreeSet<Reference>) -> client::Result<Referred> {
        let mut referred = Referred::new();
        for reference in wanted {
            let follow = {
                let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.get(reference).map(|entry| Arc::clone(&entry.follow))
            };
            let follow = follow.ok_or_else(|| Error::Decode("a reference is read that is not held".to_owned()))?;
            let view = follow.synced().await?;
            let found = view.table.get(&Key::new(&reference.namespace, &reference.name)).cloned();
            referred.insert(reference.clone(), found);
        }
        Ok(referred)
    }
}

/// Everything that a pod's spec names.
pub fn of_pod(pod: &PodRef) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            found.insert(Reference { kind, namespace: pod.namespace().to_owned(), name: name.to_owned() });
        }
    };
    let ephemeral: Vec<_> = pod.ephemeral_names().filter_map(|name| pod.ephemeral_container(name)).collect();
    for container in pod.containers().map(|c| c.spec).chain(&ephemeral) {
        of_container(container, &mut add);
    }
    for volume in pod.spec().volumes.iter().flatten() {
        of_volume(volume, &mut add);
    }
    for secret in pod.spec().image_pull_secrets.iter().flatten() {
        add(Kind::Secret, &secret.name);
    }
    found
}

fn of_container(container: &core::Container, add: &mut impl FnMut(Kind, &str)) {
    for source in container.env_from.iter().flatten() {
        if let Some(map) = &source.config_map_ref {
            add(Kind::ConfigMap, &map.name);
        }
        if let Some(secret) = &source.secret_ref {
            add(Kind::Secret, &secret.name);
        }
    }
    for source in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
        if let Some(key) = &source.config_map_key_ref {
            add(Kind::ConfigMap, &key.name);
        }
        if let Some(key) = &source.secret_key_ref {
            add(Kind::Secret, &key.name);
        }
    }
}

fn of_volume(volume: &core::Volume, add: &mut impl FnMut(Kind, &str)) {
    if let Some(map) = &volume.config_map {
        add(Kind::ConfigMap, &map.name);
    }
    if let Some(secret) = &volume.secret {
        add(Kind::Secret, secret.secret_name.as_deref().unwrap_or_default());
    }
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
    for source in sources.into_iter().flatten() {
        if let Some(map) = &source.config_map {
            add(Kind::ConfigMap, &map.name);
        }
        if let Some(secret) = &source.secret {
            add(Kind::Secret, &secret.name);
        }
    }
}
