//! Load on the API whose every answer is remembered: ConfigMaps created, changed and deleted, over and over.

use std::collections::BTreeMap;
use std::time::Duration;

use api::typed::{ConfigMap, Typed};
use api::{Key, Revision};
use client::{Client, DeleteOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "default";
const NAMES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(100);

/// What may be stored under a name: more than one value where a call ended without an answer.
type Possible = Vec<Option<u64>>;

pub struct Writer {
    client: Client,
    id: usize,
    names: BTreeMap<usize, Possible>,
    next_value: u64,
    newest: Revision,
    pub acknowledged: u64,
    pub unanswered: u64,
    /// What was found that must not be.
    pub wrong: Vec<String>,
}

impl Writer {
    pub fn new(client: Client, id: usize) -> Self {
        let names = (0..NAMES).map(|at| (at, vec![None])).collect();
        let newest = Revision::ZERO;
        Self { client, id, names, next_value: 1, newest, acknowledged: 0, unanswered: 0, wrong: Vec::new() }
    }

    /// Writes until told to stop, then reads everything once more.
    pub async fn run(mut self, stop: CancellationToken) -> Self {
        let mut at = 0;
        while !stop.is_cancelled() {
            at = (at + 1) % NAMES;
            self.turn(at).await;
            tokio::time::sleep(PAUSE).await;
        }
        for at in 0..NAMES {
            while !self.settle(at).await {
                tokio::time::sleep(RETRY).await;
            }
        }
        self
    }

    async fn turn(&mut self, at: usize) {
        if self.names[&at].len() > 1 && !self.settle(at).await {
            tokio::time::sleep(RETRY).await;
            return;
        }
        let held = self.names[&at][0];
        let value = self.next_value;
        self.next_value += 1;
        let gvr = ConfigMap::GVR;
        let (wanted, done) = match held {
            None => {
                let made = self.client.create_object(&gvr, NAMESPACE, &self.object(at, value)).await;
                (Some(value), made.map(|object| Some(object.revision())))
            }
            Some(_) if value.is_multiple_of(5) => {
                let gone = self.client.delete_object(&gvr, &self.key(at), &DeleteOptions::default()).await;
                (None, gone.map(|_| None))
            }
            Some(_) => {
                let put = self.client.update_object(&gvr, &self.key(at), "", &self.object(at, value)).await;
                (Some(value), put.map(|object| Some(object.revision())))
            }
        };
        match done {
            Ok(revision) => {
                self.acknowledged += 1;
                self.names.insert(at, vec![wanted]);
                let Some(revision) = revision else { return };
                if revision <= self.newest {
                    let newest = self.newest;
                    self.wrong.push(format!("revision {revision:?} was given after {newest:?}"));
                }
                self.newest = revision;
            }
            // The server refused, so the call did nothing; and nobody else writes these names.
            Err(error) if error.is_not_found() || error.is_already_exists() || error.is_conflict() => {
                self.wrong.push(format!("{} (held {held:?}): {error}", self.name(at)));
            }
            Err(_) => {
                self.unanswered += 1;
                self.names.insert(at, vec![held, wanted]);
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Reads what is stored; `false` without an answer.
    async fn settle(&mut self, at: usize) -> bool {
        let found = match self.client.read(&ConfigMap::GVR, &self.key(at)).await {
            Ok(object) => {
                let tree = object.tree().unwrap_or(Value::Null);
                tree["data"]["value"].as_str().and_then(|text| text.parse().ok())
            }
            Err(error) if error.is_not_found() => None,
            Err(_) => return false,
        };
        if !self.names[&at].contains(&found) {
            self.wrong.push(format!("{} holds {found:?}, not {:?}", self.name(at), self.names[&at]));
        }
        self.names.insert(at, vec![found]);
        true
    }

    fn name(&self, at: usize) -> String {
        format!("written-{}-{at}", self.id)
    }

    fn key(&self, at: usize) -> Key {
        Key::new(NAMESPACE, &self.name(at))
    }

    fn object(&self, at: usize, value: u64) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name(at)},
            "data": {"value": value.to_string(), "filling": "x".repeat(200)},
        })
    }
}
