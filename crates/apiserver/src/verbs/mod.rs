//! What comes in through [`crate::Engine::dispatch`], what goes out, and which verb answers it.
//!
//! The way of a write, each stage in the file of its name:
//! decode -> default -> admission (mutate) -> prepare -> validate -> admission (validate) -> commit.

mod commit;
mod create;
mod decode;
mod delete;
mod get;
mod list;
mod managed;
mod meta;
mod options;
mod params;
mod patch;
mod prepare;
mod selection;
mod update;
mod validate;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use api::status::About;
use api::{Key, Revision, Status};
use bytes::Bytes;
use futures::Stream;

use crate::engine::Engine;
use crate::output::{self, Form, Offer};
use crate::request::{ResourceRequest, Verb};
use crate::resource::{Resource, Review, Subresource};
use crate::storage;
use crate::subresources;
use crate::user::User;
use crate::watchcache::WatchCache;

pub(crate) use crate::output::json_of;
pub(crate) use commit::{CommitError, encode, put};
pub(crate) use decode::{decode_as, decode_review, named_schema};
pub(crate) use list::send_selected;
pub(crate) use managed::{Tracking, foreign, track_review};
pub(crate) use meta::{check_name, timestamp};
pub use params::Params;
pub(crate) use params::unescape;
pub(crate) use patch::{Patch, configuration};
pub(crate) use {commit::Expect, create::create_object, delete::delete_object, update::Existing, update::replace};
pub(crate) use {options::DeleteOptions, options::Preconditions, options::WriteOptions};

/// A request for a resource, authenticated and authorized.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub info: ResourceRequest,
    pub user: User,
    pub params: Params,
    /// Headers as sent; empty when absent.
    pub content_type: String,
    pub accept: String,
    pub user_agent: String,
    pub body: Bytes,
}

impl RequestContext {
    /// A request of the API server itself, which goes through the same stages as every other.
    pub(crate) fn own(info: ResourceRequest, body: String) -> Self {
        Self {
            info,
            user: User::component("system:apiserver", &["system:masters"]),
            params: Params::default(),
            content_type: "application/json".to_owned(),
            accept: String::new(),
            user_agent: "kube-apiserver".to_owned(),
            body: body.into(),
        }
    }
}

/// A successful answer.
pub struct Answer {
    pub code: u16,
    pub content_type: &'static str,
    pub body: AnswerBody,
    /// Texts for `Warning: 299 - "..."` headers.
    pub warnings: Vec<String>,
}

pub enum AnswerBody {
    Whole(Bytes),
    /// Large lists and watches; a watch ends when its stream ends, and stops when it is dropped.
    Stream(AnswerStream),
}

pub type AnswerStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A request on its way: what it is about, and what it has gathered.
pub(crate) struct Call {
    pub engine: Arc<Engine>,
    pub resource: Arc<Resource>,
    /// Where its objects are stored; the resource itself, nearly always.
    pub stored: Arc<Resource>,
    pub cache: Arc<WatchCache>,
    pub context: RequestContext,
    pub form: Form,
    pub warnings: Vec<String>,
}

impl Call {
    /// The object of the request, for messages; the name from the path.
    pub fn about(&self) -> About<'_> {
        self.about_name(&self.context.info.name)
    }

    pub fn about_name<'a>(&'a self, name: &'a str) -> About<'a> {
        About { group: &self.resource.gvr.group, resource: &self.resource.gvr.resource, name }
    }

    pub fn key(&self) -> Key {
        self.key_of(&self.context.info.name)
    }

    pub fn key_of(&self, name: &str) -> Key {
        Key::new(&self.context.info.namespace, name)
    }

    /// Whether the stored JSON of an object is what clients of this version see.
    pub fn shows_as_stored(&self) -> bool {
        self.resource.hooks.from_stored.is_none() && self.resource.custom.as_ref().is_none_or(|custom| custom.single)
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.engine.clock().now()
    }

    /// The subresource as in the path; empty for the object itself.
    pub fn subresource(&self) -> &str {
        &self.context.info.subresource
    }

    /// The objects of the caches at this moment are at least as new as every write acknowledged before.
    pub async fn catch_up(&self) -> Result<(), Status> {
        self.engine.caches().catch_up(&**self.engine.store()).await
    }

    /// The objects of the caches at this moment are at least as new as `revision`.
    pub async fn reach(&self, revision: Revision) -> Result<(), Status> {
        if self.engine.caches().revision() < revision {
            // Another server may have given it for a change of what no cache holds; asked for its newest revision, the
            // store tells our caches as well.
            self.engine.store().current().await.map_err(storage::failed)?;
        }
        self.engine.caches().reach(revision).await
    }

    /// JSON of one object in the form that was asked for.
    pub fn answer(self, code: u16, json: Bytes) -> Result<Answer, Status> {
        crate::output::object(self, code, json)
    }
}

