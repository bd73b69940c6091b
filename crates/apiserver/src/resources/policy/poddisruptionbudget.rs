//! PodDisruptionBudget: how many of some pods must stay, or may go, when somebody evicts.

use api::Gvr;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::qualified_name;
use api::validation::number::{at_most_100_percent, nonnegative_or_percent};
use api::validation::selector::label_selector;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::apps::workload::{count, negative};
use crate::tree;

pub const GVR: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const MESSAGE_LEN_MAX: usize = 32 * 1024;
const REASON_LEN_MAX: usize = 1024;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["pdb".into()],
        generation: true,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(validate),
            validate_status: Some(|new, _| validate_status(new)),
            ..Hooks::default()
        },
        ..Resource::of::<PodDisruptionBudget>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Min Available", "The minimum number of pods that must be available.", |o, _| {
        amount(o, "spec.minAvailable").into()
    }),
    Column::text("Max Unavailable", "The maximum number of pods that may be unavailable.", |o, _| {
        amount(o, "spec.maxUnavailable").into()
    }),
    Column::integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.", |o, _| {
        count(o, "status.disruptionsAllowed").into()
    }),
    Column::age(),
];

fn amount(budget: &Value, field: &str) -> String {
    match tree::at(budget, field) {
        None | Some(Value::Null) => "N/A".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn prepare_create(budget: &mut Value, _: &HookContext<'_>) {
    let status = json!({ "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0 });
    tree::set(budget, "status", status);
}

fn validate(budget: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &budget["spec"];
    let mut causes = Vec::new();
    let set = |field: &str| spec.get(field).filter(|value| !value.is_null());
    let (least, most) = (set("minAvailable"), set("maxUnavailable"));
    if least.is_some() && most.is_some() {
        causes.push(path.invalid_shown(&shown(spec), "minAvailable and maxUnavailable cannot be both set"));
    }
    for (field, amount) in [("minAvailable", least), ("maxUnavailable", most)] {
        if let Some(amount) = amount {
            causes.extend(nonnegative_or_percent(amount, &path.child(field)));
            causes.extend(at_most_100_percent(amount, &path.child(field)));
        }
    }
    causes.extend(label_selector(spec.get("selector"), &path.child("selector")));
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    if let Some(policy) = set("unhealthyPodEvictionPolicy").and_then(Value::as_str).filter(|p| !policies.contains(p)) {
        causes.push(path.child("unhealthyPodEvictionPolicy").not_supported(policy, &policies));
    }
    causes
}

/// As upstream prints its own struct.
fn shown(spec: &Value) -> String {
    let field = |name: &str| spec.get(name).cloned().unwrap_or_default().to_string();
    format!(
        r#"{{"MinAvailable":{},"Selector":{},"MaxUnavailable":{},"UnhealthyPodEvictionPolicy":{}}}"#,
        field("minAvailable"),
        field("selector"),
        field("maxUnavailable"),
        field("unhealthyPodEvictionPolicy")
    )
}

fn validate_status(budget: &Value) -> Vec<Cause> {
    let path = Path::new("status");
    let mut causes = conditions(tree::list(budget, "status.conditions"), &path.child("conditions"));
    let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    causes.extend(negative(&budget["status"], &path, &counts));
    causes
}

/// metav1.Condition: what each must be, and that each type is there once.
pub fn conditions(conditions: &[Value], path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let path = path.index(at);
        let kind = tree::text(condition, "type");
        if seen.contains(&kind) {
            causes.push(path.child("type").duplicate(kind));
        }
        seen.push(kind);
        match kind {
            "" => causes.push(path.child("type").required("must be set")),
            kind => causes.extend(path.child("type").invalid_each(kind, qualified_name(kind))),
        }
        let status = tree::text(condition, "status");
        if !matches!(status, "True" | "False" | "Unknown") {
            causes.push(path.child("status").not_supported(status, &["False", "True", "Unknown"]));
        }
        if tree::int(condition, "observedGeneration").is_some_and(|generation| generation < 0) {
            let shown = condition["observedGeneration"].clone();
            causes.push(path.child("observedGeneration").invalid(shown, "must be greater than or equal to zero"));
        }
        if !tree::is_set(condition, "lastTransitionTime") {
            causes.push(path.child("lastTransitionTime").required("must be set"));
        }
        causes.extend(condition_texts(condition, &path));
    }
    causes
}

fn condition_texts(condition: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (reason, message) = (tree::text(condition, "reason"), tree::text(condition, "message"));
    let at = path.child("reason");
    if reason.len() > REASON_LEN_MAX {
        causes.push(at.too_long(REASON_LEN_MAX));
    }
    if reason.is_empty() {
        causes.push(at.required("must be set"));
    } else if !is_reason(reason) {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of \
                   alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. \
                   'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for \
                   validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
        causes.push(at.invalid(reason, why));
    }
    if message.len() > MESSAGE_LEN_MAX {
        causes.push(path.child("message").too_long(MESSAGE_LEN_MAX));
    }
    causes
}

fn is_reason(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().last().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b",:".contains(&byte))
}
