//! The options of each verb, read from the query (and, for deletions, from the body).

use api::schema::{self, Validation};
use api::status::Cause;
use api::validation::Path;
use api::{Gvk, Revision, Status};
use serde::Deserialize;
use serde_json::Value;

use super::Call;
use crate::causes::{forbidden, invalid_value, required, unsupported};
use crate::resource::invalid;

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const FIELD_MANAGER_LEN_MAX: usize = 128;

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
    pub validation: Validation,
    pub force: bool,
}

impl WriteOptions {
    /// `kind` is the name that upstream gives the options in messages: CreateOptions, UpdateOptions.
    pub fn read(call: &Call, kind: &'static str) -> Result<Self, Status> {
        Self::with_causes(call, kind, Vec::new())
    }

    /// Options of a patch; who applies has to say who they are, and nobody else may force.
    pub fn of_patch(call: &Call, applies: bool) -> Result<Self, Status> {
        let params = &call.context.params;
        let mut causes = Vec::new();
        if applies && params.get("fieldManager").is_none() {
            causes.push(required("fieldManager", "is required for apply patch"));
        }
        if !applies && params.given("force").is_some() {
            causes.push(forbidden("force", "may not be specified for non-apply patch"));
        }
        Self::with_causes(call, "PatchOptions", causes)
    }

    fn with_causes(call: &Call, kind: &'static str, mut causes: Vec<Cause>) -> Result<Self, Status> {
        let params = &call.context.params;
        let manager = params.get("fieldManager").unwrap_or_default();
        causes.extend(field_manager_causes(manager));
        let dry_run: Vec<&str> = params.all("dryRun").collect();
        causes.extend(dry_run_cause(&dry_run));
        let wanted = params.get("fieldValidation").unwrap_or_default();
        let validation = Validation::parse(wanted);
        if validation.is_none() {
            causes.push(unsupported("fieldValidation", wanted, r#""", "Ignore", "Strict", "Warn""#));
        }
        invalid(&meta_kind(kind), "", causes)?;
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            field_manager: api::apply::manager_name(manager, &call.context.user_agent),
            validation: validation.unwrap_or_default(),
            force: params.flag("force"),
        })
    }
}

fn field_manager_causes(manager: &str) -> Vec<Cause> {
    let path = Path::new("fieldManager");
    let mut causes = Vec::new();
    if manager.len() > FIELD_MANAGER_LEN_MAX {
        causes.push(path.too_long(FIELD_MANAGER_LEN_MAX));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        causes.push(path.invalid(manager, &format!("invalid character U+{:04X} (at position {at})", u32::from(c))));
    }
    causes
}

fn dry_run_cause(values: &[&str]) -> Option<Cause> {
    let unknown = values.iter().any(|value| *value != "All");
    unknown.then(|| Path::new("dryRun").not_supported(Value::from(values.to_vec()), &["All"]))
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
        let dry_run: Vec<_> = params.all("dryRun").map(str::to_owned).collect();
        Ok(Self {
            grace_period_seconds: number(call, "gracePeriodSeconds")?,
            propagation_policy: params.given("propagationPolicy").map(str::to_owned),
            orphan_dependents: params.switch("orphanDependents"),
            preconditions: None,
            dry_run: (!dry_run.is_empty()).then_some(dry_run),
        })
    }

    /// Upstream does not wrap what its decoder says of this body: the answer is a bare 500.
    fn from_body(call: &Call) -> Result<Self, Status> {
        let json = super::decode::json_body(call)?;
        let failed = |why: String| Status::failure(500, "", why);
        super::decode::claimed_kind(&json, "DeleteOptions").map_err(failed)?;
        let decoded = schema::decode(&json, super::decode::named_schema(DELETE_OPTIONS)?, Validation::Ignore);
        let tree = decoded.map_err(failed)?.value;
        serde_json::from_value(tree).map_err(|error| failed(error.to_string()))
    }

    /// What upstream refuses before it looks at the object.
    pub fn check(&self) -> Result<(), Status> {
        let mut causes = Vec::new();
        if self.orphan_dependents.is_some() && self.propagation_policy.is_some() {
            let shown = serde_json::json!(self.propagation_policy);
            let why = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(invalid_value("propagationPolicy", &shown, why));
        }
        let policy = self.propagation_policy.as_deref();
        if let Some(other) = policy.filter(|policy| !matches!(*policy, "Foreground" | "Background" | "Orphan")) {
            causes.push(unsupported("propagationPolicy", other, r#""Foreground", "Background", "Orphan", "nil""#));
        }
        let dry_run: Vec<&str> = self.dry_run.iter().flatten().map(String::as_str).collect();
        causes.extend(dry_run_cause(&dry_run));
        invalid(&meta_kind("DeleteOptions"), "", causes)
    }
}

/// What a list or a watch asks of the age of what it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// As new as the newest acknowledged write.
    #[default]
    Newest,
    /// Whatever is at hand (`resourceVersion=0`).
    Any,
    NotOlderThan(Revision),
    Exactly(Revision),
}

