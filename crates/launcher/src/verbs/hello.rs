//! `ironclad hello`: runs a web server in the cluster and fetches its page through a Service: the first thing to try.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::typed::{Pod, Service, Typed};
use client::Client;
use serde_json::{Value, json};
use stdx::Backoff;

use crate::cluster;
use crate::driver::control;
use crate::forward;
use crate::layout::Layout;
use crate::profile::Profile;
use crate::progress::{Progress, say};
use crate::trouble::{Result, Trouble};
use crate::verbs::service;

const NAME: &str = "hello";
const NAMESPACE: &str = "default";
const PAGE_BYTES_MAX: u64 = 64 * 1024;
const RETRIES_MAX: u32 = 12;
const RETRY: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(1));
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(layout: &Layout, name: &str, image: &str) -> Result<()> {
    crate::preflight::check_root()?;
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let pid = control::some_pid(&dirs)?;
    let mut progress = Progress::start();
    let to = cluster::call(&profile, &dirs, async |client| {
        let made = tokio::time::timeout(LIMIT, serve(&client, image, &mut progress)).await;
        let result = made.unwrap_or_else(|_| Err(format!("pod {NAME} is not ready after {} s", LIMIT.as_secs())));
        result.map_err(|why| Trouble::new(why, format!("Type `kubectl describe pod {NAME}` to see more.")))
    })?;
    let net = Arc::new(forward::net_of(pid).map_err(|error| unanswered(to, &error))?);
    let page = fetch_soon(&net, to).map_err(|error| unanswered(to, &error))?;
    progress.done(&format!("Fetched http://{to}/ through the service"));
    say(page.lines().next().unwrap_or_default());
    say(page.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim_end()));
    if !page.starts_with("HTTP/1.1 200") && !page.starts_with("HTTP/1.0 200") {
        return Err(Trouble::new(
            "the web server's answer is not 200",
            format!("Type `kubectl logs {NAME}` to see why."),
        ));
    }
    say(&format!("It took {}. `kubectl delete pod,service {NAME}` removes it.", progress.total()));
    Ok(())
}

fn unanswered(to: SocketAddr, error: &std::io::Error) -> Trouble {
    Trouble::new(
        format!("no answer from http://{to}/: {error}"),
        format!("Type `kubectl describe pod,service {NAME}` to see why."),
    )
}

/// Makes pod and service and waits until the pod is ready; gives the service's address.
async fn serve(client: &Client, image: &str, progress: &mut Progress) -> std::result::Result<SocketAddr, String> {
    create(client, &Pod::GVR, &pod(image)).await?;
    create(client, &Service::GVR, &http_service()).await?;
    progress.done(&format!("Created pod and service {NAME}"));
    let mut problem = None;
    let watched = cluster::follow(client, Pod::GVR, NAMESPACE, |object| {
        if object.name() != NAME {
            return false;
        }
        let Ok(pod) = object.typed::<Pod>() else { return false };
        problem = refusal(&pod);
        problem.is_some() || is_ready(&pod)
    });
    watched.await.map_err(|error| error.to_string())?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    progress.done(&format!("Pod {NAME} is ready"));
    let service: Service = client.get(NAMESPACE, NAME).await.map_err(|error| error.to_string())?;
    let first = service::targets(&service).and_then(|targets| targets.first().map(|(_, to)| *to));
    first.ok_or_else(|| format!("service {NAME} has no address"))
}

async fn create(client: &Client, resource: &api::Gvr, object: &Value) -> std::result::Result<(), String> {
    match client.create_object(resource, NAMESPACE, object).await {
        Err(client::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok(()),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why the pod will not start by itself.
fn refusal(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref().unwrap_or_default();
    let waiting = statuses.first()?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or_default();
    matches!(
        reason,
        "ErrImagePull" | "ImagePullBackOff" | "CrashLoopBackOff" | "InvalidImageName" | "CreateContainerError"
    )
    .then(|| format!("pod {NAME} does not start: {reason}: {message}"))
}

fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {"containers": [{
            "name": "web",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
        }]},
    })
}

fn http_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 80}]},
    })
}

/// The service's rules come a moment after the pod is ready, and nothing tells when; so this tries as a browser's user
/// would.
fn fetch_soon(net: &Arc<File>, to: SocketAddr) -> std::io::Result<String> {
    let mut failures = 0;
    loop {
        match fetch(net.clone(), to) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused && failures < RETRIES_MAX => {
                failures += 1;
                std::thread::sleep(RETRY.delay(failures));
            }
            done => return done,
        }
    }
}

fn fetch(net: Arc<File>, to: SocketAddr) -> std::io::Result<String> {
    let mut stream = forward::connect(net, to)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {to}\r\n\r\n").as_bytes())?;
    let mut page = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut page)?;
    Ok(page)
}
