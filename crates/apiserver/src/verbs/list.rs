//! GET of a collection: consistent, paged, and joined from already encoded items as it is sent.

use std::collections::VecDeque;

use api::{Key, Object, Revision, Status, protobuf};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use cache::Table;
use serde::{Deserialize, Serialize};
use store::Range;

use super::options::ListOptions;
use super::selection::Selection;
use super::{Answer, AnswerBody, Call};
use crate::output::{Media, Rows, View};
use crate::{output, storage};

/// A list up to this size is sent whole; a longer one in chunks of about this size.
const CHUNK_LEN: usize = 64 << 10;

/// What a continue token says. Opaque to clients.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "rv")]
    revision: u64,
    /// Namespace and name of the first object of the next page.
    start: (String, String),
}

pub(super) async fn list(call: Call) -> Result<Answer, Status> {
    let options = ListOptions::read(&call, false)?;
    let selection = Selection::read(&call)?;
    let (table, start) = table_of(&call, &options).await?;
    let revision = table.revision();
    let start = start.unwrap_or_else(|| Key::new(&call.context.info.namespace, ""));
    let mut objects: VecDeque<Object> = VecDeque::new();
    let mut next = None;
    let mut remaining = 0u64;
    for object in selection.objects_from(&table, start) {
        if options.limit > 0 && objects.len() >= options.limit {
            next.get_or_insert_with(|| object.key());
            remaining += 1;
            if selection.selects() {
                break;
            }
            continue;
        }
        objects.push_back(object.clone());
    }
    let token = next.map(|key| encode_token(revision, &key));
    if token.is_some() {
        call.cache.keep_snapshot(&table);
    }
    let remaining = Some(remaining).filter(|count| *count > 0 && !selection.selects());
    send(call, objects, revision, token, remaining)
}

/// The objects as the options want them: the newest, at least as new as, exactly at, or those of a token.
async fn table_of(call: &Call, options: &ListOptions) -> Result<(Table, Option<Key>), Status> {
    if let Some(text) = &options.continue_token {
        let token = decode_token(text)?;
        let start = Key::new(&token.start.0, &token.start.1);
        return Ok((at_revision(call, Revision(token.revision), Some(&start)).await?, Some(start)));
    }
    match options.revision {
        None => call.catch_up().await?,
        Some(Revision::ZERO) => {}
        Some(revision) if options.exact => return Ok((at_revision(call, revision, None).await?, None)),
        Some(revision) => call.engine.caches().reach(revision).await?,
    }
    Ok((call.cache.table(), None))
}

/// All objects as they were at a revision: from the cache's snapshots, or from the store's history.
async fn at_revision(call: &Call, revision: Revision, start: Option<&Key>) -> Result<Table, Status> {
    call.engine.caches().reach(revision).await?;
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
        other => Status::internal(other),
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
    let token = encode_token(call.cache.table().revision(), start);
    Status { continue_token: Some(token.into()), ..status }
}

fn encode_token(revision: Revision, start: &Key) -> String {
    let token = Token { revision: revision.0, start: (start.namespace.to_string(), start.name.to_string()) };
    let json = serde_json::to_vec(&token).expect("invariant: a token always encodes");
    URL_SAFE_NO_PAD.encode(json)
}

fn decode_token(text: &str) -> Result<Token, Status> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    token.ok_or_else(|| Status::bad_request("continue key is not valid: illegal base64 data or unknown form"))
}

/// `{"kind":"PodList","apiVersion":"v1","metadata":{...},"items":[`
pub(super) fn head(call: &Call, revision: Revision, token: Option<&str>, remaining: Option<u64>) -> Vec<u8> {
    let kind = &call.resource.kind;
    let mut head = format!(
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{},"items":["#,
        kind.kind,
        kind.api_version(),
        list_meta(revision, token, remaining)
    );
    if matches!(call.form.view, View::Partial { .. }) {
        head = head.replacen(&format!("{}List", kind.kind), "PartialObjectMetadataList", 1);
        head = head.replacen(&format!("\"{}\"", kind.api_version()), &format!("\"{}\"", call.form.meta_version), 1);
    }
    head.into_bytes()
}

pub(crate) fn list_meta(revision: Revision, token: Option<&str>, remaining: Option<u64>) -> serde_json::Value {
    let mut meta = serde_json::json!({ "resourceVersion": revision.to_string() });
    if let Some(token) = token {
        meta["continue"] = token.into();
    }
    if let Some(remaining) = remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    meta
}

fn send(
    call: Call,
    objects: VecDeque<Object>,
    revision: Revision,
    token: Option<String>,
    remaining: Option<u64>,
) -> Result<Answer, Status> {
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
    let rest = futures::stream::unfold(writer, |mut writer| async move { writer.chunk().map(|chunk| (chunk, writer)) });
    let stream = futures::StreamExt::chain(futures::stream::iter([first]), rest);
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
        let converted = super::commit::outward(&self.call, object.json().clone()).unwrap_or_default();
        if let Some(rows) = &self.rows {
            out.extend_from_slice(&rows.row(&converted));
        } else if matches!(self.call.form.view, View::Partial { .. }) {
            out.extend_from_slice(&output::partial(&converted, self.call.form.meta_version));
        } else {
            out.put_u8(b'{');
            out.extend_from_slice(&storage::list_item(&converted).unwrap_or_default());
        }
    }
}