/// Options of list and watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// None when zero.
    pub limit: usize,
    pub continue_token: Option<String>,
    /// `None` when not sent; zero means "any".
    pub revision: Option<Revision>,
    pub exact: bool,
    pub allow_bookmarks: bool,
    /// `None`: a watch begins as its revision says.
    pub send_initial_events: Option<bool>,
    pub timeout_secs: Option<i64>,
}

impl ListOptions {
    pub fn read(call: &Call, watch: bool) -> Result<Self, Status> {
        let params = &call.context.params;
        let limit = number(call, "limit")?.unwrap_or_default();
        let timeout_secs = number(call, "timeoutSeconds")?;
        let asked = params.get("resourceVersion");
        let matching = params.get("resourceVersionMatch").unwrap_or_default();
        let mut options = Self {
            limit: usize::try_from(limit).unwrap_or_default(),
            continue_token: params.get("continue").map(str::to_owned),
            revision: None,
            exact: matching == "Exact",
            allow_bookmarks: params.flag("allowWatchBookmarks"),
            send_initial_events: params.switch("sendInitialEvents"),
            timeout_secs,
        };
        let causes = if watch { options.watch_causes(matching) } else { options.list_causes(matching, asked) };
        invalid(&meta_kind("ListOptions"), "", causes)?;
        options.revision = asked.map(|text| revision(text).map_err(|why| unreadable(watch, &why))).transpose()?;
        // Without a match, a limit with a revision means that very revision, as it always did; "any" knows no pages.
        let positive = options.revision.is_some_and(|asked| asked > Revision::ZERO);
        options.exact |= matching.is_empty() && options.limit > 0 && positive;
        if options.revision == Some(Revision::ZERO) {
            options.limit = 0;
        }
        if !watch && options.continue_token.is_some() && positive {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        Ok(options)
    }

    /// How new the objects of a list have to be.
    pub fn freshness(&self) -> Freshness {
        match self.revision {
            None => Freshness::Newest,
            Some(Revision::ZERO) => Freshness::Any,
            Some(revision) if self.exact => Freshness::Exactly(revision),
            Some(revision) => Freshness::NotOlderThan(revision),
        }
    }

    fn list_causes(&self, matching: &str, revision: Option<&str>) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        if !matching.is_empty() {
            if revision.is_none() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                causes.push(forbidden(field, why));
            }
            if self.continue_token.is_some() {
                causes.push(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                causes.push(unsupported(field, matching, r#""Exact", "NotOlderThan", """#));
            }
            if matching == "Exact" && revision == Some("0") {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                causes.push(forbidden(field, why));
            }
        }
        if self.send_initial_events.is_some() {
            causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        causes
    }

    fn watch_causes(&self, matching: &str) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        if self.send_initial_events.is_some() && matching != "NotOlderThan" {
            causes.push(forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        if matching.is_empty() {
            return causes;
        }
        if self.send_initial_events.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            causes.push(forbidden(field, why));
        }
        if matching != "NotOlderThan" {
            causes.push(unsupported(field, matching, r#""NotOlderThan""#));
        }
        if self.continue_token.is_some() {
            causes.push(forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        causes
    }
}

/// The revision that a GET wants the object to be at least as new as.
pub(super) fn get_revision(call: &Call) -> Result<Option<Revision>, Status> {
    let asked = call.context.params.get("resourceVersion");
    asked.map(|text| revision(text).map_err(|why| Status::failure(500, "", why))).transpose()
}

fn revision(text: &str) -> Result<Revision, String> {
    text.parse().map_err(|_| {
        let why = if text.bytes().all(|byte| byte.is_ascii_digit()) { "value out of range" } else { "invalid syntax" };
        let cause =
            invalid_value("resourceVersion", &text.into(), &format!("strconv.ParseUint: parsing {text:?}: {why}"));
        format!("{}: {}", cause.field, cause.message)
    })
}

/// Lists check the revision before they go on, watches find out on the way.
fn unreadable(watch: bool, why: &str) -> Status {
    if watch { Status::failure(500, "", why) } else { Status::bad_request(format!("invalid resource version: {why}")) }
}

fn number(call: &Call, name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = call.context.params.given(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}
