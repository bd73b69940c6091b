//! Asking the engine without sockets.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use stdx::{ManualClock, Rng};

use crate::engine::EngineConfig;
use crate::request::{ResourceRequest, Verb};
use crate::user::User;
use crate::{AnswerBody, AnswerStream, Engine, Params, RequestContext};

pub struct Kit {
    pub engine: Arc<Engine>,
    pub clock: Arc<ManualClock>,
}

/// A request under way.
pub struct Ask<'a> {
    kit: &'a Kit,
    context: RequestContext,
}

pub async fn kit() -> Kit {
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let store = Arc::new(store::MemoryStore::new().stamping(crate::storage::with_revision));
    let engine = Engine::start(store, clock.clone(), Rng::seeded(1), EngineConfig::default()).await.unwrap();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": "default" } });
    engine.ensure(vec![account]).await.unwrap();
    Kit { engine, clock }
}

impl Kit {
    /// Another engine on the same store.
    pub async fn restarted(&self) -> Kit {
        let (store, clock) = (self.engine.store().clone(), self.clock.clone());
        let engine = Engine::start(store, clock.clone(), Rng::seeded(2), EngineConfig::default()).await.unwrap();
        Kit { engine, clock }
    }

    /// `GET /api/v1/namespaces/default/pods/x?a=b`, as a client writes it.
    pub fn ask(&self, line: &str) -> Ask<'_> {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let params = Params::parse(query);
        let context = RequestContext {
            info: parse(method, path, &params),
            user: User::component("admin", &["system:masters"]),
            params,
            content_type: String::new(),
            accept: String::new(),
            user_agent: "kit/1".to_owned(),
            body: Bytes::new(),
        };
        Ask { kit: self, context }
    }

    /// Lets the engine's own tasks run until this holds.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if holds(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it did not come to hold");
    }

    /// Creates it and expects that to work.
    pub async fn create(&self, path: &str, object: Value) -> Value {
        let (code, body) = self.ask(&format!("POST {path}")).body(object).send().await;
        assert_eq!(code, 201, "{body}");
        body
    }
}

fn parse(method: &str, path: &str, params: &Params) -> ResourceRequest {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts.remove(0) == "api" { "" } else { parts.remove(0) };
    let version = parts.remove(0);
    let namespace = if parts[0] == "namespaces" && parts.len() > 2 && !matches!(parts[2], "finalize" | "status") {
        parts.remove(0);
        parts.remove(0)
    } else {
        ""
    };
    let name = parts.get(1).copied().unwrap_or_default();
    let verb = match (method, name.is_empty()) {
        ("GET", _) if params.flag("watch") => Verb::Watch,
        ("GET", true) => Verb::List,
        ("GET", false) => Verb::Get,
        ("POST", _) => Verb::Create,
        ("PUT", _) => Verb::Update,
        ("PATCH", _) => Verb::Patch,
        ("DELETE", true) => Verb::DeleteCollection,
        _ => Verb::Delete,
    };
    ResourceRequest {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        resource: parts[0].to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: parts.get(2).copied().unwrap_or_default().to_owned(),
        tail: String::new(),
    }
}

impl Ask<'_> {
    pub fn body(mut self, body: Value) -> Self {
        self.context.body = body.to_string().into();
        self
    }

    /// A body that is no JSON, or not quite.
    pub fn text(mut self, body: &str) -> Self {
        self.context.body = Bytes::copy_from_slice(body.as_bytes());
        self
    }

    pub fn user(mut self, name: &str, group: &str) -> Self {
        self.context.user = User::component(name, &[group]);
        self
    }

    pub fn content_type(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.context.content_type);
        self
    }

    pub fn accept(mut self, accept: &str) -> Self {
        accept.clone_into(&mut self.context.accept);
        self
    }

    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.context.body = body.into();
        self
    }

    /// Code, content type and the whole body as it is sent; a failure as the front would write it.
    pub async fn raw(self) -> (u16, &'static str, Bytes) {
        let accept = self.context.accept.clone();
        match self.kit.engine.dispatch(self.context).await {
            Err(status) => {
                let (content_type, bytes) = crate::output::status(&accept, None, "", &status);
                (status.code, content_type, bytes)
            }
            Ok(answer) => {
                let bytes = match answer.body {
                    AnswerBody::Whole(bytes) => bytes,
                    AnswerBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat().into(),
                };
                (answer.code, answer.content_type, bytes)
            }
        }
    }

    /// The code and the whole body; a failure as its Status.
    pub async fn send(self) -> (u16, Value) {
        let (code, body, _) = self.send_with_warnings().await;
        (code, body)
    }

    pub async fn send_with_warnings(self) -> (u16, Value, Vec<String>) {
        match self.kit.engine.dispatch(self.context).await {
            Err(status) => (status.code, serde_json::from_slice(&status.to_json()).unwrap(), Vec::new()),
            Ok(answer) => {
                let bytes = match answer.body {
                    AnswerBody::Whole(bytes) => bytes.to_vec(),
                    AnswerBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat(),
                };
                (answer.code, serde_json::from_slice(&bytes).unwrap(), answer.warnings)
            }
        }
    }

    pub async fn stream(self) -> Frames {
        match self.kit.engine.dispatch(self.context).await.unwrap().body {
            AnswerBody::Stream(stream) => Frames(stream, VecDeque::new()),
            AnswerBody::Whole(_) => panic!("not a stream"),
        }
    }
}

/// A watch's stream, and the lines of its last chunk that were not looked at yet.
pub struct Frames(AnswerStream, VecDeque<Vec<u8>>);

impl Frames {
    /// The next event, as `ADDED name@revision`; the stream's end as `END`.
    pub async fn next(&mut self) -> String {
        match self.event().await {
            None => "END".to_owned(),
            Some(event) if event["type"] == "ERROR" => {
                format!("ERROR {} {}", event["object"]["code"], event["object"]["message"].as_str().unwrap())
            }
            Some(event) => {
                let meta = &event["object"]["metadata"];
                let name = meta["name"].as_str().unwrap_or_default();
                let end = if meta["annotations"]["k8s.io/initial-events-end"] == "true" { " end" } else { "" };
                format!("{} {name}{end}", event["type"].as_str().unwrap())
            }
        }
    }

    pub async fn event(&mut self) -> Option<Value> {
        if self.1.is_empty() {
            let long = std::time::Duration::from_secs(7200);
            let chunk = tokio::time::timeout(long, self.0.next()).await.expect("an event")?;
            self.1 = chunk.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        }
        self.1.pop_front().map(|line| serde_json::from_slice(&line).unwrap())
    }
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
    })
}

pub fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const MERGE: &str = "application/merge-patch+json";
