//! What Events must be: little for the core group, whose clients are old; much for events.k8s.io.
//!
//! Events of both groups are checked in the core form, and told of by its names.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_subdomain, qualified_name};
use serde_json::Value;

use super::event::to_core;
use crate::internal_form;
use crate::tree;

const WORD_LEN_MAX: usize = 128;
const NOTE_LEN_MAX: usize = 1024;

fn has_time(event: &Value, path: &str) -> bool {
    !tree::text(event, path).is_empty()
}

/// The rules for every event.
pub fn validate(event: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let namespace = tree::text(event, "metadata.namespace");
    let about = tree::text(event, "involvedObject.namespace");
    let is_new = has_time(event, "eventTime");
    let allowed: &[&str] = if is_new { &["default", "kube-system"] } else { &["default"] };
    let differs = if about.is_empty() { !allowed.contains(&namespace) } else { !is_new && about != namespace };
    if differs {
        let at = Path::new("involvedObject").child("namespace");
        causes.push(at.invalid(about, "does not match event.namespace"));
    }
    if is_new {
        words(event, &mut causes);
    }
    causes.extend(Path::new("namespace").invalid_each(namespace, dns1123_subdomain(namespace)));
    causes
}

fn words(event: &Value, out: &mut Vec<Cause>) {
    let controller = tree::text(event, "reportingComponent");
    let at = Path::new("reportingController");
    if controller.is_empty() {
        out.push(at.required(""));
    }
    out.extend(at.invalid_each(controller, qualified_name(controller)));
    let limits = [
        ("reportingInstance", WORD_LEN_MAX),
        ("action", WORD_LEN_MAX),
        ("reason", WORD_LEN_MAX),
        ("message", NOTE_LEN_MAX),
    ];
    for (field, limit) in limits {
        let text = tree::text(event, field);
        if text.is_empty() && field != "message" {
            out.push(Path::new(field).required(""));
        }
        if text.len() > limit {
            out.push(Path::new(field).invalid("", &format!("can have at most {limit} characters")));
        }
    }
}

fn core_form(event: &Value) -> Value {
    let mut event = event.clone();
    to_core(&mut event);
    event
}

/// An event of events.k8s.io.
pub fn validate_new_group(event: &Value) -> Vec<Cause> {
    validate(&core_form(event))
}

pub fn validate_new_group_create(event: &Value) -> Vec<Cause> {
    let event = core_form(event);
    let mut causes = Vec::new();
    series(&event, &mut causes);
    if !has_time(&event, "eventTime") {
        causes.push(Path::new("eventTime").required(""));
    }
    let kind = tree::text(&event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        causes.push(Path::new("type").invalid("", &format!("has invalid value: {kind}")));
    }
    let old = [
        ("firstTimestamp", has_time(&event, "firstTimestamp")),
        ("lastTimestamp", has_time(&event, "lastTimestamp")),
        ("count", tree::int(&event, "count").unwrap_or_default() != 0),
        ("source", ["component", "host"].iter().any(|part| has_time(&event, &format!("source.{part}")))),
    ];
    let set = old.into_iter().filter(|(_, set)| *set);
    causes.extend(set.map(|(field, _)| Path::new(field).invalid("", "needs to be unset")));
    causes
}

fn series(event: &Value, out: &mut Vec<Cause>) {
    if !tree::is_set(event, "series") {
        return;
    }
    if tree::int(event, "series.count").unwrap_or_default() < 2 {
        out.push(Path::new("series.count").invalid("", "should be at least 2"));
    }
    if !has_time(event, "series.lastObservedTime") {
        out.push(Path::new("series.lastObservedTime").required(""));
    }
}

/// In the order in which upstream compares them; one is compared twice.
const FIXED: &[&str] = &[
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// Only the series of an event goes on.
pub fn validate_new_group_update(new: &Value, old: &Value) -> Vec<Cause> {
    let (new, old) = (core_form(new), core_form(old));
    let mut causes = Vec::new();
    if new.get("series") != old.get("series") {
        series(&new, &mut causes);
    }
    for field in FIXED {
        let value = new.get(*field).filter(|value| !value.is_null());
        if value == old.get(*field).filter(|value| !value.is_null()) {
            continue;
        }
        let at = Path::new(if *field == "reportingComponent" { "reportingController" } else { field });
        let none = Value::Null;
        let value = value.unwrap_or(&none);
        const WHY: &str = "field is immutable";
        causes.push(match *field {
            "involvedObject" => internal_form::invalid(&at, "ObjectReference", value, WHY),
            "source" => internal_form::invalid(&at, "EventSource", value, WHY),
            "related" if !value.is_null() => internal_form::invalid(&at, "ObjectReference", value, WHY),
            "count" => at.invalid(value.as_i64().unwrap_or_default(), WHY),
            "reason" | "message" | "type" | "action" | "reportingComponent" | "reportingInstance" => {
                at.invalid(value.as_str().unwrap_or_default(), WHY)
            }
            _ => at.invalid(value.clone(), WHY),
        });
    }
    causes
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn told(causes: &[Cause]) -> String {
        causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
    }

    #[test]
    fn an_event_is_where_its_object_is() {
        let about =
            |namespace: &str| json!({"metadata": {"namespace": "n"}, "involvedObject": {"namespace": namespace}});
        expect![[""]].assert_eq(&told(&validate(&about("n"))));
        expect![[r#"
            involvedObject.namespace: Invalid value: "m": does not match event.namespace
        "#]]
        .assert_eq(&told(&validate(&about("m"))));
        let new = json!({"metadata": {"namespace": "n"}, "eventTime": "t", "action": "a".repeat(200), "involvedObject": {"namespace": "m"}});
        expect![[r#"
            reportingController: Required value
            reportingController: Invalid value: "": name part must be non-empty
            reportingController: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            reportingInstance: Required value
            action: Invalid value: "": can have at most 128 characters
            reason: Required value
        "#]].assert_eq(&told(&validate(&new)));
    }

    #[test]
    fn events_of_the_new_group_are_whole_and_only_their_series_goes_on() {
        let event = json!({"metadata": {"namespace": "n"}, "regarding": {"namespace": "n", "name": "p"}, "deprecatedCount": 2,
            "deprecatedSource": {"host": "h"}, "type": "Odd", "series": {"count": 1}});
        expect![[r#"
            series.count: Invalid value: "": should be at least 2
            series.lastObservedTime: Required value
            eventTime: Required value
            type: Invalid value: "": has invalid value: Odd
            count: Invalid value: "": needs to be unset
            source: Invalid value: "": needs to be unset
        "#]]
        .assert_eq(&told(&validate_new_group_create(&event)));
        let mut new = event.clone();
        new["regarding"]["name"] = json!("q");
        new["reason"] = json!("other");
        new["note"] = json!("text");
        expect![[r#"
            involvedObject: Invalid value: {"Kind":"","Namespace":"n","Name":"q","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable
            reason: Invalid value: "other": field is immutable
            message: Invalid value: "text": field is immutable
            reason: Invalid value: "other": field is immutable
        "#]].assert_eq(&told(&validate_new_group_update(&new, &event)));
    }
}
