//! Questions that are asked by creating them: who am I, may I, whose token is this. Nothing is stored.

use std::sync::Arc;

use api::status::Cause;
use api::{Gvk, Status};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::output;
use crate::request::Verb;
use crate::resource::{Resource, Review, invalid};
use crate::seams::{Access, Decision, Seams, extra_tree};
use crate::tree;
use crate::user::User;
use crate::verbs::{self, Answer, RequestContext};

/// Answers one review.
pub(crate) async fn answer(
    engine: &Arc<Engine>,
    resource: Arc<Resource>,
    context: RequestContext,
) -> Result<Answer, Status> {
    let about = api::status::About { group: &resource.gvr.group, resource: &resource.gvr.resource, name: "" };
    let review = resource.review.filter(|_| context.info.verb == Verb::Create && context.info.subresource.is_empty());
    let Some(review) = review else { return Err(Status::method_not_allowed(about)) };
    let form = verbs::form_of(&context, &resource)?;
    let mut object = verbs::decode_review(&resource, &context)?;
    if review == Review::Binding {
        return bind(engine, context, &object).await;
    }
    if !matches!(review, Review::SelfSubject | Review::SelfSubjectRules) {
        verbs::track_review(engine, &resource, &context, &mut object)?;
    }
    let seams = engine.seams()?;
    let status = match review {
        Review::SelfSubject => {
            let now = verbs::timestamp(engine.clock().now());
            tree::set(&mut object, "metadata.creationTimestamp", now);
            json!({ "userInfo": user_tree(&context.user) })
        }
        Review::SelfSubjectAccess => {
            check_one_of(&resource.kind, &object, Vec::new())?;
            decision_tree(&judge(seams, &context.user, &object))
        }
        Review::SubjectAccess | Review::LocalSubjectAccess => {
            check_subject(&resource.kind, &object, review, &context.info.namespace)?;
            decision_tree(&judge(seams, &subject(&object), &object))
        }
        Review::SelfSubjectRules => {
            let rules = seams.authorizer.rules(&context.user, tree::text(&object, "spec.namespace"));
            tree::set(&mut object, "spec", json!({}));
            rules
        }
        Review::Token => token_status(seams, &object).await,
        Review::Binding | Review::Components => return Err(Status::internal("no review is asked so")),
    };
    tree::set(&mut object, "status", status);
    output::finish(form.media, Answer::json(201, output::json_of(&object)))
}

/// A Binding by itself names its pod; it is answered as one that was sent to the pod.
async fn bind(engine: &Arc<Engine>, mut context: RequestContext, binding: &Value) -> Result<Answer, Status> {
    let name = tree::text(binding, "metadata.name");
    if name.is_empty() {
        return Err(Status::bad_request("name must be provided"));
    }
    name.clone_into(&mut context.info.name);
    "pods".clone_into(&mut context.info.resource);
    "binding".clone_into(&mut context.info.subresource);
    Box::pin(verbs::dispatch(engine, context)).await
}

fn user_tree(user: &User) -> Value {
    let mut tree = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        tree::set(&mut tree, "uid", user.uid.as_str());
    }
    if !user.extra.is_empty() {
        tree::set(&mut tree, "extra", extra_tree(&user.extra));
    }
    tree
}

async fn token_status(seams: &Seams, review: &Value) -> Value {
    let audiences: Vec<String> = tree::texts(review, "spec.audiences").into_iter().map(str::to_owned).collect();
    match seams.tokens.review(tree::text(review, "spec.token"), &audiences).await {
        Ok(found) => {
            json!({ "authenticated": true, "user": user_tree(&found.user), "audiences": found.audiences })
        }
        Err(error) => json!({ "user": {}, "error": error }),
    }
}

fn judge(seams: &Seams, user: &User, review: &Value) -> Decision {
    seams.authorizer.authorize(user, &access(review))
}

fn access(review: &Value) -> Access {
    if let Some(path) = tree::at(review, "spec.nonResourceAttributes") {
        return Access {
            verb: tree::text(path, "verb").to_owned(),
            path: Some(tree::text(path, "path").to_owned()),
            ..Access::default()
        };
    }
    let text = |field: &str| tree::text(review, &format!("spec.resourceAttributes.{field}")).to_owned();
    Access {
        verb: text("verb"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        path: None,
    }
}

fn subject(review: &Value) -> User {
    let groups = tree::texts(review, "spec.groups").into_iter().map(str::to_owned).collect();
    let extra = tree::at(review, "spec.extra").and_then(Value::as_object).into_iter().flatten();
    let texts =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    User {
        name: tree::text(review, "spec.user").to_owned(),
        uid: tree::text(review, "spec.uid").to_owned(),
        groups,
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

fn decision_tree(decision: &Decision) -> Value {
    let mut tree = json!({ "allowed": decision.allowed });
    if decision.denied {
        tree::set(&mut tree, "denied", true);
    }
    if !decision.reason.is_empty() {
        tree::set(&mut tree, "reason", decision.reason.as_str());
    }
    tree
}

fn check_subject(kind: &Gvk, review: &Value, what: Review, namespace: &str) -> Result<(), Status> {
    let mut causes = Vec::new();
    if tree::text(review, "spec.user").is_empty() && tree::list(review, "spec.groups").is_empty() {
        causes.push(cause("spec.user", "\"\": at least one of user or group must be specified"));
    }
    let claimed = tree::text(review, "spec.resourceAttributes.namespace");
    if what == Review::LocalSubjectAccess && claimed != namespace {
        let why = format!("{claimed:?}: must match metadata.namespace");
        causes.push(cause("spec.resourceAttributes.namespace", &why));
    }
    check_one_of(kind, review, causes)
}

/// Upstream's refusal of a review names its group but no kind.
fn check_one_of(kind: &Gvk, review: &Value, mut causes: Vec<Cause>) -> Result<(), Status> {
    let resource = tree::is_set(review, "spec.resourceAttributes");
    let path = tree::is_set(review, "spec.nonResourceAttributes");
    let why = match (resource, path) {
        (true, true) => {
            Some(("spec.nonResourceAttributes", "cannot be specified in combination with resourceAttributes"))
        }
        (false, false) => Some((
            "spec.resourceAttributes",
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        (true, false) | (false, true) => None,
    };
    if let Some((field, why)) = why {
        let shown = tree::at(review, field).cloned().unwrap_or_default();
        causes.insert(0, cause(field, &format!("{shown}: {why}")));
    }
    invalid(&Gvk { kind: "".into(), ..kind.clone() }, "", causes)
}

fn cause(field: &str, why: &str) -> Cause {
    Cause { reason: "FieldValueInvalid".to_owned(), message: format!("Invalid value: {why}"), field: field.to_owned() }
}
