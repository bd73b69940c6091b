//! Says of each FlowSchema whether the priority level that it names exists: its condition `Dangling`.
//!
//! The only writer of that condition. An event of a schema or a level says only *look again*; what is written follows from
//! the watch caches, through the same verb as everybody's applies.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{Gvr, Key, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stdx::Backoff;

use crate::engine::Engine;
use crate::request::{ResourceRequest, Verb};
use crate::tree;
use crate::verbs::{Params, RequestContext, timestamp};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: Gvr = Gvr::new(GROUP, "v1", "flowschemas");
const LEVELS: Gvr = Gvr::new(GROUP, "v1", "prioritylevelconfigurations");
/// Upstream's name for this writer, which users see in `managedFields`.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
const RETRY: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(30));

/// Somebody else may insist on another condition: one schema is written at most so often in this time, as upstream does.
const WRITES_MAX: usize = 6;
const WITHIN: SignedDuration = SignedDuration::from_mins(1);
const REST: Duration = Duration::from_secs(60);

/// Runs until the engine is gone.
pub async fn run(engine: Weak<Engine>) {
    let cache = |gvr| engine.upgrade()?.caches().get(gvr);
    let (Some(schemas), Some(levels)) = (cache(&SCHEMAS), cache(&LEVELS)) else { return };
    let (schemas, levels) = (schemas.list_and_watch(None).1, levels.list_and_watch(None).1);
    let mut written = Written::default();
    let mut failures = 0;
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let pause = match sync(&strong, &mut written).await {
            Ok(put_off) => {
                failures = 0;
                put_off.then_some(REST)
            }
            Err(status) => {
                failures += 1;
                tracing::warn!(%status, "cannot write the condition of a flow schema yet");
                Some(RETRY.delay(failures))
            }
        };
        drop(strong);
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = schemas.woken() => {}
            () = levels.woken() => {}
            () = again => {}
        }
    }
}

/// The schemas written lately, oldest first.
#[derive(Default)]
struct Written(VecDeque<(Timestamp, String)>);

impl Written {
    fn may_write(&mut self, name: &str, now: Timestamp) -> bool {
        while self.0.front().is_some_and(|(at, _)| *at + WITHIN < now) {
            self.0.pop_front();
        }
        self.0.iter().filter(|(_, written)| written == name).count() < WRITES_MAX
    }
}

/// Writes every condition that is not true, the others too when one fails; whether some were put off.
async fn sync(engine: &Arc<Engine>, written: &mut Written) -> Result<bool, Status> {
    // Without our own last writes in the cache, they would be written again, with a new time.
    engine.caches().catch_up(&**engine.store()).await?;
    let (Some(schemas), Some(levels)) = (engine.table(&SCHEMAS), engine.table(&LEVELS)) else { return Ok(false) };
    let (mut put_off, mut outcome) = (false, Ok(()));
    for schema in schemas.iter() {
        let now = engine.clock().now();
        let tree = schema.tree().map_err(Status::internal)?;
        let level = tree::text(&tree, "spec.priorityLevelConfiguration.name");
        let Some(condition) = next(&tree, level, levels.get(&Key::cluster(level)).is_some(), now) else { continue };
        if !written.may_write(schema.name(), now) {
            put_off = true;
            continue;
        }
        written.0.push_back((now, schema.name().to_owned()));
        match apply(engine, schema.name(), &condition).await {
            // Deleted in the meantime.
            Err(status) if status.is_not_found() => {}
            Err(status) => outcome = Err(status),
            Ok(()) => {}
        }
    }
    outcome.map(|()| put_off)
}

/// The condition that the schema should have, if it is not the one that it has.
fn next(schema: &Value, level: &str, exists: bool, now: Timestamp) -> Option<Value> {
    let (status, reason, end) =
        if exists { ("False", "Found", "it exists") } else { ("True", "NotFound", "there is no such object") };
    let but = if exists { "and" } else { "but" };
    let message =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {but} {end}");
    let mut conditions = tree::list(schema, "status.conditions").iter();
    let holds = conditions.any(|found| {
        found["type"] == "Dangling"
            && found["status"] == status
            && found["reason"] == reason
            && found["message"] == *message
    });
    (!holds).then(|| {
        json!({
            "type": "Dangling", "status": status, "lastTransitionTime": timestamp(now),
            "reason": reason, "message": message,
        })
    })
}

async fn apply(engine: &Arc<Engine>, name: &str, condition: &Value) -> Result<(), Status> {
    let info = ResourceRequest::of(Verb::Patch, &SCHEMAS, &Key::cluster(name), "status");
    let configuration = json!({
        "apiVersion": format!("{}/{}", SCHEMAS.group, SCHEMAS.version), "kind": "FlowSchema",
        "metadata": { "name": name }, "status": { "conditions": [condition] },
    });
    let context = RequestContext {
        params: Params::parse(&format!("fieldManager={MANAGER}&force=true")),
        content_type: "application/apply-patch+yaml".to_owned(),
        ..RequestContext::own(info, configuration.to_string())
    };
    Box::pin(engine.dispatch(context)).await.map(drop)
}
