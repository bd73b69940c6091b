//! What the kinds that make pods share: a selector, a template, replicas; how they are shown and checked.

use api::selector::LabelSelector;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_label;
use api::validation::number::nonnegative;
use api::validation::selector::label_selector;
use serde_json::{Map, Value};

use crate::resource::{Column, Subresource};
use crate::resources::cells;
use crate::resources::core::pod_rules;
use crate::tree;

pub const SCALE: Subresource = Subresource::Scale {
    spec_replicas: "spec.replicas",
    status_replicas: "status.replicas",
    selector: "spec.selector",
};

pub const CONTAINERS: Column = Column::text("Containers", "Names of each container in the template.", |o, _| {
    containers(o, "spec.template", "name").into()
})
.wide();
pub const IMAGES: Column = Column::text("Images", "Images referenced by each container in the template.", |o, _| {
    containers(o, "spec.template", "image").into()
})
.wide();
/// Which pods are meant; `description` is the field of the kind.
pub const fn selector_column(description: &'static str) -> Column {
    Column::text("Selector", description, |o, _| selector_text(tree::at(o, "spec.selector")).into()).wide()
}

/// The containers of the template at `template`, by one of their fields.
pub fn containers(object: &Value, template: &str, field: &str) -> String {
    let all = tree::list(object, &format!("{template}.spec.containers")).iter();
    all.map(|container| tree::text(container, field)).collect::<Vec<_>>().join(",")
}

/// A selector as `kubectl get` shows it.
pub fn selector_text(selector: Option<&Value>) -> String {
    match LabelSelector::from_object(selector).map(|selector| selector.to_string()) {
        Ok(text) if text.is_empty() => cells::NONE.to_owned(),
        Ok(text) => text,
        Err(_) => "<error>".to_owned(),
    }
}

/// Labels as `kubectl get` shows them.
pub fn labels_text(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).filter(|labels| !labels.is_empty());
    let pairs = |labels: &Map<String, Value>| -> Vec<String> {
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect()
    };
    labels.map_or_else(|| cells::NONE.to_owned(), |labels| pairs(labels).join(","))
}

pub fn count(object: &Value, path: &str) -> i64 {
    tree::int(object, path).unwrap_or_default()
}

/// The numbers among `fields` that are negative.
pub fn negative(of: &Value, path: &Path, fields: &[&str]) -> Vec<Cause> {
    fields.iter().filter_map(|field| nonnegative(tree::at(of, field), &path.child(field))).collect()
}

/// A selector that must be there and select something; `kind` is how upstream calls the kind in its text.
pub fn selector(spec: &Value, path: &Path, kind: &str) -> Vec<Cause> {
    let path = path.child("selector");
    let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) else {
        return vec![path.required("")];
    };
    let mut causes = label_selector(Some(selector), &path);
    if selects_all(selector) {
        causes.push(path.invalid(selector.clone(), &format!("empty selector is invalid for {kind}")));
    }
    causes
}

pub fn selects_all(selector: &Value) -> bool {
    let terms = tree::at(selector, "matchLabels").and_then(Value::as_object).map_or(0, Map::len);
    terms + tree::list(selector, "matchExpressions").len() == 0
}

/// The template's labels, where the selector would not select them.
pub fn unselected(selector: &LabelSelector, spec: &Value, path: &Path) -> Option<Cause> {
    let labels = tree::at(spec, "template.metadata.labels");
    if selector.matches_tree(labels) {
        return None;
    }
    let why = "`selector` does not match template `labels`";
    let shown = labels.cloned().unwrap_or(Value::Null);
    Some(path.child("template").child("metadata").child("labels").invalid(shown, why))
}

/// The template of pods that run until they are deleted. `kind` and `unreadable` are upstream's words for the kind and
/// for a selector that cannot be read.
pub fn lasting_template(spec: &Value, path: &Path, kind: &str, unreadable: &str) -> Vec<Cause> {
    let selector = match LabelSelector::from_object(spec.get("selector")) {
        Ok(selector) => selector,
        Err(_) => return vec![path.child("selector").invalid(spec["selector"].clone(), unreadable)],
    };
    let mut causes: Vec<Cause> = unselected(&selector, spec, path).into_iter().collect();
    let none = Value::Null;
    causes.extend(pod_rules::validate_template(spec.get("template").unwrap_or(&none), &path.child("template")));
    causes.extend(lasting_pod(spec, path, kind));
    causes
}

/// Pods that are to run for ever may not be told to end.
pub fn lasting_pod(spec: &Value, path: &Path, kind: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let path = path.child("template").child("spec");
    let policy = tree::text(spec, "template.spec.restartPolicy");
    if policy != "Always" {
        causes.push(path.child("restartPolicy").not_supported(policy, &["Always"]));
    }
    if tree::is_set(spec, "template.spec.activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        causes.push(path.child("activeDeadlineSeconds").forbidden(&why));
    }
    causes
}

/// A selector is for life.
pub fn same_selector(new: &Value, old: &Value) -> Vec<Cause> {
    unchanged(new, old, &["spec.selector"])
}

/// The fields that differ though they may not change.
pub fn unchanged(new: &Value, old: &Value, fields: &[&str]) -> Vec<Cause> {
    let differs = |field: &&&str| tree::at(new, field) != tree::at(old, field);
    let cause = |field: &&str| {
        Path::new(field).invalid(tree::at(new, field).cloned().unwrap_or(Value::Null), "field is immutable")
    };
    fields.iter().filter(differs).map(cause).collect()
}

/// A status: which counts may not be negative, and which may not be more than another.
pub fn status_counts(object: &Value, counts: &[&str], at_most: &[(&str, &str, &str)]) -> Vec<Cause> {
    let path = Path::new("status");
    let none = Value::Null;
    let status = object.get("status").unwrap_or(&none);
    let mut causes = negative(status, &path, counts);
    for (field, most, why) in at_most {
        let (number, most) = (count(status, field), count(status, most));
        if number > most {
            causes.push(path.child(field).invalid(number, why));
        }
    }
    causes
}

pub const OVER_REPLICAS: &str = "cannot be greater than status.replicas";

/// How often a name was taken only grows.
pub fn collisions(new: &Value, old: &Value) -> Option<Cause> {
    let field = "status.collisionCount";
    let before = tree::int(old, field)?;
    let now = tree::int(new, field);
    let fewer = now.is_none_or(|now| now < before);
    fewer.then(|| Path::new(field).invalid(now.unwrap_or_default(), "cannot be decremented"))
}

/// Names of pods begin with the name of what makes them.
pub fn name_warning(new: &Value, old: Option<&Value>) -> Vec<String> {
    let whys = dns1123_label(tree::text(new, "metadata.name"));
    if old.is_some() || whys.is_empty() {
        return Vec::new();
    }
    let why =
        "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended";
    vec![format!("metadata.name: {why}: [{}]", whys.join(" "))]
}

/// What the template is warned of, where it is new or something of the spec changed.
pub fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some_and(|old| old.get("spec") == new.get("spec")) {
        return Vec::new();
    }
    let template = tree::at(new, "spec.template").unwrap_or(&Value::Null);
    pod_rules::warnings::template(template, &Path::new("spec.template"))
}

/// The warnings of kinds whose name and template become those of pods.
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    [name_warning(new, old), template_warnings(new, old)].concat()
}
