//! What untrusted bytes are fed to. Each target must end with an answer: no panic, no stall, no growth.
//!
//! Shared by cargo-fuzz (`fuzz_targets/`) and by the seeded test `crates/apiserver/tests/robust.rs`.
#![allow(dead_code, clippy::unwrap_used)] // Each user of this file uses a part of it.

use std::sync::Arc;
use std::time::Duration;

use api::schema::{self, Validation};
use api::selector::{FieldSelector, LabelSelector};
use apiserver::engine::EngineConfig;
use apiserver::user::User;
use apiserver::{Engine, Server, ServerConfig};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use pki::{Authority, TokenKey};
use stdx::{Clock, Rng, SystemClock};

/// No answer may take longer, whatever is asked (in a debug build on a busy machine).
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// No answer to so little is larger.
const ANSWER_LEN_MAX: usize = 8 << 20;

/// How bytes become a request: method, path, content type of a body; or the part of the request that the bytes are.
pub const SHAPES: &[(&str, &str, Part)] = &[
    ("POST", "/api/v1/namespaces/default/pods", Part::Body("application/json")),
    ("POST", "/api/v1/namespaces/default/pods", Part::Body("application/yaml")),
    ("POST", "/api/v1/namespaces/default/pods", Part::Body("application/vnd.kubernetes.protobuf")),
    ("POST", "/api/v1/namespaces/default/services", Part::Body("application/yaml")),
    ("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", Part::Body("application/cbor")),
    ("PUT", "/api/v1/namespaces/default/configmaps/kept", Part::Body("application/json")),
    ("PATCH", "/apis/apps/v1/namespaces/default/deployments/kept", Part::Body("application/merge-patch+json")),
    ("PATCH", "/apis/apps/v1/namespaces/default/deployments/kept", Part::Body("application/json-patch+json")),
    (
        "PATCH",
        "/apis/apps/v1/namespaces/default/deployments/kept",
        Part::Body("application/strategic-merge-patch+json"),
    ),
    (
        "PATCH",
        "/apis/apps/v1/namespaces/default/deployments/kept?fieldManager=f&force=true",
        Part::Body("application/apply-patch+yaml"),
    ),
    ("DELETE", "/api/v1/namespaces/default/configmaps/none", Part::Body("application/json")),
    ("POST", "/api/v1/namespaces/default/pods/none/eviction", Part::Body("application/json")),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", Part::Body("application/json")),
    ("GET", "/api/v1/pods", Part::Query("")),
    ("GET", "/api/v1/configmaps", Part::Query("labelSelector=")),
    ("GET", "/apis/apps/v1/deployments", Part::Query("fieldSelector=")),
    ("GET", "/api/v1/configmaps", Part::Query("limit=1&continue=")),
    ("GET", "/", Part::Path),
    ("GET", "/api/v1/namespaces/default/", Part::Path),
    ("GET", "/api/v1/configmaps", Part::Header("accept")),
    ("POST", "/api/v1/namespaces/default/configmaps", Part::Header("content-type")),
    ("GET", "/api/v1/configmaps", Part::Header("authorization")),
    ("GET", "/api/v1/configmaps", Part::Header("impersonate-user")),
];