/// Answers an authorized request.
pub(crate) async fn dispatch(engine: &Arc<Engine>, context: RequestContext) -> Result<Answer, Status> {
    let info = &context.info;
    let registry = engine.registry();
    let resource = registry.find(&info.group, &info.version, &info.resource).ok_or_else(no_such_resource)?.clone();
    match resource.review {
        None => {}
        Some(Review::Components) => {
            let deprecated = resource.deprecated.unwrap_or_default();
            return Ok(with_warning(crate::components::answer(engine, resource, context).await, deprecated));
        }
        Some(_) => return crate::reviews::answer(engine, resource, context).await,
    }
    let stored = registry.stored(&resource).clone();
    let cache = engine.caches().get(&stored.gvr).ok_or_else(no_such_resource)?.clone();
    if info.namespace.is_empty() && resource.is_namespaced() && !matches!(info.verb, Verb::List | Verb::Watch) {
        return Err(no_such_resource());
    }
    let form = form_of(&context, &resource)?.with_include(context.params.get("includeObject"))?;
    let subresource = find_subresource(&resource, &info.subresource)?;
    if info.verb == Verb::Create && resource.custom.as_ref().is_some_and(|custom| custom.terminating) {
        let message = "create not allowed while custom resource definition is terminating";
        return Err(Status::failure(405, "MethodNotAllowed", message));
    }
    let custom = resource.custom.clone();
    let deprecated = custom.as_ref().map_or(resource.deprecated, |custom| custom.warning.as_deref());
    let call = Call { engine: engine.clone(), resource, stored, cache, context, form, warnings: Vec::new() };
    let answer = match subresource {
        Some(subresource) => dispatch_subresource(call, subresource).await,
        None => dispatch_verb(call).await,
    };
    let answer = match deprecated {
        Some(warning) => with_warning(answer, warning),
        None => answer?,
    };
    output::finish(form.media, answer)
}

/// The form in which a request for the resource wants its answer.
pub(crate) fn form_of(context: &RequestContext, resource: &Resource) -> Result<Form, Status> {
    let kind = &resource.kind;
    let built_in = api::schema::builtin().lookup(&resource.schema).is_some();
    let offer = Offer {
        routed: built_in,
        protobuf: built_in
            && context.accept != "application/json"
            && api::protobuf::Kind::of(&kind.api_version(), &kind.kind).is_some(),
        streams: matches!(context.info.verb, Verb::List | Verb::Watch),
        watch: context.info.verb == Verb::Watch,
        // What is answered and not kept has no columns, but how the parts of the control plane are is shown in some.
        views: matches!(resource.review, None | Some(Review::Components)),
    };
    let form = Form::negotiate(&context.accept, offer)?;
    Ok(form.prettified(context.params.get("pretty"), &context.user_agent))
}

/// Refusals carry the warning as well.
fn with_warning(answer: Result<Answer, Status>, warning: &str) -> Answer {
    let mut answer = answer.unwrap_or_else(|status| Answer::json(status.code, status.to_json().into()));
    answer.warnings.insert(0, warning.to_owned());
    answer
}

async fn dispatch_verb(call: Call) -> Result<Answer, Status> {
    if !call.resource.verbs().contains(&call.context.info.verb.as_str()) {
        return Err(Status::method_not_allowed(call.about()));
    }
    match call.context.info.verb {
        Verb::Get => get::get(call).await,
        Verb::List => list::list(call).await,
        Verb::Watch => watch::watch(call).await,
        Verb::Create => create::create(call).await,
        Verb::Update => update::update(call).await,
        Verb::Patch => patch::patch(call).await,
        Verb::Delete => delete::delete(call).await,
        Verb::DeleteCollection => delete::delete_collection(call).await,
        Verb::Options => Err(Status::method_not_allowed(call.about())),
    }
}

async fn dispatch_subresource(call: Call, subresource: Subresource) -> Result<Answer, Status> {
    match (subresource, call.context.info.verb) {
        (subresource, Verb::Get) if subresource.is_part() => get::get(call).await,
        (Subresource::Finalize, Verb::Update) => update::update(call).await,
        (subresource, Verb::Update) if subresource.is_part() => update::update(call).await,
        (subresource, Verb::Patch) if subresource.is_part() => patch::patch(call).await,
        (Subresource::Scale { .. } | Subresource::CustomScale, Verb::Get) => {
            subresources::scale::get(call, subresource).await
        }
        (Subresource::Scale { .. } | Subresource::CustomScale, Verb::Update) => {
            subresources::scale::update(call, subresource).await
        }
        (Subresource::Scale { .. } | Subresource::CustomScale, Verb::Patch) => {
            subresources::scale::patch(call, subresource).await
        }
        (Subresource::Binding, Verb::Create) => subresources::binding::create(call).await,
        (Subresource::Eviction, Verb::Create) => subresources::eviction::create(call).await,
        (Subresource::Token, Verb::Create) => subresources::token::create(call).await,
        _ => Err(Status::method_not_allowed(call.about())),
    }
}

fn find_subresource(resource: &Resource, path: &str) -> Result<Option<Subresource>, Status> {
    if path.is_empty() {
        return Ok(None);
    }
    let found = resource.subresources.iter().find(|subresource| subresource.path() == path);
    found.copied().map(Some).ok_or_else(no_such_resource)
}

/// A path of ours with nothing behind it.
pub(crate) fn no_such_resource() -> Status {
    let mut status = Status::failure(404, "NotFound", "the server could not find the requested resource");
    status.details = Some(Box::default());
    status
}
