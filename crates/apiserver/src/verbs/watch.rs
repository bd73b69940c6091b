//! Watch: what is there now (if asked for), then every change, until the time is up, the client goes or it lags too far.
//!
//! ```text
//! initial objects -> [initial-events-end bookmark] -> events ... bookmarks ... -> timeout | 410 ERROR
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use api::{Object, Revision, Status, protobuf};
use bytes::Bytes;
use cache::Table;
use serde_json::json;
use tokio::time::Instant;

use super::options::ListOptions;
use super::selection::Selection;
use super::{Answer, AnswerBody, Call, commit};
use crate::metrics::Delivered;
use crate::output::{self, Media, Rows, View};
use crate::watchcache::event::Seen;
use crate::watchcache::{Event, Look, Registration, frame};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Without a timeout of the client's, a watch ends at a random time within these, so that not all end at once.
const TIMEOUT_MIN_SECS: u64 = 1800;
const TIMEOUT_MAX_SECS: u64 = 1 << 31;
/// The last bookmark comes this long before the end, so that a client can go on from it.
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Frames made ahead of what the client has read.
const BATCH_MAX: usize = 256;

pub(super) async fn watch(call: Call) -> Result<Answer, Status> {
    let options = ListOptions::read(&call, true)?;
    let selection = Selection::read(&call)?;
    let begun = begin(&call, &options, &selection).await?;
    let rows = match call.form.view {
        View::Table(include) => Some(Rows::new(&call, include)),
        View::Object | View::Partial { .. } => None,
    };
    let protobuf = Encoder::of(&call)?;
    let content_type = if protobuf.is_some() { protobuf::WATCH_CONTENT_TYPE } else { "application/json" };
    let now = output::monotonic();
    let timeout = match options.timeout_secs {
        None | Some(0) => TIMEOUT_MIN_SECS + call.engine.rng().below(TIMEOUT_MIN_SECS),
        // A time that is over when it begins.
        Some(secs) => u64::try_from(secs).unwrap_or_default().min(TIMEOUT_MAX_SECS),
    };
    let deadline = now + Duration::from_secs(timeout);
    let mut frames = Frames {
        delivered: call.engine.metrics().watch(&call.resource.gvr),
        plain: call.form.view == View::Object && call.shows_as_stored(),
        protobuf,
        call,
        rows,
        selection,
        place: None,
        seen: Revision::ZERO,
        initial: VecDeque::new(),
        initial_end: None,
        queue: VecDeque::new(),
        events: VecDeque::new(),
        next_bookmark: options.allow_bookmarks.then(|| bookmark_after(now, deadline)).flatten(),
        deadline,
        ended: false,
    };
    frames.take(begun, &options);
    // Boxed, as it is moved with every frame.
    let stream = futures::stream::unfold(Box::new(frames), |mut frames| async move {
        let frame = frames.next().await?;
        Some((frame, frames))
    });
    Ok(Answer { code: 200, content_type, body: AnswerBody::Stream(Box::pin(stream)), warnings: Vec::new() })
}

/// How a watch begins.
enum Begun {
    /// With all objects of this moment.
    At(Table, Registration),
    /// Right behind a revision.
    After(Registration),
    TooOld {
        asked: Revision,
        oldest: Revision,
    },
}

/// A watch from nowhere in particular (no revision, or zero) begins with what is there, as if it had asked for it.
async fn begin(call: &Call, options: &ListOptions, selection: &Selection) -> Result<Begun, Status> {
    let trigger = selection.trigger();
    let legacy = options.revision.is_none_or(|revision| revision == Revision::ZERO);
    match (options.send_initial_events, options.revision) {
        (Some(_), Some(revision)) => call.reach(revision).await?,
        (_, None) => call.catch_up().await?,
        (None, Some(_)) => {}
    }
    if options.send_initial_events.unwrap_or(legacy) {
        let (table, place) = call.cache.list_and_watch(trigger);
        return Ok(Begun::At(table, place));
    }
    if legacy {
        return Ok(Begun::After(call.cache.list_and_watch(trigger).1));
    }
    // A revision that is still to come is waited for by passing over what comes before it.
    let asked = options.revision.unwrap_or_default();
    Ok(match call.cache.watch(trigger, asked) {
        Ok(place) => Begun::After(place),
        Err(oldest) => Begun::TooOld { asked, oldest },
    })
}

/// Roughly every minute, and once shortly before the end.
fn bookmark_after(now: Instant, deadline: Instant) -> Option<Instant> {
    let last = deadline.checked_sub(LAST_BOOKMARK_BEFORE_END)?;
    Some((now + BOOKMARK_EVERY).min(last)).filter(|at| *at > now)
}

/// The state of one watch.
struct Frames {
    call: Call,
    delivered: std::sync::Arc<Delivered>,
    /// Events can be sent as they are encoded for everybody.
    plain: bool,
    protobuf: Option<Encoder>,
    rows: Option<Rows>,
    selection: Selection,
    place: Option<Registration>,
    /// The client has seen everything up to here; it may lie ahead.
    seen: Revision,
    initial: VecDeque<Object>,
    /// The bookmark that ends the initial events.
    initial_end: Option<Revision>,
    events: VecDeque<std::sync::Arc<Event>>,
    queue: VecDeque<Bytes>,
    /// None when the client wants none, or none is left to send.
    next_bookmark: Option<Instant>,
    deadline: Instant,
    ended: bool,
}

