//! Uses a cluster as programs in Rust do: with kube, in a namespace of its own that it deletes.
//!
//! Prints a line for each thing that works; the first that does not ends the program with its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{
    Api, ApiResource, AttachParams, DeleteParams, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch,
    PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Error, ResourceExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAMESPACE: &str = "client-rust";
const PATIENCE: Duration = Duration::from_secs(60);

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.data = Some(data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    map
}

/// The message with which a call is refused.
fn refused<T>(code: u16, answer: kube::Result<T>) -> Result<String> {
    match answer {
        Err(Error::Api(status)) if status.code == code => Ok(status.message),
        Err(error) => bail!("refused with {error}, not with {code}"),
        Ok(_) => bail!("not refused with {code}"),
    }
}

async fn objects_come_and_go(maps: &Api<ConfigMap>) -> Result<()> {
    let post = PostParams::default();
    let mut made = maps.create(&post, &config_map("a", &[("k", "1")])).await?;
    made.data = Some(BTreeMap::from([("k".to_owned(), "2".to_owned())]));
    maps.replace("a", &post, &made).await?;
    ensure!(maps.get("a").await?.data == made.data);
    let message = refused(409, maps.replace("a", &post, &made).await)?;
    ensure!(message.contains("the object has been modified"), "{message}");
    let message = refused(422, maps.create(&post, &config_map("A_", &[])).await)?;
    ensure!(message.contains("RFC 1123"), "{message}");
    let deleted = maps.delete("a", &DeleteParams::default()).await?;
    ensure!(deleted.right().is_some_and(|status| status.is_success()));
    refused(404, maps.get("a").await)?;
    Ok(())
}

async fn lists_come_in_pages(maps: &Api<ConfigMap>) -> Result<()> {
    for number in 0..7 {
        let mut map = config_map(&format!("page-{number}"), &[]);
        map.labels_mut().insert("of".to_owned(), "pages".to_owned());
        maps.create(&PostParams::default(), &map).await?;
    }
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let mut params = ListParams::default().labels("of=pages").limit(3);
        params.continue_token = token;
        let page = maps.list(&params).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    ensure!(names == (0..7).map(|number| format!("page-{number}")).collect::<Vec<_>>(), "{names:?}");
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("of=pages")).await?;
    Ok(())
}

async fn changes_are_watched(maps: &Api<ConfigMap>) -> Result<()> {
    let version = maps.list(&ListParams::default()).await?.metadata.resource_version.context("a list has a version")?;
    let mut events = maps.watch(&WatchParams::default().timeout(20), &version).await?.boxed();
    maps.create(&PostParams::default(), &config_map("w", &[("k", "1")])).await?;
    maps.patch("w", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2"}}))).await?;
    maps.delete("w", &DeleteParams::default()).await?;
    let mut seen = Vec::new();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(_) => seen.push("added"),
            WatchEvent::Modified(_) => seen.push("modified"),
            WatchEvent::Deleted(_) => break,
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("{}", status.message),
        }
    }
    ensure!(seen == ["added", "modified"], "{seen:?}");
    // Both ways to begin: a list and a watch after it, and a watch that lists.
    for settings in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut objects = watcher(maps.clone(), settings).applied_objects().boxed();
        let first = objects.try_next().await?.context("the watch ended")?;
        ensure!(first.name_any() == "kube-root-ca.crt", "{}", first.name_any());
    }
    Ok(())
}

async fn every_kind_of_patch_works(client: &Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "d"}}, "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "c", "image": "busybox", "env": [{"name": "A", "value": "1"}]}]}}},
    }))?;
    deployments.create(&PostParams::default(), &deployment).await?;
    let with = PatchParams::default();
    let container = json!({"name": "c", "env": [{"name": "B", "value": "2"}]});
    let strategic = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let found = deployments.patch("d", &with, &Patch::Strategic(strategic)).await?;
    let env = serde_json::to_value(found)?["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    ensure!(env.as_array().map(Vec::len) == Some(2), "{env}");
    let steps = json!([{"op": "remove", "path": "/spec/template/spec/containers/0/env"}]);
    deployments.patch("d", &with, &Patch::Json::<()>(serde_json::from_value(steps)?)).await?;
    let scale = deployments.patch_scale("d", &with, &Patch::Merge(json!({"spec": {"replicas": 1}}))).await?;
    ensure!(scale.spec.and_then(|spec| spec.replicas) == Some(1));
    deployments.delete("d", &DeleteParams::background()).await?;
    Ok(())
}

async fn objects_are_applied(client: &Client) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let maps: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    let body =
        |value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": value}});
    maps.patch("applied", &PatchParams::apply("one"), &Patch::Apply(body("1"))).await?;
    let message = refused(409, maps.patch("applied", &PatchParams::apply("two"), &Patch::Apply(body("2"))).await)?;
    ensure!(message.contains("conflict with \"one\": .data.k"), "{message}");
    let found = maps.patch("applied", &PatchParams::apply("two").force(), &Patch::Apply(body("2"))).await?;
    ensure!(found.data["data"]["k"] == "2");
    Ok(())
}

