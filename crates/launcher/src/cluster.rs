//! The launcher's calls to the API, as the cluster's administrator: readiness of nodes, addresses of services.

use std::sync::Arc;
use std::time::Duration;

use api::Gvr;
use api::typed::{Node, Typed};
use client::{Client, Https, ListQuery, TransportError, WatchEvent, WatchQuery};
use stdx::{Clock, SystemClock};

use crate::credentials;
use crate::layout::ProfileDirs;
use crate::profile::{Profile, flag};
use crate::trouble::{Result, Trouble};

/// Runs `work` with a client of the cluster, on a runtime of its own.
pub fn call<T>(profile: &Profile, dirs: &ProfileDirs, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| trouble(profile, &error.to_string()))?;
    let transport = transport(profile, dirs)?;
    runtime.block_on(work(Client::new(Arc::new(transport), "ironclad")))
}

fn transport(profile: &Profile, dirs: &ProfileDirs) -> Result<Https> {
    let now = SystemClock.now();
    let authority = credentials::authority(dirs, now)?;
    let fail = |error: &dyn std::fmt::Display| trouble(profile, &error.to_string());
    let request = pki::Request::client("kubernetes-admin", &["system:masters"]);
    let identity = pki::Identity::issued(&authority, request, now).map_err(|error| fail(&error))?;
    let tls = pki::client_config(authority.certificate(), Some(identity), &["h2", "http/1.1"]);
    let tls = Arc::new(tls.map_err(|error| fail(&error))?);
    let source = Arc::new(move || Ok::<_, TransportError>(tls.clone()));
    Https::new(&profile.api_url(), None, source, client::https::Token::None).map_err(|error| fail(&error))
}

pub fn trouble(profile: &Profile, why: &str) -> Trouble {
    Trouble::new(
        format!("cannot ask cluster \"{}\": {why}", profile.name),
        format!("Type `ironclad status{0}` and `ironclad logs{0}` to see how it is.", flag(&profile.name)),
    )
}

/// Waits until every node of the profile is Ready.
pub async fn nodes_ready(client: Client, profile: &Profile, limit: Duration) -> Result<()> {
    let names: Vec<String> = profile.nodes.iter().map(|node| node.name.clone()).collect();
    let mut waiting = names.clone();
    let done = follow(&client, Node::GVR, "", |object| {
        let name = object.name().to_owned();
        let ready = object.typed::<Node>().is_ok_and(|node| is_ready(&node));
        waiting.retain(|n| *n != name);
        if !ready && names.contains(&name) {
            waiting.push(name);
        }
        waiting.is_empty()
    });
    match tokio::time::timeout(limit, done).await {
        Ok(result) => result.map_err(|error| trouble(profile, &error.to_string())),
        Err(_) => Err(Trouble::new(
            format!("nodes are not Ready after {} s: {}", limit.as_secs(), names.join(", ")),
            format!("Type `kubectl describe nodes` and `ironclad logs{}` to see why.", flag(&profile.name)),
        )),
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Shows every object of a resource, then each change, until `look` says that it has seen enough.
pub async fn follow(
    client: &Client,
    resource: Gvr,
    namespace: &str,
    mut look: impl FnMut(&api::Object) -> bool,
) -> client::Result<()> {
    loop {
        let page = client.list_all(&resource, namespace, &ListQuery::default()).await?;
        for object in &page.items {
            if look(object) {
                return Ok(());
            }
        }
        let query = WatchQuery { after: Some(page.revision), ..WatchQuery::default() };
        let mut events = client.watch(&resource, namespace, &query).await?;
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) if look(&object) => return Ok(()),
                Ok(_) => {}
                Err(_) => break, // The watch is over: list again.
            }
        }
    }
}
