//! ServiceAccount: every pod runs as an account of its namespace, and gets a token for the API mounted.

use api::{Gvr, Status};
use serde_json::{Value, json};

use super::{Attributes, Plugin};
use crate::resources::core::pod_rules::is_mirror;
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "ServiceAccount", mutate: Some(mutate), validate: Some(validate) };

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour and a bit: the kubelet renews it long before; the odd number tells such tokens apart.
const TOKEN_SECS: i64 = 3607;
const SUFFIX_LEN: usize = 5;

fn mutate(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if !attributes.creates_pod() || is_mirror(pod) {
        return Ok(());
    }
    if tree::text(pod, "spec.serviceAccountName").is_empty() {
        tree::set(pod, "spec.serviceAccountName", "default");
    }
    let name = tree::text(pod, "spec.serviceAccountName").to_owned();
    tree::set(pod, "spec.serviceAccount", name.as_str());
    let Some(account) = attributes.cached(&SERVICE_ACCOUNTS, attributes.namespace, &name) else {
        let (namespace, pod_name) = (attributes.namespace, attributes.name);
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        let about = api::status::About { group: "", resource: "pods", name: pod_name };
        return Err(Status::forbidden(about, &why));
    };
    let account = account.tree().map_err(Status::internal)?;
    let wanted = tree::at(pod, "spec.automountServiceAccountToken")
        .or_else(|| tree::at(&account, "automountServiceAccountToken"))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if wanted {
        mount_token(attributes, pod);
    }
    if tree::list(pod, "spec.imagePullSecrets").is_empty() {
        let secrets = tree::list(&account, "imagePullSecrets").to_vec();
        if !secrets.is_empty() {
            tree::set(pod, "spec.imagePullSecrets", secrets);
        }
    }
    Ok(())
}

fn mount_token(attributes: &Attributes<'_>, pod: &mut Value) {
    let volume = format!("kube-api-access-{}", attributes.engine.rng().name_suffix(SUFFIX_LEN));
    let mut mounted = false;
    for list in ["spec.initContainers", "spec.containers"] {
        if !tree::is_set(pod, list) {
            continue;
        }
        for container in tree::list_mut(pod, list) {
            let taken = tree::list(container, "volumeMounts").iter().any(|m| tree::text(m, "mountPath") == MOUNT_PATH);
            if !taken {
                let mount = json!({ "name": volume, "readOnly": true, "mountPath": MOUNT_PATH });
                tree::list_mut(container, "volumeMounts").push(mount);
                mounted = true;
            }
        }
    }
    if mounted {
        tree::list_mut(pod, "spec.volumes").push(token_volume(&volume));
    }
}

fn token_volume(name: &str) -> Value {
    json!({ "name": name, "projected": { "defaultMode": 420, "sources": [
        { "serviceAccountToken": { "expirationSeconds": TOKEN_SECS, "path": "token" } },
        { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [
            { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }
        ] } },
    ] } })
}

/// A mirror pod only shows what a kubelet runs by itself: it may use nothing of the cluster's.
fn validate(attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
    if !attributes.creates_pod() || !is_mirror(pod) {
        return Ok(());
    }
    if !tree::text(pod, "spec.serviceAccountName").is_empty() {
        return Err(attributes.forbidden("a mirror pod may not reference service accounts"));
    }
    let volumes = tree::list(pod, "spec.volumes");
    if volumes.iter().any(|volume| tree::is_set(volume, "secret")) {
        return Err(attributes.forbidden("a mirror pod may not reference secrets"));
    }
    Ok(())
}
