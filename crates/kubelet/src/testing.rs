//! What this crate's tests share: pods from JSON, an API of objects in memory, a machine and mounts that do nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use api::typed::{Pod, Typed};
use async_trait::async_trait;
use bytes::Bytes;
use client::{Body, Transport, TransportError};
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::config::{CgroupLimits, Cgroups, Facts, Gauges, Machine, Mounts};
use crate::pod::PodRef;

/// A pod from JSON; `spec.containers` may be left out.
pub fn pod(text: &str) -> PodRef {
    let mut tree: Value = serde_json::from_str(text).unwrap();
    if tree.get("metadata").is_none() {
        tree["metadata"] = json!({});
    }
    let containers = &mut tree["spec"]["containers"];
    if containers.is_null() {
        *containers = json!([]);
    }
    PodRef::new(Pod::decode(tree.to_string().as_bytes()).unwrap())
}

/// A clock that follows tokio's, which may be paused.
pub struct TokioClock {
    began: tokio::time::Instant,
}

impl TokioClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: tokio::time::Instant::now() })
    }
}

impl stdx::Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + crate::shared::signed(self.began.elapsed())
    }
}

/// Objects by path, with watches. It merges patches as a server would for the fields that the kubelet writes.
pub struct FakeApi {
    state: Mutex<State>,
    changes: broadcast::Sender<(String, Value)>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    revision: u64,
}

impl FakeApi {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changes: broadcast::channel(4096).0 })
    }

    /// Puts an object at its path, and tells the watchers.
    pub fn put(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let kind = if state.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(path.to_owned(), object.clone());
        drop(self.changes.send((path.to_owned(), json!({"type": kind, "object": object}))));
        object
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    pub fn remove(&self, path: &str) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        if let Some(mut object) = state.objects.remove(path) {
            object["metadata"]["resourceVersion"] = json!(revision.to_string());
            drop(self.changes.send((path.to_owned(), json!({"type": "DELETED", "object": object}))));
        }
    }

    pub fn list(&self, prefix: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.objects.iter().filter(|(path, _)| path.starts_with(prefix)).map(|(_, object)| object.clone()).collect()
    }

    /// The events recorded so far, as `reason: message`, by name of the object that they are about.
    pub fn events(&self, about: &str) -> Vec<String> {
        let events = self.list("/api/v1/namespaces/");
        let mut found: Vec<(String, String)> = events
            .iter()
            .filter(|event| event["kind"] == "Event" && event["involvedObject"]["name"] == about)
            .map(|event| {
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                (
                    event["metadata"]["resourceVersion"].as_str().unwrap().to_owned(),
                    format!("{}: {}", text("reason"), text("message")),
                )
            })
            .collect();
        found.sort_by_key(|(revision, _)| revision.parse::<u64>().unwrap());
        found.into_iter().map(|(_, line)| line).collect()
    }

    /// Waits until `done` says so of the object at `path`.
    pub async fn until(&self, path: &str, done: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                let now = self.get(path);
                if done(now.as_ref()) {
                    return now;
                }
                changes.recv().await.unwrap();
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(120), wait).await {
            Ok(object) => object,
            Err(_) => panic!("{path} never got there: {:#}", self.get(path).unwrap_or_default()),
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let (Some(target), Some(changes)) = (into.as_object_mut(), patch.as_object()) else {
        *into = patch.clone();
        return;
    };
    for (key, value) in changes {
        if value.is_null() {
            target.remove(key);
        } else if key == "conditions" {
            let list = target.entry(key.clone()).or_insert_with(|| json!([]));
            for condition in value.as_array().unwrap() {
                let list = list.as_array_mut().unwrap();
                match list.iter_mut().find(|old| old["type"] == condition["type"]) {
                    Some(old) => merge(old, condition),
                    None => {
                        let mut fresh = json!({});
                        merge(&mut fresh, condition);
                        list.push(fresh);
                    }
                }
            }
        } else if let Some(list) = value.as_array() {
            let replaced = list.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
            target.insert(key.clone(), Value::Array(replaced));
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The list that a path is in: without its last part.
fn collection(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(parent, _)| parent)
}

#[async_trait]
impl Transport for FakeApi {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, TransportError> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (code, answer) = match request.method().as_str() {
            "GET" if query.contains("watch=true") => return Ok(self.watch(&path, &query)),
            "GET" => match self.get(&path) {
                Some(object) => (200, object),
                None if self.is_object(&path) => not_found(),
                None => (200, self.list_answer(&path, &query)),
            },
            "POST" if path.ends_with("/token") => {
                (201, json!({"status": {"token": "t0ken", "expirationTimestamp": "2100-01-01T00:00:00Z"}}))
            }
            "POST" => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let at = format!("{path}/{name}");
                match self.get(&at) {
                    Some(_) => {
                        (409, json!({"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409}))
                    }
                    None => {
                        let mut object = body;
                        if object["metadata"]["uid"].is_null() {
                            object["metadata"]["uid"] = json!(format!("uid-{}", self.state.lock().unwrap().revision));
                        }
                        (201, self.put(&at, object))
                    }
                }
            }
            "PUT" => (200, self.put(&path, body)),
            "PATCH" => {
                let at = path.strip_suffix("/status").unwrap_or(&path);
                match self.get(at) {
                    Some(mut object) => {
                        merge(&mut object, &body);
                        (200, self.put(at, object))
                    }
                    None => not_found(),
                }
            }
            "DELETE" => {
                self.remove(&path);
                (200, json!({"kind": "Status", "status": "Success", "metadata": {}, "code": 200}))
            }
            other => panic!("unexpected {other}"),
        };
        let body = Full::new(Bytes::from(answer.to_string())).map_err(|never| match never {}).boxed();
        Ok(http::Response::builder().status(code).body(body).unwrap())
    }
}

fn not_found() -> (u16, Value) {
    (404, json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404}))
}

fn selected(query: &str, object: &Value) -> bool {
    let Some(name) = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D")) else {
        return true;
    };
    object["metadata"]["name"] == name
}

