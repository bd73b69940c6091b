//! Calls to the API: by resource and key for whole objects as bytes, and by kind for typed ones.
//!
//! A call that is no watch has a time limit. Nothing is retried here: the caller knows whether a write may be repeated.

use std::sync::Arc;
use std::time::Duration;

use api::typed::Typed;
use api::{Gvr, Key, Object, Revision, Status};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Result;
use crate::query::{DeleteOptions, ListQuery, Patch, WatchQuery};
use crate::transport::{Body, Transport, TransportError};
use crate::watch::WatchStream;

/// How long a call that is no watch may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How many objects a page of [`Client::list_all`] holds.
const PAGE_LEN: usize = 500;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Calls the API as one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: Arc<str>,
    timeout: Duration,
    metadata_only: bool,
}

/// Part of a list, in key order.
#[derive(Clone, Debug)]
pub struct Page {
    pub items: Vec<Object>,
    pub revision: Revision,
    /// Asks for the next page; empty on the last one.
    pub continue_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireList<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: WireListMeta,
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
}

impl Client {
    /// `name` is the component's; the API server takes it as the field manager of its writes.
    pub fn new(transport: Arc<dyn Transport>, name: &str) -> Self {
        let user_agent = format!("{name}/{}", env!("CARGO_PKG_VERSION")).into();
        Self { transport, user_agent, timeout: CALL_TIMEOUT, metadata_only: false }
    }

    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads, lists and watches ask for metadata only (as PartialObjectMetadata, which the server may decline).
    pub(crate) fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    pub async fn read(&self, resource: &Gvr, key: &Key) -> Result<Object> {
        let path = resource.path(&key.namespace, &key.name);
        let accept = if self.metadata_only { METADATA } else { JSON };
        self.object(self.request(Method::GET, &path, accept, None)).await
    }

    /// All objects (of a namespace, where it is not empty) that the query selects, or a page of them.
    pub async fn page(&self, resource: &Gvr, namespace: &str, query: &ListQuery) -> Result<Page> {
        let path = resource.path(namespace, "") + &query.to_query();
        let accept = if self.metadata_only { METADATA_LIST } else { JSON };
        let body = self.call(self.request(Method::GET, &path, accept, None)).await?;
        decode_list(&body)
    }

    /// All pages in one. The revision is the first page's: what all of them show.
    pub async fn list_all(&self, resource: &Gvr, namespace: &str, query: &ListQuery) -> Result<Page> {
        let mut query = ListQuery { limit: PAGE_LEN, continue_token: String::new(), ..query.clone() };
        let mut all = self.page(resource, namespace, &query).await?;
        while !all.continue_token.is_empty() {
            query.continue_token = std::mem::take(&mut all.continue_token);
            let next = self.page(resource, namespace, &query).await?;
            all.items.extend(next.items);
            all.continue_token = next.continue_token;
        }
        Ok(all)
    }

    pub async fn watch(&self, resource: &Gvr, namespace: &str, query: &WatchQuery) -> Result<WatchStream> {
        let path = resource.path(namespace, "") + &query.to_query();
        let accept = if self.metadata_only { METADATA } else { JSON };
        Ok(WatchStream::new(self.stream(self.request(Method::GET, &path, accept, None)?).await?))
    }

    pub async fn create_object(&self, resource: &Gvr, namespace: &str, object: &Value) -> Result<Object> {
        let path = resource.path(namespace, "");
        self.object(self.request(Method::POST, &path, JSON, Some((JSON, object)))).await
    }

    /// Replaces the object (`subresource` empty) or a part such as `status`.
    pub async fn update_object(&self, resource: &Gvr, key: &Key, subresource: &str, object: &Value) -> Result<Object> {
        let path = path_of(resource, key, subresource);
        self.object(self.request(Method::PUT, &path, JSON, Some((JSON, object)))).await
    }

    pub async fn patch_object(&self, resource: &Gvr, key: &Key, subresource: &str, patch: &Patch) -> Result<Object> {
        let path = path_of(resource, key, subresource) + &patch.to_query();
        let body = Some((patch.content_type(), patch.body()));
        self.object(self.request(Method::PATCH, &path, JSON, body)).await
    }

    /// The object, where it goes on to exist (graceful deletion, finalizers) or the server tells its last state;
    /// `None` where the answer is a plain success.
    pub async fn delete_object(&self, resource: &Gvr, key: &Key, options: &DeleteOptions) -> Result<Option<Object>> {
        let path = resource.path(&key.namespace, &key.name);
        let body = options.to_tree();
        let answer = self.call(self.request(Method::DELETE, &path, JSON, Some((JSON, &body)))).await?;
        let object = Object::decode(answer, &[])?;
        Ok((&*object.meta().kind != "Status").then_some(object))
    }

    pub async fn delete_collection(&self, resource: &Gvr, namespace: &str, query: &ListQuery) -> Result<()> {
        let path = resource.path(namespace, "") + &query.to_query();
        self.call(self.request(Method::DELETE, &path, JSON, None)).await.map(drop)
    }

