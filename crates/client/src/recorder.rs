//! Records Events about objects (core/v1, as upstream's controllers and kubelet write them), without ever holding up who
//! records: notes wait in a bounded queue and are dropped when it is full.
//!
//! Repeated events become a count on the first one, many similar ones are combined, and an object that keeps on making
//! events is throttled: the rules of upstream's event correlator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use api::typed::{Event, Typed};
use cache::Note;
use cache::controller::NoteKind;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stdx::Backoff;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::client::Client;
use crate::env::Env;
use crate::error::Error;
use crate::query::Patch;

/// Notes that wait to be written.
const NOTES_MAX: usize = 1000;
/// Objects and events that are remembered for counting; beyond, all are forgotten and counting starts anew.
const REMEMBERED_MAX: usize = 4096;
/// How many different messages of one reason an object may have before they are combined, and in which time.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Events that an object may make at once, and the time after which it may make one more.
const BURST_MAX: i64 = 25;
const REFILL_SECS: i64 = 300;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
const TRIES_MAX: u32 = 8;

/// Records Events of one component. Cheap to clone; the writing task ends with the last handle.
#[derive(Clone)]
pub struct Recorder {
    notes: mpsc::Sender<Note>,
    _writer: Arc<AbortOnDropHandle<()>>,
}

impl Recorder {
    /// `host` is the node's name for node components, and empty otherwise. Must be called inside a tokio runtime.
    pub fn start(client: Client, component: &str, host: &str, env: Env) -> Self {
        let (notes, queue) = mpsc::channel(NOTES_MAX);
        let correlator = Correlator::new(component, host);
        let writer = tokio::spawn(write_all(client, correlator, env, queue));
        Self { notes, _writer: Arc::new(AbortOnDropHandle::new(writer)) }
    }

    pub fn record(&self, note: Note) {
        if let Err(mpsc::error::TrySendError::Full(note)) = self.notes.try_send(note) {
            tracing::debug!("too many events: dropped {} about {}", note.reason, note.about.key);
        }
    }
}

async fn write_all(client: Client, mut correlator: Correlator, env: Env, mut queue: mpsc::Receiver<Note>) {
    while let Some(note) = queue.recv().await {
        let Some(mut write) = correlator.observe(&note, env.clock.now()) else { continue };
        for attempt in 1..=TRIES_MAX {
            match send(&client, &write).await {
                Ok(()) => break,
                // The event that was to be counted up has expired.
                Err(error) if error.is_not_found() && matches!(write, Write::Count { .. }) => {
                    match correlator.restart(&note, env.clock.now()) {
                        Some(anew) => write = anew,
                        None => break,
                    }
                }
                Err(Error::Transport(_)) => tokio::time::sleep(BACKOFF.delay(attempt)).await,
                Err(error) => {
                    tracing::debug!("cannot record {} about {}: {error}", note.reason, note.about.key);
                    break;
                }
            }
        }
    }
}

async fn send(client: &Client, write: &Write) -> Result<(), Error> {
    match write {
        Write::Create { namespace, event } => client.create_object(&Event::GVR, namespace, event).await.map(drop),
        Write::Count { key, patch } => {
            client.patch_object(&Event::GVR, key, "", &Patch::Merge(patch.clone())).await.map(drop)
        }
    }
}

#[derive(Debug)]
enum Write {
    Create { namespace: String, event: Value },
    Count { key: Key, patch: Value },
}

/// Decides what becomes of a note. Pure: it is told the time.
struct Correlator {
    component: String,
    host: String,
    /// By everything that makes two notes the same.
    counted: BTreeMap<String, Counted>,
    /// By everything but the message.
    similar: BTreeMap<String, Similar>,
    /// By object.
    budgets: BTreeMap<String, Budget>,
    sequence: i128,
}

struct Counted {
    key: Key,
    count: u32,
}

struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

struct Budget {
    left: i64,
    at: Timestamp,
}

impl Correlator {
    fn new(component: &str, host: &str) -> Self {
        Self {
            component: component.to_owned(),
            host: host.to_owned(),
            counted: BTreeMap::new(),
            similar: BTreeMap::new(),
            budgets: BTreeMap::new(),
            sequence: 0,
        }
    }

    fn observe(&mut self, note: &Note, now: Timestamp) -> Option<Write> {
        if self.counted.len().max(self.similar.len()).max(self.budgets.len()) >= REMEMBERED_MAX {
            self.counted.clear();
            self.similar.clear();
            self.budgets.clear();
        }
        if !self.spend(note, now) {
            return None;
        }
        let (id, message) = self.identify(note, now);
        if let Some(known) = self.counted.get_mut(&id) {
            known.count += 1;
            let patch = json!({"count": known.count, "lastTimestamp": seconds(now), "message": message});
            return Some(Write::Count { key: known.key.clone(), patch });
        }
        Some(self.create(note, id, &message, now))
    }

    /// The counted event is no more: begins again.
    fn restart(&mut self, note: &Note, now: Timestamp) -> Option<Write> {
        let (id, message) = self.identify(note, now);
        self.counted.remove(&id)?;
        Some(self.create(note, id, &message, now))
    }

