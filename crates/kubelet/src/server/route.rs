//! The kubelet's paths, as upstream's API server asks for them.

use std::sync::Arc;

use api::typed::{Pod, Typed};
use bytes::Bytes;
use cri::v1;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Answer, Context, plain, stats, stream, text, whole};
use crate::logs::parse::Stream;
use crate::logs::read::{self, Options};
use crate::observed::{Observed, RunState, Seen, observe};
use crate::pod::PodRef;

/// Chunks of a log that wait for a slow reader.
const CHUNKS_MAX: usize = 16;

pub async fn route(context: &Arc<Context>, request: http::Request<hyper::body::Incoming>) -> Answer {
    let path: Vec<String> = request.uri().path().split('/').skip(1).map(unescape).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match path.as_slice() {
        ["healthz"] | ["healthz", "ping"] => plain(200, "ok"),
        ["pods" | "pods/"] | ["pods", ""] => pods(&context.pods.borrow().clone()),
        ["runningpods"] | ["runningpods", ""] => running_pods(context).await,
        ["stats", "summary"] => stats::summary(context).await,
        ["metrics", "resource"] => stats::resource_metrics(context).await,
        ["containerLogs", namespace, pod, container] => logs(context, (namespace, pod, container), &query).await,
        ["exec" | "attach", ..] if !["input", "output", "error"].iter().any(|stream| query.flag(stream)) => {
            plain(400, "you must specify at least 1 of stdin, stdout, stderr")
        }
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            let command = query.all("command");
            let id = match running(context, namespace, pod, container).await {
                Ok(id) => id,
                Err(answer) => return answer,
            };
            let asked = v1::ExecRequest {
                container_id: id,
                cmd: command,
                tty: query.flag("tty"),
                stdin: query.flag("input"),
                stdout: query.flag("output"),
                stderr: query.flag("error") && !query.flag("tty"),
            };
            stream::join(context, context.shared.deps.runtime.exec(asked).await.map(|a| a.url), request).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            let id = match running(context, namespace, pod, container).await {
                Ok(id) => id,
                Err(answer) => return answer,
            };
            let tty = find(context, namespace, pod).is_some_and(|pod| {
                pod.container(container).is_some_and(|c| c.spec.tty == Some(true))
                    || pod.ephemeral_container(container).is_some_and(|c| c.tty == Some(true))
            });
            let asked = v1::AttachRequest {
                container_id: id,
                stdin: query.flag("input"),
                tty,
                stdout: query.flag("output"),
                stderr: query.flag("error") && !tty,
            };
            stream::join(context, context.shared.deps.runtime.attach(asked).await.map(|a| a.url), request).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
            port_forward(context, (namespace, pod), &query, request).await
        }
        _ => text(404, "404 page not found"),
    }
}

async fn port_forward(
    context: &Arc<Context>,
    (namespace, pod): (&str, &str),
    query: &Query,
    request: http::Request<hyper::body::Incoming>,
) -> Answer {
    let Some(found) = find(context, namespace, pod) else { return plain(404, NO_POD) };
    let observed = match observe(&*context.shared.deps.runtime, found.uid()).await {
        Ok(observed) => observed,
        Err(error) => return plain(500, &error.to_string()),
    };
    let Some(sandbox) = observed.ready_sandboxes().next() else {
        return plain(500, &format!("pod not found (\"{pod}_{namespace}\")"));
    };
    let port = query.all("ports").iter().filter_map(|port| port.parse().ok()).collect();
    let asked = v1::PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port };
    let url = context.shared.deps.runtime.port_forward(asked).await.map(|answer| answer.url);
    stream::join(context, url, request).await
}

const NO_POD: &str = "pod does not exist";

fn find(context: &Context, namespace: &str, name: &str) -> Option<PodRef> {
    context.pods.borrow().iter().find(|pod| pod.namespace() == namespace && pod.name() == name).cloned()
}

/// The id of a container that runs.
async fn running(context: &Context, namespace: &str, pod: &str, container: &str) -> Result<String, Answer> {
    let found = find(context, namespace, pod).ok_or_else(|| plain(404, NO_POD))?;
    let observed = observe(&*context.shared.deps.runtime, found.uid()).await;
    let observed = observed.map_err(|error| plain(500, &error.to_string()))?;
    let seen = observed.container(container).filter(|seen| seen.is_running());
    seen.map(|seen| seen.id().to_owned()).ok_or_else(|| plain(500, &format!("container not found (\"{container}\")")))
}

fn pods(pods: &[PodRef]) -> Answer {
    let items: Vec<Value> = pods.iter().map(|pod| pod.get().to_tree()).collect();
    list(&items)
}

fn list(items: &[Value]) -> Answer {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    whole(200, "application/json", Bytes::from(list.to_string()))
}

