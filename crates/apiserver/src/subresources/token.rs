//! serviceaccounts/token: a short-lived token for an account, bound to the object that it is for.

use api::status::{About, Cause};
use api::{Gvr, Status};
use serde_json::{Value, json};

use crate::seams::TokenClaims;
use crate::tree;
use crate::verbs::{self, Answer, Call, Existing, WriteOptions};

const SECS_MIN: i64 = 600;
const SECS_DEFAULT: i64 = 3600;
const SECS_MAX: i64 = 1 << 32;

pub(crate) async fn create(mut call: Call) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "CreateOptions")?;
    let version = "authentication.k8s.io/v1";
    let schema = "io.k8s.api.authentication.v1.TokenRequest";
    let mut request = verbs::decode_as(&mut call, schema, version, "TokenRequest", &options)?;
    let account = Existing::read(&call, &call.key()).await?.ok_or_else(|| Status::not_found(call.about()))?;
    let secs = tree::int(&request, "spec.expirationSeconds").unwrap_or(SECS_DEFAULT);
    check(secs)?;
    let (bound, node) = bound_object(&call, &request)?;
    let info = &call.context.info;
    let claims = TokenClaims {
        namespace: info.namespace.clone(),
        service_account: info.name.clone(),
        service_account_uid: tree::text(&account.tree, "metadata.uid").to_owned(),
        audiences: tree::texts(&request, "spec.audiences").into_iter().map(str::to_owned).collect(),
        expiration_secs: secs,
        bound,
        node,
    };
    let issued = call.engine.seams()?.tokens.issue(claims).await?;
    tree::set(&mut request, "spec.audiences", issued.audiences);
    tree::set(&mut request, "spec.expirationSeconds", secs);
    tree::set_default(&mut request, "spec.boundObjectRef", Value::Null);
    let expires = verbs::timestamp(issued.expires);
    tree::set(&mut request, "status", json!({ "token": issued.token, "expirationTimestamp": expires }));
    let created = verbs::timestamp(call.now());
    tree::set(
        &mut request,
        "metadata",
        json!({ "name": call.context.info.name, "namespace": call.context.info.namespace, "creationTimestamp": created }),
    );
    call.answer(201, verbs::json_of(&request))
}

fn check(secs: i64) -> Result<(), Status> {
    let why = match secs {
        ..SECS_MIN => "may not specify a duration less than 10 minutes",
        SECS_MIN..=SECS_MAX => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {secs}: {why}"),
        field: "spec.expirationSeconds".to_owned(),
    };
    crate::resource::invalid(&api::Gvk::new("authentication.k8s.io", "v1", "TokenRequest"), "", vec![cause])
}

type Bound = (Option<(String, String, String)>, Option<(String, String)>);

/// The object that the token dies with, and the node of a bound pod.
fn bound_object(call: &Call, request: &Value) -> Result<Bound, Status> {
    let Some(reference) = tree::at(request, "spec.boundObjectRef").filter(|reference| !reference.is_null()) else {
        return Ok((None, None));
    };
    let (kind, name) = (tree::text(reference, "kind"), tree::text(reference, "name"));
    let (resource, namespace) = match kind {
        "Pod" => ("pods", call.context.info.namespace.as_str()),
        "Secret" => ("secrets", call.context.info.namespace.as_str()),
        "Node" => ("nodes", ""),
        other => return Err(Status::bad_request(format!("cannot bind token for serviceaccount to kind {other:?}"))),
    };
    let find = |resource: &'static str, namespace: &str, name: &str| {
        let table = call.engine.table(&Gvr::new("", "v1", resource));
        table.and_then(|table| table.get(&api::Key::new(namespace, name)).cloned())
    };
    let about = About { group: "", resource, name };
    let object = find(resource, namespace, name).ok_or_else(|| Status::not_found(about))?;
    let (asked, uid) = (tree::text(reference, "uid"), object.uid().to_owned());
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object \
             might have been deleted and then recreated"
        );
        return Err(Status::conflict(about, &why));
    }
    if kind != "Pod" {
        return Ok((Some((kind.to_owned(), name.to_owned(), uid)), None));
    }
    let pod = object.tree().map_err(Status::internal)?;
    let account = tree::text(&pod, "spec.serviceAccountName");
    if account != call.context.info.name {
        let why = format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.context.info.name
        );
        return Err(Status::bad_request(why));
    }
    let node = tree::text(&pod, "spec.nodeName");
    let node = find("nodes", "", node).map(|object| (node.to_owned(), object.uid().to_owned()));
    Ok((Some((kind.to_owned(), name.to_owned(), uid)), node))
}
