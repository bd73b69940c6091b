//! GET of a collection: consistent, paged, and joined from already encoded items as it is sent.

use std::collections::VecDeque;

use api::{Key, Object, Revision, Status, protobuf};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use cache::Table;
use serde::{Deserialize, Serialize};
use store::Range;

use super::options::{Freshness, ListOptions};
use super::selection::Selection;
use super::{Answer, AnswerBody, Call};
use crate::output::{Media, Rows, View};
use crate::{output, storage};

/// A list up to this size is sent whole; a longer one in chunks of about this size.
const CHUNK_LEN: usize = 64 << 10;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
/// The revision of a token that goes on at whatever is newest.
const NEWEST: i64 = -1;

/// What a continue token says; in upstream's form, though opaque to clients.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Token {
    #[serde(rename = "v")]
    version: String,
    #[serde(rename = "rv")]
    revision: i64,
    /// The key behind the last object of the page, within what is listed: `name\0` or `namespace/name\0`.
    start: String,
}

/// One page: its objects, and where the next begins.
pub(super) struct Page {
    pub objects: VecDeque<Object>,
    pub revision: Revision,
    token: Option<String>,
    remaining: Option<u64>,
}

pub(super) async fn list(call: Call) -> Result<Answer, Status> {
    let options = ListOptions::read(&call, false)?;
    let page = page(&call, &options).await?;
    send(call, page)
}

/// The objects that a list (or the deletion of a collection) is about.
pub(super) async fn page(call: &Call, options: &ListOptions) -> Result<Page, Status> {
    let selection = Selection::read(call)?;
    let (table, start) = table_of(call, options).await?;
    let revision = table.revision();
    let start = start.unwrap_or_else(|| Key::new(&call.context.info.namespace, ""));
    let mut page = Page { objects: VecDeque::new(), revision, token: None, remaining: None };
    let mut candidates = selection.candidates_from(&table, start);
    while let Some(object) = candidates.next() {
        if !selection.matches(object) {
            continue;
        }
        page.objects.push_back(object.clone());
        if page.objects.len() != options.limit {
            continue;
        }
        // What is left may match or not: upstream does not look at it before it gives out a token.
        let left = if selection.selects() { candidates.next().map_or(0, |_| 1) } else { candidates.count() as u64 };
        if left > 0 {
            page.token = Some(encode_token(call, i64::try_from(revision.0).unwrap_or(NEWEST), &behind(&object.key())));
            page.remaining = Some(left).filter(|_| !selection.selects());
            call.cache.keep_snapshot(&table);
        }
        break;
    }
    Ok(page)
}

/// The objects as the options want them: the newest, at least as new as, exactly at, or those of a token.
async fn table_of(call: &Call, options: &ListOptions) -> Result<(Table, Option<Key>), Status> {
    if let Some(text) = &options.continue_token {
        let (revision, start) = decode_token(call, text)
            .map_err(|why| Status::bad_request(format!("invalid continue token: continue key is not valid{why}")))?;
        let Ok(revision) = u64::try_from(revision) else {
            call.catch_up().await?;
            return Ok((call.cache.table(), Some(start)));
        };
        return Ok((at_revision(call, Revision(revision), Some(&start)).await?, Some(start)));
    }
    match options.freshness() {
        Freshness::Newest => call.catch_up().await?,
        Freshness::Any => {}
        Freshness::NotOlderThan(revision) => call.reach(revision).await?,
        Freshness::Exactly(revision) => return Ok((at_revision(call, revision, None).await?, None)),
    }
    Ok((call.cache.table(), None))
}

/// All objects as they were at a revision: from the cache's snapshots, or from the store's history.
async fn at_revision(call: &Call, revision: Revision, start: Option<&Key>) -> Result<Table, Status> {
    call.reach(revision).await?;
    if let Some(mut table) = call.cache.snapshot(revision) {
        if table.revision() != revision {
            table = at_exact_revision(table, revision);
        }
        return Ok(table);
    }
    let prefix = storage::prefix(&call.stored.gvr);
    let mut end = prefix.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let range = Range { start: prefix.into(), end: end.into(), at: Some(revision), limit: None };
    let page = call.engine.store().range(range).await.map_err(|error| match error {
        store::StoreError::Compacted { .. } => expired(call, start),
        other => storage::failed(other),
    })?;
    let mut table = Table::new(std::sync::Arc::new([]));
    for entry in &page.entries {
        if let Some(object) = call.cache.decode(&entry.value, entry.modified) {
            table.put(object);
        }
    }
    table.advance(revision);
    Ok(table)
}