/// What the runtime has, whatever the API says.
async fn running_pods(context: &Context) -> Answer {
    let filter = v1::ContainerFilter {
        state: Some(v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning as i32 }),
        ..v1::ContainerFilter::default()
    };
    let runtime = &context.shared.deps.runtime;
    let listed = runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await.unwrap_or_default();
    let mut pods = std::collections::BTreeMap::new();
    for container in listed.containers {
        let label = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        let (namespace, name) = (label(crate::pod::label::POD_NAMESPACE), label(crate::pod::label::POD_NAME));
        let entry = pods.entry(label(crate::pod::label::POD_UID)).or_insert_with(|| {
            json!({"kind": Pod::KIND, "apiVersion": "v1",
                "metadata": {"name": name, "namespace": namespace, "uid": label(crate::pod::label::POD_UID)},
                "spec": {"containers": []}, "status": {}})
        });
        let image = container.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        let name = container.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        if let Some(containers) = entry.pointer_mut("/spec/containers").and_then(Value::as_array_mut) {
            containers.push(json!({"name": name, "image": image, "resources": {}}));
        }
    }
    list(&pods.into_values().collect::<Vec<_>>())
}

async fn logs(context: &Arc<Context>, (namespace, pod, container): (&str, &str, &str), query: &Query) -> Answer {
    let Some(found) = find(context, namespace, pod) else {
        return plain(404, &format!("pod {pod:?} does not exist"));
    };
    let known = found.container(container).is_some() || found.ephemeral_container(container).is_some();
    if !known {
        return plain(404, &format!("container {container:?} not found in pod {pod:?}"));
    }
    let observed = match observe(&*context.shared.deps.runtime, found.uid()).await {
        Ok(observed) => observed,
        Err(error) => return plain(500, &error.to_string()),
    };
    let seen = match log_of(&observed, container, &found, query.flag("previous")) {
        Ok(seen) => seen.clone(),
        Err(why) => return plain(400, &why),
    };
    let dir = context.shared.config.pod_log_dir(namespace, pod, found.uid());
    let path = dir.join(container).join(format!("{}.log", seen.restart_count()));
    let options = options(query, context.shared.now());
    let (sink, source) = mpsc::channel(CHUNKS_MAX);
    let (runtime, stopping) = (Arc::clone(&context.shared.deps.runtime), context.stopping.clone());
    context.tasks.spawn(async move {
        let read = read::read(&path, &options, Some((&*runtime, seen.id())), &sink);
        let outcome = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            outcome = read => outcome,
        };
        if let Err(error) = outcome {
            let message = format!("failed to try resolving symlinks in path {:?}: {error}\n", path.display());
            // The reader may be gone.
            drop(sink.send(Bytes::from(message)).await);
        }
    });
    let frames = futures::stream::unfold(source, |mut source| async {
        let bytes = source.recv().await?;
        Some((Ok(http_body::Frame::data(bytes)), source))
    });
    let answer = http::Response::builder().status(200).header("content-type", "text/plain; charset=utf-8");
    answer.body(StreamBody::new(frames).boxed()).expect("invariant: a known status makes an answer")
}

/// The container whose log is meant, or why there is none, as upstream says it.
fn log_of<'a>(observed: &'a Observed, name: &str, pod: &PodRef, previous: bool) -> Result<&'a Seen, String> {
    let pod_name = pod.name();
    let mut history = observed.containers.iter().filter(|seen| seen.name() == name);
    let found = if previous {
        let newest = history.next();
        let ended = |seen: &&Seen| seen.state() == RunState::Exited;
        let missing = || format!("previous terminated container {name:?} in pod {pod_name:?} not found");
        // The newest has ended and waits: it is the previous one only if another follows, as upstream's lastState.
        return history
            .find(ended)
            .or(newest.filter(|seen| ended(seen) && seen.restart_count() > 0))
            .ok_or_else(missing);
    } else {
        history.find(|seen| matches!(seen.state(), RunState::Running | RunState::Exited))
    };
    found.ok_or_else(|| {
        let waiting = pod.status().and_then(|status| waiting_reason(status, name)).unwrap_or_default();
        let why = match waiting.as_str() {
            "" => "ContainerCreating",
            "ErrImagePull" => "image can't be pulled",
            "ImagePullBackOff" => "trying and failing to pull image",
            reason => reason,
        };
        format!("container {name:?} in pod {pod_name:?} is waiting to start: {why}")
    })
}

fn waiting_reason(status: &k8s_openapi::api::core::v1::PodStatus, name: &str) -> Option<String> {
    let lists = [status.init_container_statuses.as_ref(), status.container_statuses.as_ref()];
    let told = lists.into_iter().flatten().flatten().find(|told| told.name == name)?;
    told.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

fn options(query: &Query, now: jiff::Timestamp) -> Options {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let seconds = number("sinceSeconds").and_then(|secs| i64::try_from(secs).ok());
    let since = seconds.map(|secs| now - jiff::SignedDuration::from_secs(secs));
    Options {
        follow: query.flag("follow"),
        tail_lines: number("tailLines").and_then(|lines| usize::try_from(lines).ok()),
        since: since.or_else(|| query.get("sinceTime").and_then(|text| text.parse().ok())),
        limit_bytes: number("limitBytes").and_then(|bytes| usize::try_from(bytes).ok()),
        timestamps: query.flag("timestamps"),
        stream: match query.get("stream") {
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            _ => None,
        },
    }
}

/// A query string's pairs.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(&name.replace('+', " ")), unescape(&value.replace('+', " ")))
        };
        Self(text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value, "1" | "true" | "t" | "True" | "TRUE"))
    }
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
