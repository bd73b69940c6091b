//! The options of each verb, read from the query (and, for deletions, from the body).

use api::schema::Validation;
use api::status::Cause;
use api::{Gvk, Revision, Status};
use serde::Deserialize;

use super::Call;
use crate::causes::{forbidden, invalid_value, unsupported};
use crate::resource::invalid;

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
    pub validation: Validation,
    pub force: bool,
}

impl WriteOptions {
    /// `kind` is the name that upstream gives the options in messages: CreateOptions, UpdateOptions, PatchOptions.
    pub fn read(call: &Call, kind: &'static str) -> Result<Self, Status> {
        let params = &call.context.params;
        let mut causes = dry_run_causes(params.all("dryRun"));
        let wanted = params.get("fieldValidation").unwrap_or_default();
        let validation = Validation::parse(wanted);
        if validation.is_none() {
            causes.push(unsupported("fieldValidation", wanted, r#""", "Ignore", "Strict", "Warn""#));
        }
        invalid(&meta_kind(kind), "", causes)?;
        Ok(Self {
            dry_run: params.get("dryRun").is_some(),
            field_manager: api::apply::manager_name(
                params.get("fieldManager").unwrap_or_default(),
                &call.context.user_agent,
            ),
            validation: validation.unwrap_or_default(),
            force: params.flag("force"),
        })
    }
}

fn dry_run_causes<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Cause> {
    let unknown = values.filter(|value| !value.is_empty() && *value != "All");
    unknown.map(|value| unsupported("dryRun", value, r#""All""#)).collect()
}

fn meta_kind(kind: &'static str) -> Gvk {
    Gvk::new("meta.k8s.io", "v1", kind)
}

/// Options of delete and deletecollection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub preconditions: Option<Preconditions>,
    pub dry_run: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// From the body if there is one, otherwise from the query.
    pub fn read(call: &Call) -> Result<Self, Status> {
        let options = if call.context.body.is_empty() { Self::from_query(call)? } else { Self::from_body(call)? };
        options.check()?;
        Ok(options)
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|values| !values.is_empty())
    }

    fn from_query(call: &Call) -> Result<Self, Status> {
        let params = &call.context.params;
        let seconds = params.get("gracePeriodSeconds").map(|text| {
            text.parse().map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
        });
        let dry_run: Vec<_> = params.all("dryRun").filter(|value| !value.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            grace_period_seconds: seconds.transpose()?,
            propagation_policy: params.get("propagationPolicy").map(str::to_owned),
            orphan_dependents: params.get("orphanDependents").map(|_| params.flag("orphanDependents")),
            preconditions: None,
            dry_run: (!dry_run.is_empty()).then_some(dry_run),
        })
    }

    fn from_body(call: &Call) -> Result<Self, Status> {
        let json = super::decode::json_body(call)?;
        serde_json::from_slice(&json).map_err(|error| {
            Status::bad_request(format!(
                "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {error}"
            ))
        })
    }

    /// What upstream refuses before it looks at the object.
    pub fn check(&self) -> Result<(), Status> {
        let mut causes = dry_run_causes(self.dry_run.iter().flatten().map(String::as_str));
        if self.orphan_dependents.is_some() && self.propagation_policy.is_some() {
            let shown = serde_json::json!(self.propagation_policy);
            let why = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(invalid_value("propagationPolicy", &shown, why));
        }
        let policy = self.propagation_policy.as_deref();
        if let Some(other) = policy.filter(|policy| !matches!(*policy, "Foreground" | "Background" | "Orphan")) {
            causes.push(unsupported("propagationPolicy", other, r#""Foreground", "Background", "Orphan", "nil""#));
        }
        invalid(&meta_kind("DeleteOptions"), "", causes)
    }
}

/// Options of list and watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub limit: usize,
    pub continue_token: Option<String>,
    /// `None` when not sent; zero means "any".
    pub revision: Option<Revision>,
    pub exact: bool,
    pub allow_bookmarks: bool,
    pub send_initial_events: bool,
    pub timeout_secs: Option<u64>,
}

impl ListOptions {
    pub fn read(call: &Call, watch: bool) -> Result<Self, Status> {
        let params = &call.context.params;
        let number = |name: &str| -> Result<Option<u64>, Status> {
            let parse = |text: &str| text.parse::<u64>().map_err(|_| not_a_number(name, text));
            params.get(name).map(parse).transpose()
        };
        let revision = number("resourceVersion")?.map(Revision);
        let matching = params.get("resourceVersionMatch");
        let options = Self {
            limit: number("limit")?.map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            continue_token: params.get("continue").map(str::to_owned),
            revision,
            exact: matching == Some("Exact"),
            allow_bookmarks: params.flag("allowWatchBookmarks"),
            send_initial_events: params.flag("sendInitialEvents"),
            timeout_secs: number("timeoutSeconds")?,
        };
        invalid(
            &meta_kind("ListOptions"),
            "",
            options.causes(matching, watch, params.get("sendInitialEvents").is_some()),
        )?;
        Ok(options)
    }

    fn causes(&self, matching: Option<&str>, watch: bool, initial_events: bool) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        match matching {
            None if watch && initial_events => {
                vec![forbidden(field, "resourceVersionMatch is required when sendInitialEvents is set")]
            }
            None => Vec::new(),
            Some("NotOlderThan") if watch && initial_events => Vec::new(),
            Some(_) if watch => vec![forbidden(
                field,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )],
            Some("Exact") if self.revision == Some(Revision::ZERO) => {
                vec![forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")]
            }
            Some("Exact" | "NotOlderThan") if self.continue_token.is_some() => {
                vec![forbidden(field, "resourceVersionMatch is forbidden when continue is provided")]
            }
            Some("Exact" | "NotOlderThan") if self.revision.is_none() => {
                vec![forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")]
            }
            Some("Exact" | "NotOlderThan") => Vec::new(),
            Some(other) => vec![unsupported(field, other, r#""Exact", "NotOlderThan", """#)],
        }
    }
}

fn not_a_number(name: &str, text: &str) -> Status {
    if name == "resourceVersion" {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        let cause = invalid_value(name, &text.into(), &why);
        return resource_version_refused(cause);
    }
    Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

fn resource_version_refused(cause: Cause) -> Status {
    let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message);
    let details = api::status::Details {
        group: "meta.k8s.io".to_owned(),
        kind: "ListOptions".to_owned(),
        causes: vec![cause],
        ..Default::default()
    };
    Status::failure(422, "Invalid", message).with_details(details)
}