    fn create(&mut self, note: &Note, id: String, message: &str, now: Timestamp) -> Write {
        let about = &note.about;
        let namespace = if about.key.namespace.is_empty() { "default" } else { &*about.key.namespace };
        self.sequence = (self.sequence + 1).max(now.as_nanosecond());
        let name = format!("{}.{:x}", about.key.name, self.sequence);
        let mut involved = json!({
            "apiVersion": &*about.api_version,
            "kind": &*about.kind,
            "name": &*about.key.name,
            "uid": &*about.uid,
        });
        if !about.key.namespace.is_empty() {
            involved["namespace"] = json!(&*about.key.namespace);
        }
        if let Some(path) = &about.field_path {
            involved["fieldPath"] = json!(path);
        }
        let mut source = json!({"component": self.component});
        if !self.host.is_empty() {
            source["host"] = json!(self.host);
        }
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": &*note.reason,
            "message": message,
            "source": source,
            "firstTimestamp": seconds(now),
            "lastTimestamp": seconds(now),
            "count": 1,
            "type": match note.kind { NoteKind::Normal => "Normal", NoteKind::Warning => "Warning" },
            "eventTime": null,
            "reportingComponent": self.component,
            "reportingInstance": self.host,
        });
        self.counted.insert(id, Counted { key: Key::new(namespace, &name), count: 1 });
        Write::Create { namespace: namespace.to_owned(), event }
    }

    /// By what the note is counted, and the message it is written with.
    fn identify(&mut self, note: &Note, now: Timestamp) -> (String, String) {
        let about = &note.about;
        let path = about.field_path.as_deref().unwrap_or_default();
        let group = format!("{}|{}|{}|{path}|{:?}|{}", about.kind, about.key, about.uid, note.kind, note.reason);
        let similar =
            self.similar.entry(group.clone()).or_insert_with(|| Similar { messages: BTreeSet::new(), last: now });
        if now.duration_since(similar.last) > SIMILAR_WINDOW {
            similar.messages.clear();
        }
        similar.last = now;
        if similar.messages.len() < SIMILAR_MAX {
            similar.messages.insert(note.message.clone());
        }
        if similar.messages.len() < SIMILAR_MAX {
            (format!("{group}|{}", note.message), note.message.clone())
        } else {
            (group, format!("(combined from similar events): {}", note.message))
        }
    }

    fn spend(&mut self, note: &Note, now: Timestamp) -> bool {
        let id = format!("{}|{}|{}", note.about.kind, note.about.key, note.about.uid);
        let budget = self.budgets.entry(id).or_insert(Budget { left: BURST_MAX, at: now });
        let refills = now.duration_since(budget.at).as_secs() / REFILL_SECS;
        if refills > 0 {
            budget.left = (budget.left + refills).min(BURST_MAX);
            budget.at = now;
        }
        budget.left -= 1;
        if budget.left < 0 {
            budget.left = 0;
            return false;
        }
        true
    }
}

/// The API's Time: whole seconds.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache::controller::About;

    fn note(message: &str) -> Note {
        let key = Key::new("shop", "web");
        let about = About { api_version: "v1".into(), kind: "Pod".into(), key, uid: "u".into(), field_path: None };
        Note { about, kind: NoteKind::Normal, reason: "Started".into(), message: message.to_owned() }
    }

    fn told(write: Option<Write>) -> String {
        match write {
            None => "dropped".to_owned(),
            Some(Write::Create { event, .. }) => format!("create {}", event["message"]),
            Some(Write::Count { patch, .. }) => format!("count {} {}", patch["count"], patch["message"]),
        }
    }

    #[test]
    fn an_event_looks_as_upstreams() {
        let now: Timestamp = "2026-01-02T03:04:05.6Z".parse().unwrap();
        let Some(Write::Create { event, .. }) = Correlator::new("kubelet", "n1").observe(&note("up"), now) else {
            panic!("a first note makes an event")
        };
        expect_test::expect![[r#"{"apiVersion":"v1","count":1,"eventTime":null,"firstTimestamp":"2026-01-02T03:04:05Z","involvedObject":{"apiVersion":"v1","kind":"Pod","name":"web","namespace":"shop","uid":"u"},"kind":"Event","lastTimestamp":"2026-01-02T03:04:05Z","message":"up","metadata":{"name":"web.1886caf240597800","namespace":"shop"},"reason":"Started","reportingComponent":"kubelet","reportingInstance":"n1","source":{"component":"kubelet","host":"n1"},"type":"Normal"}"#]]
        .assert_eq(&event.to_string());
    }

    #[test]
    fn repeats_are_counted_similar_ones_combined_and_floods_throttled() {
        let mut correlator = Correlator::new("kubelet", "n1");
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(told(correlator.observe(&note("a"), now)), r#"create "a""#);
        assert_eq!(told(correlator.observe(&note("a"), now)), r#"count 2 "a""#);
        for i in 0..8 {
            assert!(told(correlator.observe(&note(&i.to_string()), now)).starts_with("create"));
        }
        let combined = r#""(combined from similar events): b""#;
        assert_eq!(told(correlator.observe(&note("b"), now)), format!("create {combined}"));
        assert_eq!(told(correlator.observe(&note("b"), now)), format!("count 2 {combined}"));
        let flood: Vec<_> = (0..14).map(|_| told(correlator.observe(&note("b"), now))).collect();
        assert_eq!((flood[12].starts_with("count"), flood[13].as_str()), (true, "dropped"));
        let later = now + SignedDuration::from_secs(REFILL_SECS);
        assert!(told(correlator.observe(&note("b"), later)).starts_with("count"));
    }
}