impl Frames {
    fn take(&mut self, begun: Begun, options: &ListOptions) {
        match begun {
            Begun::At(table, place) => {
                self.initial = self.selection.objects(&table).cloned().collect();
                let ends = options.allow_bookmarks && options.send_initial_events != Some(false);
                self.initial_end = ends.then(|| table.revision());
                self.place = Some(place);
            }
            Begun::After(place) => {
                self.seen = options.revision.unwrap_or_default();
                self.place = Some(place);
            }
            Begun::TooOld { asked, oldest } => {
                self.end_expired(&format!("too old resource version: {asked} ({oldest})"))
            }
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.queue.pop_front() {
                self.delivered.add(1, frame.len());
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            if self.make_frames() {
                continue;
            }
            self.wait().await;
        }
    }

    /// Makes the next frames from what is at hand; false when there is nothing at hand.
    fn make_frames(&mut self) -> bool {
        if !self.initial.is_empty() {
            for _ in 0..BATCH_MAX {
                let Some(object) = self.initial.pop_front() else { break };
                let frame = self.object_frame(Seen::Added, object.json());
                self.queue.push_back(frame);
            }
            return true;
        }
        if let Some(revision) = self.initial_end.take() {
            let frame = self.bookmark(revision, true);
            self.queue.push_back(frame);
            return true;
        }
        if self.events.is_empty() {
            match self.place.as_ref().map(Registration::look) {
                Some(Look::Events(events)) => self.events = events.into(),
                Some(Look::Nothing) => return false,
                // Its resource is no longer served as it was: the client looks anew.
                Some(Look::Closed) => self.ended = true,
                Some(Look::Gone) | None => self.end_expired("The resourceVersion for the provided watch is too old."),
            }
        }
        for _ in 0..BATCH_MAX {
            let Some(event) = self.events.pop_front() else { break };
            if event.revision <= self.seen {
                continue;
            }
            if let Some(seen) = event.seen(|object| self.selection.matches(object)) {
                let frame = match (self.plain, &self.protobuf) {
                    (true, None) => event.line(seen),
                    (true, Some(encoder)) => event.protobuf(seen, |json| encoder.frame(seen.as_str(), json)),
                    (false, _) => self.object_frame(seen, &event.json(seen)),
                };
                self.queue.push_back(frame);
            }
        }
        true
    }

    async fn wait(&mut self) {
        let Some(place) = &self.place else { return };
        let timer = self.next_bookmark.map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
        tokio::select! {
            biased;
            () = place.woken() => return,
            () = tokio::time::sleep_until(timer) => {}
        }
        if timer == self.deadline {
            self.ended = true;
            return;
        }
        // What came up to here is in the window by now, though nobody may have been woken for it yet: it goes first.
        let settled = place.settled();
        if self.make_frames() {
            return;
        }
        self.next_bookmark = bookmark_after(timer, self.deadline);
        // Who waits for a revision to come is told nothing older.
        if settled >= self.seen {
            let frame = self.bookmark(settled, false);
            self.queue.push_back(frame);
        }
    }

    fn object_frame(&mut self, seen: Seen, json: &Bytes) -> Bytes {
        let json = commit::outward(&self.call, json.clone()).unwrap_or_default();
        let shown = match (&mut self.rows, self.call.form.view) {
            (Some(rows), _) => rows.table_of(&json),
            (None, View::Partial { .. }) => output::partial(&json, self.call.form.meta_version),
            (None, _) => json,
        };
        self.frame(seen.as_str(), &shown)
    }

    fn bookmark(&mut self, revision: Revision, initial_end: bool) -> Bytes {
        let kind = &self.call.resource.kind;
        let mut object = json!({
            "kind": kind.kind, "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": revision.to_string() }
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        if matches!(self.call.form.view, View::Partial { .. }) {
            object["kind"] = "PartialObjectMetadata".into();
            object["apiVersion"] = self.call.form.meta_version.into();
            return self.frame("BOOKMARK", object.to_string().as_bytes());
        }
        if let Some(rows) = &mut self.rows {
            return frame("BOOKMARK", &rows.bookmark_table(&object));
        }
        // Otherwise it is an empty object of the kind, with what such a one always shows.
        if let Ok(schema) = super::decode::schema_of(&self.call.resource) {
            api::schema::normalize(&mut object, schema);
        }
        self.frame("BOOKMARK", object.to_string().as_bytes())
    }

    fn frame(&self, kind: &str, json: &[u8]) -> Bytes {
        match &self.protobuf {
            Some(encoder) => encoder.frame(kind, json),
            None => frame(kind, json),
        }
    }

    fn end_expired(&mut self, why: &str) {
        self.queue.push_back(self.frame("ERROR", &Status::expired(why).to_json()));
        self.ended = true;
        self.place = None;
    }
}

/// Makes the frames of a watch in protobuf.
struct Encoder {
    kind: protobuf::Kind,
    status: protobuf::Kind,
}

impl Encoder {
    fn of(call: &Call) -> Result<Option<Self>, Status> {
        if call.form.media != Media::Protobuf {
            return Ok(None);
        }
        let kind = &call.resource.kind;
        let known = match call.form.view {
            View::Object => protobuf::Kind::of(&kind.api_version(), &kind.kind),
            View::Partial { .. } | View::Table(_) => {
                protobuf::Kind::of(call.form.meta_version, "PartialObjectMetadata")
            }
        };
        match (known, protobuf::Kind::of("v1", "Status")) {
            (Some(kind), Some(status)) => Ok(Some(Self { kind, status })),
            _ => Err(Status::internal(format!("{} has no protobuf", kind.kind))),
        }
    }

    /// A frame around an object's JSON, or around a Status in an ERROR.
    fn frame(&self, event: &str, json: &[u8]) -> Bytes {
        let kind = if event == "ERROR" { &self.status } else { &self.kind };
        let object = kind.encode(json).inspect_err(|error| tracing::error!(%error, "cannot encode a watched object"));
        protobuf::frame(event, &object.unwrap_or_default())
    }
}
