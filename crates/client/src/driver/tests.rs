//! The driver with a controller that wants one ConfigMap a Namespace, against a scripted API.

use std::sync::Arc;

use api::{Gvr, Key};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Snapshot, Step};
use jiff::Timestamp;
use serde_json::json;
use stdx::{ManualClock, Rng};

use crate::client::Client;
use crate::env::Env;
use crate::hub::Hub;
use crate::testing::Script;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");

/// Wants a ConfigMap with a generated name in every namespace.
struct OneEach;

impl Controller for OneEach {
    fn name(&self) -> &'static str {
        "one-each"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NAMESPACES, &[]), Interest::new(CONFIG_MAPS, &[])]
    }

    fn wakes(&self, _: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let Some(object) = change.object() else { return Vec::new() };
        vec![Key::cluster(if *resource == NAMESPACES { object.name() } else { object.namespace() })]
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let Some(namespace) = snapshot.get(&NAMESPACES, key) else { return Ok(Plan::nothing()) };
        if snapshot.list(&CONFIG_MAPS, Some(&key.name)).next().is_some() {
            return Ok(Plan::nothing());
        }
        let object = json!({"metadata": {"generateName": "cm-"}});
        let create = Action::Create { resource: CONFIG_MAPS, namespace: key.name.clone(), object };
        let mut plan = Plan::nothing();
        plan.push(Step::from(create).done(Note::normal(namespace, "Made", "made {name}")).failed(Note::warning(
            namespace,
            "NotMade",
            "cannot make: {error}",
        )));
        Ok(plan)
    }
}

fn list(kind: &str, items: &str) -> String {
    format!(r#"{{"kind":"{kind}List","apiVersion":"v1","metadata":{{"resourceVersion":"5"}},"items":[{items}]}}"#)
}

const MADE: &str = r#"{"kind":"ConfigMap","metadata":{"namespace":"shop","name":"cm-x","resourceVersion":"9"}}"#;
const POST: &str = "POST /api/v1/namespaces/shop/configmaps";
const GET: &str = "GET /api/v1/namespaces/shop/configmaps/*";
const POST_EVENT: &str = "POST /api/v1/namespaces/default/events";

async fn run(script: Arc<Script>) -> (Arc<Script>, tokio::task::JoinHandle<()>) {
    script.answer("GET /api/v1/namespaces", 200, &list("Namespace", r#"{"metadata":{"name":"shop","uid":"u"}}"#));
    script.answer("GET /api/v1/configmaps", 200, &list("ConfigMap", ""));
    script.answer(POST_EVENT, 201, r#"{"metadata":{"name":"e"}}"#);
    let env = Env { clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)), rng: Rng::seeded(1) };
    let controllers: Vec<Arc<dyn Controller>> = vec![Arc::new(OneEach)];
    let hub = Hub::builder(Client::new(script.clone(), "hub")).controllers(&controllers).start(&env);
    let transport = script.clone();
    let task = tokio::spawn(super::run(hub, controllers, move |_| transport.clone(), env));
    (script, task)
}

/// What was asked by the driver within a minute: the writes.
async fn writes(script: &Script) -> Vec<String> {
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let asked = script.asked.lock().unwrap().clone();
    asked.into_iter().filter(|ask| ask.starts_with("POST")).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_twice_while_the_cache_has_not_seen_the_first() {
    let script = Script::new();
    script.answer(POST, 201, MADE);
    let namespaces = script.watch("WATCH /api/v1/namespaces");
    let (script, _task) = run(script).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // The namespace changes again and again, but no ConfigMap has been seen.
    for revision in 6..9 {
        let object = format!(r#"{{"metadata":{{"name":"shop","uid":"u","resourceVersion":"{revision}"}}}}"#);
        namespaces.send(Ok(format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n"))).unwrap();
    }
    let writes = writes(&script).await;
    assert_eq!(writes.len(), 2, "{writes:#?}");
    assert!(writes[1].contains("made cm-x") && writes[1].contains(r#""reason":"Made""#), "{writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_repeated_under_the_same_name() {
    let script = Script::new();
    script.lose(POST);
    let exists = r#"{"kind":"Status","status":"Failure","code":409,"reason":"AlreadyExists","message":"there"}"#;
    script.answer(POST, 409, exists);
    script.lose(GET);
    script.answer(POST, 409, exists);
    script.answer(GET, 200, MADE);
    let (script, _task) = run(script).await;
    let writes = writes(&script).await;
    let name = |ask: &str| ask.split(r#""name":""#).nth(1).map(|rest| rest[..8].to_owned());
    assert!(writes.len() == 4 && writes[3].contains("made cm-x"), "{writes:#?}");
    assert_eq!((name(&writes[0]), name(&writes[0]).is_some()), (name(&writes[1]), true));
}

#[tokio::test(start_paused = true)]
async fn a_refused_create_is_told_and_tried_again_with_backoff() {
    let script = Script::new();
    let refused = r#"{"kind":"Status","status":"Failure","code":403,"reason":"Forbidden","message":"quota"}"#;
    script.answer(POST, 403, refused);
    script.answer(POST, 201, MADE);
    script.answer(POST_EVENT, 201, r#"{"metadata":{"name":"e"}}"#);
    let (script, _task) = run(script).await;
    let writes = writes(&script).await;
    let posts = writes.iter().filter(|ask| ask.starts_with(POST)).count();
    assert_eq!(posts, 2, "{writes:#?}");
    assert!(writes.iter().any(|ask| ask.contains("cannot make: quota")), "{writes:#?}");
}