    /// Deletes the pod if its disruption budgets allow it (429 otherwise).
    pub async fn evict(&self, pod: &Key, options: &DeleteOptions) -> Result<()> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": &*pod.name, "namespace": &*pod.namespace},
            "deleteOptions": options.to_tree(),
        });
        self.post(&format!("/api/v1/namespaces/{}/pods/{}/eviction", pod.namespace, pod.name), &eviction)
            .await
            .map(drop)
    }

    /// POST to any path, such as a token or binding subresource.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.call(self.request(Method::POST, path, JSON, Some((JSON, body)))).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// What a GET of any path answers, as it comes, however long that takes.
    pub async fn download(&self, path: &str) -> Result<Body> {
        self.stream(self.request(Method::GET, path, "*/*", None)?).await
    }

    /// The body of a GET of any path.
    pub async fn raw(&self, path: &str) -> Result<Bytes> {
        self.call(self.request(Method::GET, path, JSON, None)).await
    }

    pub async fn get<T: Typed>(&self, namespace: &str, name: &str) -> Result<T> {
        Ok(self.read(&T::GVR, &Key::new(namespace, name)).await?.typed()?)
    }

    pub async fn list<T: Typed>(&self, namespace: &str, query: &ListQuery) -> Result<Vec<T>> {
        let page = self.list_all(&T::GVR, namespace, query).await?;
        page.items.iter().map(|object| Ok(object.typed()?)).collect()
    }

    pub async fn create<T: Typed>(&self, namespace: &str, object: &T) -> Result<T> {
        Ok(self.create_object(&T::GVR, namespace, &object.to_tree()).await?.typed()?)
    }

    /// Replaces the object of this name; fails with a conflict if its resourceVersion is no longer the newest.
    pub async fn update<T: Typed>(&self, object: &T) -> Result<T> {
        let tree = object.to_tree();
        Ok(self.update_object(&T::GVR, &key_of(&tree), "", &tree).await?.typed()?)
    }

    pub async fn update_status<T: Typed>(&self, object: &T) -> Result<T> {
        let tree = object.to_tree();
        Ok(self.update_object(&T::GVR, &key_of(&tree), "status", &tree).await?.typed()?)
    }

    pub async fn patch<T: Typed>(&self, namespace: &str, name: &str, patch: &Patch) -> Result<T> {
        Ok(self.patch_object(&T::GVR, &Key::new(namespace, name), "", patch).await?.typed()?)
    }

    pub async fn delete<T: Typed>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<()> {
        self.delete_object(&T::GVR, &Key::new(namespace, name), options).await.map(drop)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Request<Bytes>> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, &*self.user_agent);
        let mut bytes = Bytes::new();
        if let Some((content_type, tree)) = body {
            builder = builder.header(header::CONTENT_TYPE, content_type);
            bytes = serde_json::to_vec(tree).expect("invariant: a tree always encodes").into();
        }
        builder.body(bytes).map_err(|error| Status::bad_request(format!("{path:?} is no path: {error}")).into())
    }

    async fn object(&self, request: Result<Request<Bytes>>) -> Result<Object> {
        Ok(Object::decode(self.call(request).await?, &[])?)
    }

    /// Only the answer's head, and what is told of a failure, have a time limit.
    async fn stream(&self, request: Request<Bytes>) -> Result<Body> {
        let sent = tokio::time::timeout(self.timeout, self.transport.send(request));
        let response = sent.await.map_err(|_| TransportError::Timeout)??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let collected = tokio::time::timeout(self.timeout, collect(response)).await;
        Err(collected.map_err(|_| TransportError::Timeout)?.err().unwrap_or(TransportError::Timeout.into()))
    }

    async fn call(&self, request: Result<Request<Bytes>>) -> Result<Bytes> {
        let request = request?;
        let exchange = async { collect(self.transport.send(request).await?).await };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| TransportError::Timeout)?
    }
}

fn path_of(resource: &Gvr, key: &Key, subresource: &str) -> String {
    let mut path = resource.path(&key.namespace, &key.name);
    if !subresource.is_empty() {
        path.push('/');
        path.push_str(subresource);
    }
    path
}

fn key_of(tree: &Value) -> Key {
    let text = |field: &str| tree["metadata"][field].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

async fn collect(response: Response<Body>) -> Result<Bytes> {
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if code.is_success() {
        return Ok(body);
    }
    let told = serde_json::from_slice::<Status>(&body).ok().filter(|status| status.code != 0);
    Err(told
        .unwrap_or_else(|| {
            let reason = code.canonical_reason().unwrap_or_default();
            Status::failure(code.as_u16(), reason, format!("{code}: {}", String::from_utf8_lossy(&body).trim()))
        })
        .into())
}

fn decode_list(body: &[u8]) -> Result<Page> {
    let list: WireList<'_> = serde_json::from_slice(body)?;
    let kind = list.kind.strip_suffix("List").unwrap_or_default();
    let items = list.items.unwrap_or_default();
    let items: Result<Vec<Object>> =
        items.into_iter().map(|item| decode_item(item.get(), &list.api_version, kind)).collect();
    Ok(Page {
        items: items?,
        revision: list.metadata.resource_version.parse().unwrap_or_default(),
        continue_token: list.metadata.continue_token,
    })
}

/// An item of a list as an object of its own. Upstream's lists leave the type out of their items.
fn decode_item(item: &str, api_version: &str, kind: &str) -> Result<Object> {
    let object = Object::decode(Bytes::copy_from_slice(item.as_bytes()), &[])?;
    if !object.meta().kind.is_empty() || kind.is_empty() {
        return Ok(object);
    }
    let inside = item.trim_start().strip_prefix('{').unwrap_or("}").trim_start();
    let comma = if inside.starts_with('}') { "" } else { "," };
    let typed = format!(r#"{{"kind":{},"apiVersion":{}{comma}{inside}"#, json!(kind), json!(api_version));
    Ok(Object::decode(Bytes::from(typed), &[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_list_are_given_the_type_that_the_list_names() {
        let body = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},
            "items":[{"metadata":{"name":"a"}},{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"}}]}"#;
        let page = decode_list(body).unwrap();
        let types: Vec<_> = page.items.iter().map(|o| (o.name(), &*o.meta().kind, &*o.meta().api_version)).collect();
        assert_eq!(types, [("a", "Pod", "v1"), ("b", "Pod", "v1")]);
        assert_eq!((page.revision, page.continue_token.as_str()), (Revision(7), "c"));
    }
}
