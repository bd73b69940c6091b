//! What every cluster has from its first moment: its namespaces, and the service that leads to the API server.

use std::net::Ipv4Addr;
use std::sync::Arc;

use api::{Gvr, Key, Status};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::living;
use crate::request::{ResourceRequest, Verb};
use crate::resources::apiregistration::local;
use crate::resources::flowcontrol::defaults;
use crate::resources::scheduling::priorityclass;
use crate::tree;
use crate::verbs::{Answer, AnswerBody, RequestContext};
use crate::wellknown::discovery;

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing, and tells where the API server is now.
pub async fn run(engine: &Arc<Engine>) -> Result<(), Status> {
    let namespace = |name: &&str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    ensure(engine, NAMESPACES.iter().map(namespace).collect()).await?;
    ensure(engine, vec![service(engine)]).await?;
    match engine.config().replica {
        // It tells the others of itself, and then names all that live.
        Some(_) => living::begin(engine).await,
        None => lead_to(engine, &[engine.config().advertise_address]).await,
    }
}

/// Makes the service `kubernetes` lead to these API servers.
pub(crate) async fn lead_to(engine: &Arc<Engine>, servers: &[Ipv4Addr]) -> Result<(), Status> {
    for object in [endpoints(engine, servers), endpoint_slice(engine, servers)] {
        put(engine, &object).await?;
    }
    Ok(())
}

/// Creates the object, or writes it over what is there.
async fn put(engine: &Arc<Engine>, object: &Value) -> Result<(), Status> {
    match write(engine, Verb::Create, object).await? {
        Some(status) if status.is_already_exists() => write(engine, Verb::Update, object).await?.map_or(Ok(()), Err),
        created => created.map_or(Ok(()), Err),
    }
}

/// Creates those of the objects that do not exist. Asking first matters: a Service's address is refused as taken, by
/// itself, before its name is found to exist.
pub async fn ensure(engine: &Arc<Engine>, objects: Vec<Value>) -> Result<(), Status> {
    for object in &objects {
        if write(engine, Verb::Get, object).await?.is_none() {
            continue;
        }
        match write(engine, Verb::Create, object).await? {
            // Another server may have made it since it was asked for; its address is taken then, by itself.
            Some(status) if !status.is_already_exists() && write(engine, Verb::Get, object).await?.is_some() => {
                return Err(status);
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many of the standing objects are written at once: they share the store's commits.
const WRITES_MAX: usize = 64;

/// Makes what every cluster has of the kinds that order it: priorities of pods, the sharing of the server, the range of
/// service addresses, and who serves which group.
pub async fn standing(engine: &Arc<Engine>) -> Result<(), Status> {
    let classes = priorityclass::SYSTEM.iter().map(|(name, value, description)| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value, "description": description, "preemptionPolicy": "PreemptLowerPriority",
        })
    });
    let (first, length) = engine.config().service_cidr;
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "kubernetes" },
        "spec": { "cidrs": [format!("{first}/{length}")] },
    });
    let served = discovery::group_versions(&engine.registry());
    let services = served.iter().filter_map(|(group, version)| local::of(group, version));
    let all = classes.chain([range]).chain(defaults::all()).chain(services);
    stream::iter(all.map(|object| ensure(engine, vec![object]))).buffer_unordered(WRITES_MAX).try_collect().await
}

/// One write through the same stages as every other. `Some` is what the API answered when it refused.
pub(crate) async fn write(engine: &Arc<Engine>, verb: Verb, object: &Value) -> Result<Option<Status>, Status> {
    let (group, version) = api::name::split_api_version(tree::text(object, "apiVersion"));
    let kind = tree::text(object, "kind");
    let registry = engine.registry();
    let resource = registry.all().find(|resource| {
        resource.kind.kind == kind && resource.kind.group == group && resource.kind.version == version
    });
    let gvr: Gvr = resource.ok_or_else(|| Status::internal(format!("no resource of kind {kind}")))?.gvr.clone();
    let name = if verb == Verb::Create { "" } else { tree::text(object, "metadata.name") };
    let key = Key::new(tree::text(object, "metadata.namespace"), name);
    let context = RequestContext::own(ResourceRequest::of(verb, &gvr, &key, ""), object.to_string());
    Ok(match Box::pin(engine.dispatch(context)).await {
        // The refusals of deprecated kinds (Endpoints) are answers, because they carry a warning.
        Ok(Answer { code: 400.., body: AnswerBody::Whole(body), .. }) => {
            Some(serde_json::from_slice(&body).map_err(Status::internal)?)
        }
        answer => answer.err(),
    })
}

fn service(engine: &Engine) -> Value {
    let first = Ipv4Addr::from(u32::from(engine.config().service_cidr.0) + 1);
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "clusterIP": first, "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": engine.config().advertise_port }],
        },
    })
}

fn endpoints(engine: &Engine, servers: &[Ipv4Addr]) -> Value {
    let config = engine.config();
    let addresses: Vec<Value> = servers.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": addresses,
            "ports": [{ "name": "https", "port": config.advertise_port, "protocol": "TCP" }],
        }],
    })
}

fn endpoint_slice(engine: &Engine, servers: &[Ipv4Addr]) -> Value {
    let config = engine.config();
    let ready = |ip| json!({ "addresses": [ip], "conditions": { "ready": true } });
    let endpoints: Vec<Value> = servers.iter().map(ready).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "https", "port": config.advertise_port, "protocol": "TCP" }],
    })
}