#[derive(Clone, Copy, Debug)]
pub enum Part {
    Body(&'static str),
    /// Behind this beginning of a query.
    Query(&'static str),
    Path,
    Header(&'static str),
}

/// An API server over a store in memory, with a few objects in it.
pub struct Stand {
    runtime: tokio::runtime::Runtime,
    server: Arc<Server>,
}

impl Stand {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(async {
            let clock = Arc::new(SystemClock);
            let authority = Authority::ephemeral(clock.now());
            let store = Arc::new(store::MemoryStore::new());
            let engine = Engine::start(store, clock, Rng::seeded(1), EngineConfig::default()).await.unwrap();
            let key = Arc::new(TokenKey::ephemeral().unwrap());
            Server::start(engine, ServerConfig::new(authority.certificate().clone(), key)).await.unwrap()
        });
        let stand = Self { runtime, server };
        let template =
            r#""template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
        let kept = [
            ("/api/v1/namespaces/default/serviceaccounts", r#"{"metadata":{"name":"default"}}"#.to_owned()),
            ("/api/v1/namespaces/default/configmaps", r#"{"metadata":{"name":"kept"},"data":{"a":"b"}}"#.to_owned()),
            (
                "/apis/apps/v1/namespaces/default/deployments",
                format!(
                    r#"{{"metadata":{{"name":"kept"}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},{template}}}}}"#
                ),
            ),
        ];
        for (path, body) in kept {
            let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
            stand.answer(request.body(Bytes::from(body)).unwrap());
        }
        stand
    }

    /// Makes the bytes a request of a shape and has it answered; the code, or `None` where HTTP itself refuses it.
    pub fn request(&self, shape: usize, data: &[u8]) -> Option<u16> {
        let (method, path, part) = SHAPES[shape % SHAPES.len()];
        let request = Request::builder().method(method);
        let uri = |text: Vec<u8>| Uri::from_maybe_shared(Bytes::from(text)).ok();
        let request = match part {
            Part::Body(content_type) => {
                let request = request.uri(path).header("content-type", content_type);
                request.body(Bytes::copy_from_slice(data)).ok()?
            }
            Part::Query(begin) => {
                request.uri(uri([path.as_bytes(), b"?", begin.as_bytes(), data].concat())?).body(Bytes::new()).ok()?
            }
            Part::Path => request.uri(uri([path.as_bytes(), data].concat())?).body(Bytes::new()).ok()?,
            Part::Header(name) => {
                let body = Bytes::from_static(br#"{"metadata":{"generateName":"h-"}}"#);
                request.uri(path).header(name, HeaderValue::from_bytes(data).ok()?).body(body).ok()?
            }
        };
        Some(self.answer(request))
    }

    fn answer(&self, request: Request<Bytes>) -> u16 {
        let user = User::component("fuzz", &["system:masters"]);
        let asked = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let answered = async {
            let response = self.server.call(request, user).await;
            let code = response.status().as_u16();
            let mut body = response.into_body();
            let mut seen = Vec::new();
            // A watch has no end; its first frame is enough.
            while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(1), body.frame()).await {
                seen.extend_from_slice(frame.unwrap().data_ref().map_or(&[], |data| data));
                assert!(seen.len() < ANSWER_LEN_MAX, "the answer has no end: {asked}");
            }
            (code, seen)
        };
        let timely = async { tokio::time::timeout(ANSWER_WITHIN, answered).await };
        let (code, body) = self.runtime.block_on(timely).unwrap_or_else(|_| panic!("no answer in time: {asked}"));
        let text = String::from_utf8_lossy(&body);
        assert!(!text.contains("caused apiserver to panic"), "a panic: {asked}");
        code
    }
}

/// Everything that reads bytes from outside, one after the other.
pub fn decode(data: &[u8]) {
    let pod = schema::builtin().lookup("io.k8s.api.core.v1.Pod").unwrap();
    drop(schema::decode(data, pod, Validation::Strict));
    drop(api::protobuf::decode(data));
    if let Ok(tree) = api::yaml::parse(data) {
        drop(schema::decode_tree(&tree, pod, Validation::Strict));
        drop(api::yaml::print(&tree));
    }
    let kept = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    drop(api::patch::json(&kept, data));
    drop(api::patch::merge(&kept, data));
    drop(api::patch::strategic(&kept, data, pod));
    let Ok(text) = std::str::from_utf8(data) else { return };
    drop(LabelSelector::parse(text));
    drop(FieldSelector::parse(text));
    api::quantity::Quantity::parse(text).ok();
    drop(schema::normalize_time(text, true));
}
