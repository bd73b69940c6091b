//! The annotations in which an autoscaling/v1 object carries what only v2 has. Their forms are upstream's: metrics as
//! v1 writes them, and behavior by the names that the fields have in Go.

use serde_json::{Map, Value, json};

use crate::tree;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What v1 has no fields for, in the form of v2.
#[derive(Default)]
pub struct Carried {
    pub metrics: Vec<Value>,
    pub current: Vec<Value>,
    pub conditions: Vec<Value>,
    pub behavior: Option<Value>,
}

/// A field of v2 and the one of v1, in each source.
type Names = &'static [(&'static str, &'static str)];

const OBJECT: Names = &[
    ("describedObject", "target"),
    ("metric.name", "metricName"),
    ("target.value", "targetValue"),
    ("metric.selector", "selector"),
    ("target.averageValue", "averageValue"),
];
const PODS: Names =
    &[("metric.name", "metricName"), ("target.averageValue", "targetAverageValue"), ("metric.selector", "selector")];
const RESOURCE: Names = &[
    ("name", "name"),
    ("container", "container"),
    ("target.averageUtilization", "targetAverageUtilization"),
    ("target.averageValue", "targetAverageValue"),
];
const EXTERNAL: Names = &[
    ("metric.name", "metricName"),
    ("metric.selector", "metricSelector"),
    ("target.value", "targetValue"),
    ("target.averageValue", "targetAverageValue"),
];
const SOURCES: &[(&str, Names)] = &[
    ("object", OBJECT),
    ("pods", PODS),
    ("resource", RESOURCE),
    ("containerResource", RESOURCE),
    ("external", EXTERNAL),
];
/// Fields of v1 that are there even when they are zero.
const ALWAYS: &[(&str, &str)] = &[
    ("object", "targetValue"),
    ("object", "currentValue"),
    ("pods", "targetAverageValue"),
    ("pods", "currentAverageValue"),
    ("resource", "currentAverageValue"),
    ("containerResource", "currentAverageValue"),
    ("external", "currentValue"),
];

/// The order of Go's fields, over all the structs that are written here.
const ORDER: &[&str] = &[
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "kind",
    "target",
    "name",
    "metricName",
    "metricSelector",
    "targetValue",
    "currentValue",
    "targetAverageUtilization",
    "targetAverageValue",
    "currentAverageUtilization",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "apiVersion",
    "matchLabels",
    "matchExpressions",
    "ScaleUp",
    "ScaleDown",
    "StabilizationWindowSeconds",
    "SelectPolicy",
    "Policies",
    "Tolerance",
    "Type",
    "Value",
    "PeriodSeconds",
];

/// Takes the annotations away and reads them. What cannot be read is dropped, as upstream does.
pub fn take(scaler: &mut Value) -> Carried {
    let mut read = |name: &str| -> Option<Value> {
        let annotations = scaler.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
        let text = annotations.remove(name)?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let mut list = |name: &str| match read(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let metrics = list(METRICS).iter().map(|metric| from_v1(metric, "target")).collect();
    let current = list(CURRENT).iter().map(|metric| from_v1(metric, "current")).collect();
    let conditions = list(CONDITIONS);
    let behavior = read(BEHAVIOR).map(|behavior| renamed(&behavior, lower)).filter(|behavior| behavior.is_object());
    if tree::at(scaler, "metadata.annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        tree::remove(scaler, "metadata.annotations");
    }
    Carried { metrics, current, conditions, behavior }
}

/// Writes the annotations. Those of the same names that were there are not ours to believe, and go.
pub fn put(scaler: &mut Value, carried: &Carried) {
    take(scaler);
    let mut write = |name: &str, value: Value| {
        tree::map_mut(scaler, "metadata.annotations").insert(name.to_owned(), go_json(&value).into());
    };
    for (name, metrics, part) in [(METRICS, &carried.metrics, "target"), (CURRENT, &carried.current, "current")] {
        if !metrics.is_empty() {
            write(name, metrics.iter().map(|metric| to_v1(metric, part)).collect());
        }
    }
    if let Some(behavior) = &carried.behavior {
        write(BEHAVIOR, go_behavior(behavior));
    }
    if !carried.conditions.is_empty() {
        write(CONDITIONS, carried.conditions.clone().into());
    }
}

/// The name of a field in a spec, or in a status, where what is a target is what is current.
fn of_part(name: &str, part: &str) -> String {
    match (name.strip_prefix("target"), part) {
        (Some(rest), "current") => format!("current{rest}"),
        _ => name.to_owned(),
    }
}

fn to_v1(metric: &Value, part: &str) -> Value {
    let mut out = json!({ "type": metric["type"] });
    for (source, names) in SOURCES {
        let Some(from) = metric.get(source).filter(|from| !from.is_null()) else { continue };
        let mut to = json!({});
        for (path, name) in *names {
            // Only the values are called otherwise; the object that is looked at is a target in both.
            let name = if *name == "target" { (*name).to_owned() } else { of_part(name, part) };
            match tree::at(from, &of_part(path, part)).filter(|value| !value.is_null()) {
                Some(value) => tree::set(&mut to, &name, value.clone()),
                None if ALWAYS.contains(&(*source, name.as_str())) => tree::set(&mut to, &name, "0"),
                None => {}
            }
        }
        tree::set(&mut out, source, to);
    }
    out
}

fn from_v1(metric: &Value, part: &str) -> Value {
    let mut out = json!({ "type": metric["type"] });
    for (source, names) in SOURCES {
        let Some(from) = metric.get(source).filter(|from| !from.is_null()) else { continue };
        let mut to = json!({});
        for (path, name) in *names {
            let name = if *name == "target" { (*name).to_owned() } else { of_part(name, part) };
            let value = from.get(&name).filter(|value| !value.is_null());
            let unused =
                value.and_then(Value::as_str) == Some("0") && *source == "object" && tree::is_set(from, "averageValue");
            if let Some(value) = value.filter(|_| !unused) {
                tree::set(&mut to, &of_part(path, part), value.clone());
            }
        }
        if part == "target" {
            let kind = ["averageUtilization", "averageValue", "value"].into_iter();
            let kind = kind
                .zip(["Utilization", "AverageValue", "Value"])
                .find(|(field, _)| tree::is_set(&to, &format!("target.{field}")));
            if let Some((_, kind)) = kind {
                tree::set(&mut to, "target.type", kind);
            }
        }
        tree::set(&mut out, source, to);
    }
    out
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn upper(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The tree with every field called anew; fields without a value go.
fn renamed(value: &Value, rename: fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            set.map(|(name, value)| (rename(name), renamed(value, rename))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, rename)).collect(),
        other => other.clone(),
    }
}

fn go_behavior(behavior: &Value) -> Value {
    let mut out = renamed(behavior, upper);
    for rules in ["ScaleUp", "ScaleDown"] {
        let Some(rules) = out.get_mut(rules).filter(|rules| rules.is_object()) else { continue };
        for field in ["StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance"] {
            tree::set_default(rules, field, Value::Null);
        }
    }
    for rules in ["ScaleUp", "ScaleDown"] {
        tree::set_default(&mut out, rules, Value::Null);
    }
    out
}

/// JSON with the fields in Go's order.
fn go_json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let place = |name: &str| ORDER.iter().position(|one| *one == name).unwrap_or(ORDER.len());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| place(name));
            let texts: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), go_json(value)))
                .collect();
            format!("{{{}}}", texts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_json).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
