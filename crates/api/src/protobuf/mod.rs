//! Kubernetes' protobuf (`application/vnd.kubernetes.protobuf`), which typed clients send and ask for.
//!
//! An object travels in an envelope (`k8s\0`, then runtime.Unknown). Its fields are numbered by a committed table
//! (`gen/tags.txt`) and typed by the schema; [`plan`] joins the two once, and no kind has code of its own. What JSON
//! leaves out because it is zero is left out here as well: readers of either form find the same.

mod decode;
mod encode;
mod plan;
mod scan;
#[cfg(test)]
mod tests;
pub mod wire;

pub use decode::decode;

use bytes::Bytes;

use wire::{bytes_field, key, nested, varint};

pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
pub const WATCH_CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";
const MAGIC: &[u8] = b"k8s\0";
/// Messages inside messages; Kubernetes' own stay below 20, but for the schemas of custom resources.
const DEPTH_MAX: usize = 128;

/// Why bytes are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoEnvelope,
    #[error("the protobuf message is cut short or malformed")]
    Malformed,
    #[error("the object is not the JSON of its kind")]
    NotJson,
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
}

/// A kind whose objects can be written as protobuf.
#[derive(Clone, Debug)]
pub struct Kind {
    message: u32,
    /// The envelope up to the object: magic, apiVersion and kind.
    head: Bytes,
}

impl Kind {
    /// `None` for kinds without messages, such as custom resources and Tables.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let message = plan::message_of(api_version, kind)?;
        let mut head = MAGIC.to_vec();
        let infallible = nested(&mut head, 1, |out| {
            bytes_field(out, 1, api_version.as_bytes());
            bytes_field(out, 2, kind.as_bytes());
            Ok(())
        });
        infallible.ok()?;
        Some(Self { message, head: head.into() })
    }

    /// The kind that an object's JSON names, which must be near its beginning.
    pub fn of_json(json: &[u8]) -> Option<Self> {
        let (api_version, kind) = scan::type_of(json)?;
        Self::of(&api_version, &kind)
    }

    /// An object's JSON in its envelope.
    pub fn encode(&self, json: &[u8]) -> Result<Bytes, ProtobufError> {
        let mut out = Vec::with_capacity(self.head.len() + json.len() + 16);
        out.extend_from_slice(&self.head);
        nested(&mut out, 2, |out| encode::object(json, self.message, out))?;
        tail(&mut out);
        Ok(out.into())
    }

    /// A list in pieces that follow each other: `meta` is the JSON of its metadata, `items` are objects' JSON.
    pub fn encode_list(&self, meta: &[u8], items: impl Iterator<Item = Bytes>) -> Result<Vec<Bytes>, ProtobufError> {
        let mut raw = Vec::new();
        let list = plan::message(self.message);
        let (Some((meta_number, meta_message)), Some((item_number, item_message))) =
            (list.message_field("metadata"), list.message_field("items"))
        else {
            return Err(ProtobufError::NotJson);
        };
        nested(&mut raw, meta_number, |out| encode::object(meta, meta_message, out))?;
        for item in items {
            nested(&mut raw, item_number, |out| encode::object(&item, item_message, out))?;
        }
        let mut head = self.head.to_vec();
        key(&mut head, 2, wire::LEN);
        varint(&mut head, raw.len() as u64);
        let mut end = Vec::new();
        tail(&mut end);
        Ok(vec![head.into(), raw.into(), end.into()])
    }
}

/// The envelope's encoding and type of content, which are empty.
fn tail(out: &mut Vec<u8>) {
    bytes_field(out, 3, b"");
    bytes_field(out, 4, b"");
}

/// One event of a watch: its length in four bytes, then a WatchEvent around the enveloped object.
pub fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + kind.len() + 24);
    out.extend_from_slice(&[0; 4]);
    bytes_field(&mut out, 1, kind.as_bytes());
    let mut inner = Vec::with_capacity(6);
    key(&mut inner, 1, wire::LEN);
    varint(&mut inner, object.len() as u64);
    key(&mut out, 2, wire::LEN);
    varint(&mut out, (inner.len() + object.len()) as u64);
    out.extend_from_slice(&inner);
    out.extend_from_slice(object);
    let len = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.into()
}