async fn pods_run(pods: &Api<Pod>) -> Result<()> {
    let serve = "mkdir /www; echo served > /www/page; echo started; exec httpd -f -p 8080 -h /www";
    let container = json!({"name": "c", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", serve]});
    let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec}))?;
    pods.create(&PostParams::default(), &pod).await?;
    tokio::time::timeout(PATIENCE, await_condition(pods.clone(), "p", conditions::is_pod_running())).await??;
    Ok(())
}

async fn commands_run_in_a_pod(pods: &Api<Pod>) -> Result<()> {
    let command = ["sh", "-c", "read line; echo out $line; echo err >&2; exit 3"];
    let mut session = pods.exec("p", command, &AttachParams::default().stdin(true)).await?;
    let status = session.take_status().context("a session has a status")?;
    let mut stdin = session.stdin().context("stdin was asked for")?;
    stdin.write_all(b"in\n").await?;
    let (mut out, mut err) = (String::new(), String::new());
    session.stdout().context("stdout was asked for")?.read_to_string(&mut out).await?;
    session.stderr().context("stderr was asked for")?.read_to_string(&mut err).await?;
    let status = status.await.context("the status came")?;
    ensure!((out.as_str(), err.as_str()) == ("out in\n", "err\n"), "{out:?} {err:?}");
    ensure!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");
    // The end of stdin reaches the command.
    let mut session = pods.exec("p", ["cat"], &AttachParams::default().stdin(true)).await?;
    let mut stdin = session.stdin().context("stdin was asked for")?;
    stdin.write_all(b"through").await?;
    stdin.shutdown().await?;
    let mut out = String::new();
    session.stdout().context("stdout was asked for")?.read_to_string(&mut out).await?;
    ensure!(out == "through", "{out:?}");
    Ok(())
}

async fn logs_are_read(pods: &Api<Pod>) -> Result<()> {
    ensure!(pods.logs("p", &LogParams::default()).await? == "started\n");
    let follow = LogParams { follow: true, tail_lines: Some(1), ..LogParams::default() };
    let mut lines = pods.log_stream("p", &follow).await?.lines();
    ensure!(lines.try_next().await?.as_deref() == Some("started"));
    let message = refused(400, pods.logs("p", &LogParams { previous: true, ..LogParams::default() }).await)?;
    ensure!(message.contains("previous terminated container"), "{message}");
    Ok(())
}

async fn ports_are_forwarded(pods: &Api<Pod>) -> Result<()> {
    let mut forward = pods.portforward("p", &[8080]).await?;
    let mut stream = forward.take_stream(8080).context("the port was asked for")?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.ends_with("served\n"), "{answer}");
    // Whoever of the two closes the connection first is chance: only what was said counts.
    forward.abort();
    Ok(())
}

/// kube has no election of its own: this is the one of every client, a Lease that is written only as it was read.
async fn one_leads_at_a_time(client: &Client) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let lease = serde_json::from_value(json!({"metadata": {"name": "leader"}, "spec": {}}))?;
    leases.create(&PostParams::default(), &lease).await?;
    let lead = async |who: &str| -> Result<bool> {
        let mut lease = leases.get("leader").await?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.is_some() {
            return Ok(false);
        }
        spec.holder_identity = Some(who.to_owned());
        spec.lease_duration_seconds = Some(15);
        match leases.replace("leader", &PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    let led = futures::future::try_join_all(["one", "two", "three", "four"].map(lead)).await?;
    ensure!(led.iter().filter(|led| **led).count() == 1, "{led:?}");
    Ok(())
}

async fn run(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    // A namespace takes pods once its default service account is there.
    let there = |account: Option<&ServiceAccount>| account.is_some();
    tokio::time::timeout(PATIENCE, await_condition(accounts, "default", there)).await??;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let ok = async |what: &'static str, step: std::pin::Pin<Box<dyn Future<Output = Result<()>> + '_>>| {
        step.await.context(what)?;
        println!("ok {what}");
        anyhow::Ok(())
    };
    ok("objects come and go", Box::pin(objects_come_and_go(&maps))).await?;
    ok("lists come in pages", Box::pin(lists_come_in_pages(&maps))).await?;
    ok("changes are watched", Box::pin(changes_are_watched(&maps))).await?;
    ok("every kind of patch works", Box::pin(every_kind_of_patch_works(client))).await?;
    ok("objects are applied", Box::pin(objects_are_applied(client))).await?;
    ok("pods run", Box::pin(pods_run(&pods))).await?;
    ok("commands run in a pod", Box::pin(commands_run_in_a_pod(&pods))).await?;
    ok("logs are read", Box::pin(logs_are_read(&pods))).await?;
    ok("ports are forwarded", Box::pin(ports_are_forwarded(&pods))).await?;
    ok("one leads at a time", Box::pin(one_leads_at_a_time(client))).await
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    let done = run(&client).await;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    done
}
