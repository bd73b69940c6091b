//! One table that follows the API server: one list and watch of one selection of objects, and its newest state.
//!
//! Readers are level-triggered: they are told that there is something new, and read all of it. Unlike a [`Hub`](crate::Hub)
//! it also tells why its first list failed, because a pod's status must name the cause.

use api::{Gvr, Object, Revision};
use cache::Table;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::client::Client;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::hub::Selection;
use crate::reflector::{Reflector, Sink};
use crate::watch::WatchEvent;

/// What a [`Follow`] knows.
#[derive(Clone)]
pub struct View {
    pub table: Table,
    /// Whether the first list has been read.
    pub synced: bool,
    /// Why there has been no list yet.
    pub failure: Option<Error>,
}

/// A table that follows the API server until it is dropped.
pub struct Follow {
    view: watch::Receiver<View>,
    _task: AbortOnDropHandle<()>,
}

impl Follow {
    /// Must be called inside a tokio runtime.
    pub fn start(client: Client, resource: Gvr, selection: Selection, env: Env) -> Self {
        let table = Table::new(selection.indexes.clone().into());
        let (sender, view) = watch::channel(View { table, synced: false, failure: None });
        let reflector = Reflector { client, resource, selection, env };
        let task = tokio::spawn(async move { reflector.run(&sender).await });
        Self { view, _task: AbortOnDropHandle::new(task) }
    }

    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Waits for the first list; its failure if there has been none but failures.
    pub async fn synced(&self) -> Result<View> {
        let mut view = self.view.clone();
        let settled = view.wait_for(|view| view.synced || view.failure.is_some()).await;
        let view = settled.map_err(|_| Error::Decode("the follower has ended".to_owned()))?.clone();
        match (&view.failure, view.synced) {
            (Some(failure), false) => Err(failure.clone()),
            _ => Ok(view),
        }
    }
}

impl Sink for watch::Sender<View> {
    fn replace(&self, _: &Gvr, objects: Vec<Object>, revision: Revision) {
        self.send_modify(|view| {
            view.table.replace(objects, revision);
            (view.synced, view.failure) = (true, None);
        });
    }

    fn apply(&self, _: &Gvr, events: Vec<WatchEvent>) {
        self.send_if_modified(|view| {
            let mut is_new = false;
            for event in events {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => drop(view.table.put(object)),
                    WatchEvent::Deleted(object) => drop(view.table.remove(&object.key(), object.revision())),
                    // Nothing that a reader would see.
                    WatchEvent::Bookmark(revision) => {
                        view.table.advance(revision);
                        continue;
                    }
                }
                is_new = true;
            }
            is_new
        });
    }

    fn revision(&self, _: &Gvr) -> Option<Revision> {
        Some(self.borrow().table.revision())
    }

    fn failed(&self, error: &Error) {
        self.send_if_modified(|view| {
            if !view.synced {
                view.failure = Some(error.clone());
            }
            !view.synced
        });
    }
}