/// Nothing happened between `revision` and the table's own, so the older one holds for it as well.
fn at_exact_revision(table: Table, revision: Revision) -> Table {
    let mut older = Table::new(std::sync::Arc::new([]));
    for object in table.iter() {
        older.put(object.clone());
    }
    older.advance(revision);
    older
}

/// 410: the history is gone. For a page, a token is offered that goes on at the newest revision.
fn expired(call: &Call, start: Option<&Key>) -> Status {
    let Some(start) = start else {
        return Status::expired("The resourceVersion for the provided list is too old.");
    };
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = encode_token(call, NEWEST, start);
    Status { continue_token: Some(token.into()), ..status }
}

/// The first key after `key`.
fn behind(key: &Key) -> Key {
    Key::new(&key.namespace, &format!("{}\0", key.name))
}

fn encode_token(call: &Call, revision: i64, start: &Key) -> String {
    let within = call.context.info.namespace.is_empty() && !start.namespace.is_empty();
    let start = if within { start.to_string() } else { start.name.to_string() };
    let token = Token { version: TOKEN_VERSION.to_owned(), revision, start };
    let json = serde_json::to_vec(&token).expect("invariant: a token always encodes");
    URL_SAFE_NO_PAD.encode(json)
}

/// The revision and the first key of the next page. A key may not lead out of what is listed.
fn decode_token(call: &Call, text: &str) -> Result<(i64, Key), String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| format!(": {}", base64_fault(text, &error)))?;
    let token: Token =
        serde_json::from_slice(&bytes).map_err(|error| format!(": {}", api::schema::syntax_error(&bytes, &error)))?;
    if token.version != TOKEN_VERSION {
        return Err(format!(": server does not recognize this encoded version {}", token.version));
    }
    if token.revision == 0 {
        return Err(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned());
    }
    if token.start.is_empty() {
        return Err(": encoded start key empty (version meta.k8s.io/v1)".to_owned());
    }
    let path = token.start.strip_prefix('/').unwrap_or(&token.start);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!(": {}", token.start));
    }
    let namespace = &call.context.info.namespace;
    let (namespace, name) = match path.split_once('/') {
        Some((inner, name)) if namespace.is_empty() => (inner, name),
        _ => (namespace.as_str(), path),
    };
    Ok((token.revision, Key::new(namespace, name)))
}

/// Go's words for text that is no base64.
fn base64_fault(text: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len().saturating_sub(1),
    };
    format!("illegal base64 data at input byte {at}")
}

/// `{"kind":"PodList","apiVersion":"v1","metadata":{...},"items":[`
fn head(call: &Call, revision: Revision, token: Option<&str>, remaining: Option<u64>) -> Vec<u8> {
    let kind = &call.resource.kind;
    let mut head = format!(
        r#"{{"kind":"{}","apiVersion":"{}","metadata":{},"items":["#,
        call.resource.list_kind(),
        kind.api_version(),
        list_meta(revision, token, remaining)
    );
    if matches!(call.form.view, View::Partial { .. }) {
        head = head.replacen(&call.resource.list_kind(), "PartialObjectMetadataList", 1);
        head = head.replacen(&format!("\"{}\"", kind.api_version()), &format!("\"{}\"", call.form.meta_version), 1);
    }
    head.into_bytes()
}

pub(crate) fn list_meta(revision: Revision, token: Option<&str>, remaining: Option<u64>) -> serde_json::Value {
    let mut meta = serde_json::json!({});
    if revision != Revision::ZERO {
        meta["resourceVersion"] = revision.to_string().into();
    }
    if let Some(token) = token {
        meta["continue"] = token.into();
    }
    if let Some(remaining) = remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    meta
}

/// Those of the objects that the request selects: a list of what is not stored.
pub(crate) fn send_selected(call: Call, mut objects: VecDeque<Object>, revision: Revision) -> Result<Answer, Status> {
    let selection = Selection::read(&call)?;
    objects.retain(|object| selection.matches(object));
    send(call, Page { objects, revision, token: None, remaining: None })
}

pub(super) fn send(mut call: Call, page: Page) -> Result<Answer, Status> {
    let warnings = std::mem::take(&mut call.warnings);
    let mut answer = encoded(call, page)?;
    answer.warnings = warnings;
    Ok(answer)
}