impl FakeApi {
    /// Whether a path names one object rather than a list.
    fn is_object(&self, path: &str) -> bool {
        let last = path.rsplit('/').next().unwrap_or_default();
        !matches!(last, "pods" | "services" | "nodes" | "configmaps" | "secrets" | "events" | "leases")
    }

    fn list_answer(&self, path: &str, query: &str) -> Value {
        let state = self.state.lock().unwrap();
        let last = path.rsplit('/').next().unwrap_or_default();
        let all = !path.contains("/namespaces/");
        let in_list = |at: &str| collection(at) == path || (all && collection(at).ends_with(&format!("/{last}")));
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(at, object)| in_list(at) && selected(query, object))
            .map(|(_, object)| object.clone())
            .collect();
        json!({"kind": "List", "metadata": {"resourceVersion": state.revision.to_string()}, "items": items})
    }

    fn watch(&self, path: &str, query: &str) -> http::Response<Body> {
        let after: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .and_then(|revision| revision.parse().ok())
            .unwrap_or(0);
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (path, query, all) = (path.to_owned(), query.to_owned(), !path.contains("/namespaces/"));
        let fits = move |at: &str, object: &Value| {
            (collection(at) == path || (all && collection(at).ends_with(&format!("/{last}"))))
                && selected(&query, object)
        };
        let changes = self.changes.subscribe();
        let missed: Vec<Value> = {
            let state = self.state.lock().unwrap();
            let revision =
                |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
            let missed = state.objects.iter().filter(|(at, object)| revision(object) > after && fits(at, object));
            missed.map(|(_, object)| json!({"type": "MODIFIED", "object": object})).collect()
        };
        let stream = futures::stream::unfold((changes, missed, fits), |(mut changes, mut missed, fits)| async move {
            let event = match missed.pop() {
                Some(event) => event,
                None => loop {
                    let (at, event) = changes.recv().await.ok()?;
                    if fits(&at, &event["object"]) {
                        break event;
                    }
                },
            };
            let frame = http_body::Frame::data(Bytes::from(format!("{event}\n")));
            Some((Ok::<_, TransportError>(frame), (changes, missed, fits)))
        });
        http::Response::new(BodyExt::boxed(StreamBody::new(stream)))
    }
}

/// A machine of two cores and 4 GiB; nothing is mounted and no cgroup made.
pub struct Stage;

impl Cgroups for Stage {
    fn ensure(&self, _: &str, _: &CgroupLimits) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn children(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl Mounts for Stage {
    fn tmpfs(&self, _: &Path, _: Option<u64>) -> io::Result<()> {
        Ok(())
    }

    fn bind(&self, _: std::os::fd::BorrowedFd<'_>, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn unmount_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl Machine for Stage {
    fn facts(&self) -> io::Result<Facts> {
        Ok(Facts { cpus: 2, memory_bytes: 4 << 30, architecture: "amd64".to_owned(), ..Facts::default() })
    }

    fn gauges(&self, _: &Path) -> io::Result<Gauges> {
        Ok(Gauges { disk_capacity_bytes: 1 << 40, disk_available_bytes: 1 << 39, ..Gauges::default() })
    }
}

/// A directory of a test's own, removed with it.
pub struct TempDir(pub std::path::PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ironclad-kubelet-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
