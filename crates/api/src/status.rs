//! `Status`: how every failure of the API is told to clients, made where the cause is known.
//!
//! Texts, reasons and codes are upstream's
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::Str;

/// An API answer that is no object: nearly always a failure.
///
/// Small, because it is the error of nearly every function: what is the same in all of them (kind, apiVersion, an empty
/// metadata) is only written, not held.
#[derive(Clone, Debug, Default, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub outcome: Outcome,
    pub code: u16,
    pub message: String,
    /// A word for programs: `NotFound`, `Conflict`, `Invalid`, ...
    pub reason: Str,
    pub details: Option<Box<Details>>,
    /// With a list's 410: where it can go on, at the newest revision.
    pub continue_token: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Success,
    #[default]
    Failure,
}

/// The JSON of a Status.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire<'a> {
    kind: Cow<'a, str>,
    api_version: Cow<'a, str>,
    metadata: ListMeta<'a>,
    status: Option<Outcome>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Cow<'a, Details>>,
    #[serde(skip_serializing_if = "is_zero")]
    code: u32,
}

#[derive(Serialize, Deserialize, Default)]
struct ListMeta<'a> {
    #[serde(rename = "continue", default, skip_serializing_if = "str::is_empty")]
    continue_token: Cow<'a, str>,
}

impl Default for Wire<'_> {
    fn default() -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: ListMeta::default(),
            status: None,
            message: "".into(),
            reason: "".into(),
            details: None,
            code: 0,
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let wire = Wire {
            status: Some(self.outcome),
            message: self.message.as_str().into(),
            reason: (&*self.reason).into(),
            details: self.details.as_deref().map(Cow::Borrowed),
            metadata: ListMeta { continue_token: self.continue_token.as_deref().unwrap_or_default().into() },
            code: self.code.into(),
            ..Wire::default()
        };
        wire.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(from)?;
        Ok(Self {
            outcome: wire.status.unwrap_or_default(),
            code: u16::try_from(wire.code).unwrap_or_default(),
            message: wire.message.into_owned(),
            reason: wire.reason.into_owned().into(),
            details: wire.details.map(|details| Box::new(details.into_owned())),
            continue_token: Some(wire.metadata.continue_token).filter(|token| !token.is_empty()).map(Into::into),
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One reason among several why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature.
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What a Status is about: a resource (`deployments.apps`) and the name of an object.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub group: &'a str,
    pub resource: &'a str,
    pub name: &'a str,
}

impl About<'_> {
    fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.to_owned() } else { format!("{}.{}", self.resource, self.group) }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.to_owned(),
            group: self.group.to_owned(),
            kind: self.resource.to_owned(),
            ..Details::default()
        }
    }
}

impl Status {
    pub fn failure(code: u16, reason: impl Into<Str>, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failure,
            code,
            message: message.into(),
            reason: reason.into(),
            details: None,
            continue_token: None,
        }
    }

    pub fn success(details: Option<Details>) -> Self {
        Self { outcome: Outcome::Success, details: details.map(Box::new), ..Self::failure(200, "", String::new()) }
    }

    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    pub fn not_found(about: About<'_>) -> Self {
        let message = format!("{} \"{}\" not found", about.qualified(), about.name);
        Self::failure(404, "NotFound", message).with_details(about.details())
    }

    pub fn already_exists(about: About<'_>) -> Self {
        let message = format!("{} \"{}\" already exists", about.qualified(), about.name);
        Self::failure(409, "AlreadyExists", message).with_details(about.details())
    }

    pub fn conflict(about: About<'_>, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{}\": {why}", about.qualified(), about.name);
        Self::failure(409, "Conflict", message).with_details(about.details())
    }

    pub fn forbidden(about: About<'_>, why: &str) -> Self {
        let message = if about.name.is_empty() {
            format!("{} is forbidden: {why}", about.qualified())
        } else {
            format!("{} \"{}\" is forbidden: {why}", about.qualified(), about.name)
        };
        Self::failure(403, "Forbidden", message).with_details(about.details())
    }

    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", why)
    }

    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    pub fn expired(why: impl Into<String>) -> Self {
        Self::failure(410, "Expired", why)
    }

    pub fn method_not_allowed(about: About<'_>) -> Self {
        Self::failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with_details(about.details())
    }

    pub fn internal(why: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {why}");
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        Self::failure(500, "InternalError", message).with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// 422 with all causes for which an object is refused. `kind` is qualified (`Deployment.apps`) in the text only.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let text = format!("{}: {}", cause.field, cause.message);
            // What is wrong twice over is said once; the causes keep both.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        };
        Self::failure(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {text}")).with_details(details)
    }

    /// A generated name that was taken each time.
    pub fn name_not_generated(about: About<'_>) -> Self {
        let message = format!(
            "{} {:?} already exists, the server was not able to generate a unique name for the object",
            about.qualified(),
            about.name
        );
        let details = Details { retry_after_seconds: 1, ..about.details() };
        Self::failure(409, "AlreadyExists", message).with_details(details)
    }

    pub fn too_large(why: impl std::fmt::Display) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
    }

    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    pub fn is_conflict(&self) -> bool {
        self.code == 409 && self.reason == "Conflict"
    }

    pub fn is_already_exists(&self) -> bool {
        self.code == 409 && self.reason == "AlreadyExists"
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a Status always encodes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_object_is_told_as_upstream_tells_it() {
        let status = Status::not_found(About { group: "apps", resource: "deployments", name: "web" });
        assert_eq!(status.to_string(), "deployments.apps \"web\" not found");
        assert_eq!((status.code, status.is_not_found()), (404, true));
    }

    #[test]
    fn a_status_is_small_in_memory_and_upstreams_on_the_wire() {
        assert!(size_of::<Status>() < 128, "{}", size_of::<Status>());
        let text = String::from_utf8(Status::bad_request("no").to_json()).unwrap();
        let wire = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"BadRequest","code":400}"#;
        assert_eq!(text, wire);
        let read: Status = serde_json::from_str(wire).unwrap();
        assert_eq!(read, Status::bad_request("no"));
    }
}