fn encoded(call: Call, page: Page) -> Result<Answer, Status> {
    let Page { objects, revision, token, remaining } = page;
    if call.form.view == (View::Partial { list: false }) {
        let kind = output::go_type(&call.resource.kind);
        let why = format!("you requested PartialObjectMetadata, but the requested object is a list ({kind}List)");
        return Err(output::refused(why));
    }
    if call.form.media == Media::Protobuf {
        return send_protobuf(&call, &objects, &list_meta(revision, token.as_deref(), remaining));
    }
    let rows = match call.form.view {
        View::Table(include) => Some(Rows::new(&call, include)),
        View::Object | View::Partial { .. } => None,
    };
    let mut head = match &rows {
        Some(rows) => rows.head(&list_meta(revision, token.as_deref(), remaining)),
        None => head(&call, revision, token.as_deref(), remaining),
    };
    if objects.is_empty() && matches!(call.form.view, View::Partial { .. }) {
        // Upstream's empty list of metadata is null.
        head.truncate(head.len() - 1);
        head.extend_from_slice(b"null}");
        return Ok(Answer::json(200, head.into()));
    }
    // What is converted as a whole must be whole.
    let in_one = call.form.media != (Media::Json { pretty: false });
    let mut writer = ListWriter { call, rows, objects, started: false, head: Some(head) };
    let first = writer.chunk().unwrap_or_default();
    if writer.objects.is_empty() || in_one {
        let mut whole = BytesMut::from(&first[..]);
        while let Some(chunk) = writer.chunk() {
            whole.extend_from_slice(&chunk);
        }
        return Ok(Answer::json(200, whole.freeze()));
    }
    let chunks = std::iter::once(first).chain(std::iter::from_fn(move || writer.chunk()));
    let stream = futures::stream::iter(chunks);
    Ok(Answer {
        code: 200,
        content_type: "application/json",
        body: AnswerBody::Stream(Box::pin(stream)),
        warnings: Vec::new(),
    })
}

/// A protobuf list says its length first, so its items are encoded before it is sent.
fn send_protobuf(call: &Call, objects: &VecDeque<Object>, meta: &serde_json::Value) -> Result<Answer, Status> {
    let kind = &call.resource.kind;
    let is_partial = call.form.view != View::Object;
    let known = match is_partial {
        true => protobuf::Kind::of(call.form.meta_version, "PartialObjectMetadataList"),
        false => protobuf::Kind::of(&kind.api_version(), &format!("{}List", kind.kind)),
    };
    let known = known.ok_or_else(|| Status::internal(format!("{} has no protobuf list", kind.kind)))?;
    let items = objects.iter().map(|object| super::commit::outward(call, object.json().clone()).unwrap_or_default());
    let pieces = known.encode_list(meta.to_string().as_bytes(), items).map_err(Status::internal)?;
    Ok(Answer {
        code: 200,
        content_type: protobuf::CONTENT_TYPE,
        body: AnswerBody::Stream(Box::pin(futures::stream::iter(pieces))),
        warnings: Vec::new(),
    })
}

/// Joins items chunk by chunk, so that a long list is never whole in memory.
struct ListWriter {
    call: Call,
    rows: Option<Rows>,
    objects: VecDeque<Object>,
    started: bool,
    /// Taken by the first chunk; the last chunk closes what it opened.
    head: Option<Vec<u8>>,
}

impl ListWriter {
    fn chunk(&mut self) -> Option<Bytes> {
        let first = self.head.take();
        if first.is_none() && self.objects.is_empty() {
            return None;
        }
        let mut out = BytesMut::with_capacity(CHUNK_LEN + 4096);
        out.extend_from_slice(&first.unwrap_or_default());
        while out.len() < CHUNK_LEN {
            let Some(object) = self.objects.pop_front() else { break };
            self.item(&mut out, &object);
        }
        if self.objects.is_empty() {
            out.extend_from_slice(b"]}");
        }
        Some(out.freeze())
    }

    fn item(&mut self, out: &mut BytesMut, object: &Object) {
        if std::mem::replace(&mut self.started, true) {
            out.put_u8(b',');
        }
        let converted;
        let json = match self.call.shows_as_stored() {
            true => object.json(),
            false => {
                converted = super::commit::outward(&self.call, object.json().clone()).unwrap_or_default();
                &converted
            }
        };
        if let Some(rows) = &self.rows {
            out.extend_from_slice(&rows.row(json));
        } else if matches!(self.call.form.view, View::Partial { .. }) {
            out.extend_from_slice(&output::partial(json, self.call.form.meta_version));
        } else {
            out.put_u8(b'{');
            out.extend_from_slice(storage::list_item(json).unwrap_or_default());
        }
    }
}
