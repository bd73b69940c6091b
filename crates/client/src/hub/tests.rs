//! A hub against scripted lists and hand-fed watches.

use std::sync::Arc;

use api::{Gvr, Key, Revision};
use stdx::{ManualClock, Rng};

use crate::client::Client;
use crate::env::Env;
use crate::hub::{Changes, Hub, News, Selection};
use crate::testing::Script;
use crate::transport::TransportError;

const PODS: Gvr = Gvr::new("", "v1", "pods");

fn env() -> Env {
    Env { clock: Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH)), rng: Rng::seeded(1) }
}

fn pod(name: &str, revision: u64) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"namespace":"n","name":"{name}","resourceVersion":"{revision}"}}}}"#
    )
}

fn list(items: &[String], revision: u64) -> String {
    let items = items.join(",");
    format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{revision}"}},"items":[{items}]}}"#)
}

fn event(kind: &str, object: &str) -> Result<String, TransportError> {
    Ok(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

fn start(script: &Arc<Script>) -> Hub {
    Hub::builder(Client::new(script.clone(), "test")).resource(PODS, &[]).start(&env())
}

fn names(hub: &Hub) -> String {
    let snapshot = hub.snapshot();
    let names: Vec<_> = snapshot.list(&PODS, None).map(|o| format!("{}@{}", o.name(), o.revision())).collect();
    format!("{} to {}", names.join(" "), hub.resource_revision(&PODS).unwrap())
}

async fn changed(changes: &mut Changes) -> String {
    match changes.next().await {
        News::Resync => "resync".to_owned(),
        News::Changed(change) => change.1.object().map(|object| object.name().to_owned()).unwrap_or_default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_lists_watches_and_goes_on_from_where_a_broken_watch_ended() {
    let script = Script::new();
    script.answer("GET /api/v1/pods", 200, &list(&[pod("a", 3)], 5));
    let first = script.watch("WATCH /api/v1/pods");
    let second = script.watch("WATCH /api/v1/pods");
    let hub = start(&script);
    let mut changes = hub.changes();
    assert_eq!(changed(&mut changes).await, "resync");
    assert_eq!(names(&hub), "a@3 to 5");

    first.send(event("ADDED", &pod("b", 6))).unwrap();
    first.send(event("BOOKMARK", &pod("", 9))).unwrap();
    assert_eq!(changed(&mut changes).await, "b");
    hub.seen(&PODS, Revision(9)).await;
    drop(first);

    second.send(event("DELETED", &pod("a", 12))).unwrap();
    assert_eq!(changed(&mut changes).await, "a");
    assert_eq!(names(&hub), "b@6 to 12");
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].contains("resourceVersion=9"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_is_followed_by_a_list_that_tells_what_was_missed() {
    let script = Script::new();
    script.answer("GET /api/v1/pods", 200, &list(&[pod("a", 3), pod("b", 4)], 5));
    script.answer("GET /api/v1/pods", 200, &list(&[pod("b", 4), pod("c", 30)], 40));
    let first = script.watch("WATCH /api/v1/pods");
    let _second = script.watch("WATCH /api/v1/pods");
    let hub = start(&script);
    let mut changes = hub.changes();
    assert_eq!(changed(&mut changes).await, "resync");
    first.send(event("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#)).unwrap();
    assert_eq!((changed(&mut changes).await, changed(&mut changes).await), ("a".to_owned(), "c".to_owned()));
    assert_eq!(names(&hub), "b@4 c@30 to 40");
    assert!(hub.snapshot().get(&PODS, &Key::new("n", "a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_refusals_are_tried_again() {
    let script = Script::new();
    script.lose("GET /api/v1/pods");
    script.answer("GET /api/v1/pods", 403, r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}"#);
    script.answer("GET /api/v1/pods", 200, &list(&[pod("a", 3)], 5));
    let _watch = script.watch("WATCH /api/v1/pods");
    let hub = start(&script);
    hub.synced().await;
    assert_eq!(names(&hub), "a@3 to 5");
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_followed_later_is_listed_and_can_be_forgotten() {
    const MAPS: Gvr = Gvr::new("", "v1", "configmaps");
    let script = Script::new();
    script.answer("GET /api/v1/pods", 200, &list(&[], 5));
    let _pods = script.watch("WATCH /api/v1/pods");
    script.answer("GET /api/v1/configmaps", 200, &list(&[pod("late", 6)], 7));
    let _maps = script.watch("WATCH /api/v1/configmaps");
    let hub = start(&script);
    let mut changes = hub.changes();
    assert_eq!(changed(&mut changes).await, "resync");
    hub.follow(MAPS, Selection::default());
    assert_eq!(hub.resource_revision(&MAPS), Some(Revision::ZERO));
    assert_eq!(changed(&mut changes).await, "late");
    assert_eq!(hub.resource_revision(&MAPS), Some(Revision(7)));
    hub.forget(&MAPS);
    assert_eq!(hub.resource_revision(&MAPS), None);
}
