//! What a ResourceSlice must be, and what of it may change.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, label_value, qualified_name};
use serde_json::Value;

use super::rules::{attribute_name, by_name, each, each_once, pool_name};
use crate::resources::core::pod_rules::node_selector;
use crate::resources::fields::{immutable, path, quantity};
use crate::resources::storage::driver_name;
use crate::tree;

const DEVICES_MAX: usize = 128;
const DEVICES_WITH_TAINTS_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const ATTRIBUTES_MAX: usize = 32;
const VALUE_LEN_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const CONSUMED_MAX: usize = 2;
const OPTIONS_MAX: usize = 10;
const WHERE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const DEVICE_WHERE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                            `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

pub fn validate(slice: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &slice["spec"];
    let mut causes = driver_name(tree::text(spec, "driver"), &at.child("driver"));
    causes.extend(pool(&spec["pool"], &at.child("pool")));
    let (wheres, wrong) = placed(spec, &at, true);
    causes.extend(wrong);
    match wheres.len() {
        0 => causes.push(at.required(WHERE)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", wheres.join(", "));
            causes.push(at.invalid(shown, &format!("{WHERE}, but multiple fields are set")));
        }
    }
    if spec.get("sharedCounters").is_some() && spec.get("devices").is_some() {
        causes.push(at.invalid("", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let devices = tree::list(spec, "devices").iter();
    let special =
        devices.clone().any(|device| device.get("taints").is_some() || device.get("consumesCounters").is_some());
    let count_max = if special { DEVICES_WITH_TAINTS_MAX } else { DEVICES_MAX };
    let each_placed = tree::flag(spec, "perDeviceNodeSelection");
    causes.extend(each_once(spec, "devices", count_max, &at, by_name, |one, at| device(one, each_placed, at)));
    causes.extend(each_once(spec, "sharedCounters", COUNTER_SETS_MAX, &at, by_name, |set, at| {
        let mut causes = named(set, "name", at);
        causes.extend(counters(set, at));
        causes
    }));
    causes
}

fn named(object: &Value, field: &str, at: &Path) -> Vec<Cause> {
    match tree::text(object, field) {
        "" => vec![at.child(field).required("")],
        name => at.child(field).invalid_each(name, dns1123_label(name)),
    }
}

fn counters(set: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("counters");
    let map = set.get("counters").and_then(Value::as_object);
    match map.map_or(0, serde_json::Map::len) {
        0 => vec![at.required("")],
        count if count > COUNTERS_MAX => vec![at.too_many(count, COUNTERS_MAX)],
        _ => {
            let names = map.into_iter().flatten().map(|(name, _)| name);
            names.flat_map(|name| at.key(name).invalid_each(name, dns1123_label(name))).collect()
        }
    }
}

fn pool(pool: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = pool_name(tree::text(pool, "name"), &at.child("name"));
    let count = tree::int(pool, "resourceSliceCount").unwrap_or_default();
    if count <= 0 {
        causes.push(at.child("resourceSliceCount").invalid(count, "must be greater than zero"));
    }
    if let Some(generation) = tree::int(pool, "generation").filter(|generation| *generation < 0) {
        causes.push(at.child("generation").invalid(generation, "must be greater than or equal to zero"));
    }
    causes
}

/// Which fields say where the devices are, and what is wrong with them.
fn placed(object: &Value, at: &Path, whole: bool) -> (Vec<&'static str>, Vec<Cause>) {
    let (mut fields, mut causes) = (Vec::new(), Vec::new());
    match object.get("nodeName").and_then(Value::as_str) {
        None => {}
        Some("") => {
            let why = if whole { "must be either unset or set to a non-empty string" } else { "must not be empty" };
            causes.push(at.child("nodeName").invalid("", why));
        }
        Some(name) => {
            fields.push("`nodeName`");
            causes.extend(at.child("nodeName").invalid_each(name, dns1123_subdomain(name)));
        }
    }
    if let Some(selector) = object.get("nodeSelector") {
        fields.push("`nodeSelector`");
        let at = at.child("nodeSelector");
        causes.extend(node_selector(selector, &at));
        let terms = tree::list(selector, "nodeSelectorTerms");
        if whole && terms.len() != 1 {
            let why = "must have exactly one node selector term";
            causes.push(at.child("nodeSelectorTerms").invalid(terms.to_vec(), why));
        }
    }
    let flags = [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")];
    for (field, shown) in flags.into_iter().take(if whole { 2 } else { 1 }) {
        match object.get(field).and_then(Value::as_bool) {
            Some(true) => fields.push(shown),
            Some(false) => causes.push(at.child(field).invalid(false, "must be either unset or set to true")),
            None => {}
        }
    }
    (fields, causes)
}

fn device(device: &Value, each_placed: bool, at: &Path) -> Vec<Cause> {
    let mut causes = named(device, "name", at);
    let map = |field: &str| device.get(field).and_then(Value::as_object).into_iter().flatten();
    let count = map("attributes").count() + map("capacity").count();
    if count > ATTRIBUTES_MAX {
        let why = format!("the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}");
        causes.push(at.invalid(count, &why));
    }
    for (name, value) in map("attributes") {
        let at = at.child("attributes").key(name);
        causes.extend(attribute_name(name, &at));
        causes.extend(attribute(value, &at));
    }
    let shared = tree::flag(device, "allowMultipleAllocations");
    for (name, value) in map("capacity") {
        let at = at.child("capacity").key(name);
        causes.extend(attribute_name(name, &at));
        let Some(policy) = value.get("requestPolicy") else { continue };
        let at = at.child("requestPolicy");
        if shared {
            causes.extend(request_policy(policy, value.get("value"), &at));
        } else {
            causes.push(at.forbidden("allowMultipleAllocations must be true"));
        }
    }
    causes.extend(each(device, "taints", TAINTS_MAX, at, taint));
    let by_set = |one: &Value| tree::text(one, "counterSet").to_owned();
    causes.extend(each_once(device, "consumesCounters", CONSUMED_MAX, at, by_set, |one, at| {
        let mut causes = named(one, "counterSet", at);
        causes.extend(counters(one, at));
        causes
    }));
    causes.extend(device_place(device, each_placed, at));
    causes
}

fn device_place(device: &Value, each_placed: bool, at: &Path) -> Vec<Cause> {
    let fields = ["nodeName", "nodeSelector", "allNodes"];
    if !each_placed {
        let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                   in the ResourceSlice spec";
        let set = fields.iter().any(|field| device.get(field).is_some());
        return set.then(|| at.invalid(Value::Null, why)).into_iter().collect();
    }
    let (wheres, mut causes) = placed(device, at, false);
    match wheres.len() {
        0 => causes.push(at.required(DEVICE_WHERE)),
        1 => {}
        _ => causes.push(at.invalid(format!("{{{}}}", wheres.join(", ")), DEVICE_WHERE)),
    }
    causes
}

fn attribute(value: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["string", "version"] {
        let Some(text) = value.get(field).and_then(Value::as_str) else { continue };
        let at = at.child(field);
        if field == "version" && !is_semver(text) {
            causes.push(at.invalid(text, "must be a string compatible with semver.org spec 2.0.0"));
        }
        if text.len() > VALUE_LEN_MAX {
            causes.push(at.too_long(VALUE_LEN_MAX));
        }
    }
    let set = ["bool", "int", "string", "version"].iter().filter(|field| value.get(**field).is_some()).count();
    match set {
        0 => causes.push(at.invalid("", "exactly one value must be specified")),
        1 => {}
        _ => causes.push(at.invalid(value.clone(), "exactly one value must be specified")),
    }
    causes
}

/// `1.2.3[-alpha.1][+build.5]`.
fn is_semver(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric());
    let pre_word = |part: &str| word(part) && (number(part) || part.bytes().any(|byte| !byte.is_ascii_digit()));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(pre_word))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn taint(taint: &Value, at: &Path) -> Vec<Cause> {
    let (key, value) = (tree::text(taint, "key"), tree::text(taint, "value"));
    let mut causes = at.child("key").invalid_each(key, qualified_name(key));
    causes.extend(at.child("value").invalid_each(value, label_value(value)));
    match tree::text(taint, "effect") {
        "" => causes.push(at.child("effect").required("")),
        "NoExecute" | "NoSchedule" | "None" => {}
        other => causes.push(at.child("effect").not_supported(other, &["NoExecute", "NoSchedule", "None"])),
    }
    causes
}

/// Which amounts of a capacity may be asked for.
fn request_policy(policy: &Value, capacity: Option<&Value>, at: &Path) -> Vec<Cause> {
    let capacity = capacity.and_then(quantity).unwrap_or_default();
    let default = policy.get("default").and_then(quantity);
    let values = tree::list(policy, "validValues");
    match (values.is_empty(), policy.get("validRange")) {
        (false, Some(_)) => {
            let why = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                       same time";
            vec![at.forbidden(why)]
        }
        (false, None) => match default {
            None => vec![at.child("default").required("required when validValues is defined")],
            Some(default) => valid_values(policy, default, capacity, at),
        },
        (true, Some(range)) => match default {
            None => vec![at.child("default").required("required when validRange is defined")],
            Some(default) => valid_range(range, default, capacity, &at.child("validRange")),
        },
        (true, None) => Vec::new(),
    }
}

fn valid_values(policy: &Value, default: Quantity, capacity: Quantity, at: &Path) -> Vec<Cause> {
    let here = at.child("validValues");
    let values: Vec<Quantity> = tree::list(policy, "validValues").iter().filter_map(quantity).collect();
    let mut causes = Vec::new();
    for (i, pair) in values.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        causes.push(here.index(i + 1).invalid(pair[1].to_string(), "values must be sorted in ascending order"));
    }
    let key = |value: &Value| quantity(value).map(|amount| amount.value().to_string()).unwrap_or_default();
    causes.extend(each_once(policy, "validValues", OPTIONS_MAX, at, key, |value, at| {
        let large = quantity(value).filter(|option| *option > capacity);
        let why = format!("option is larger than capacity value: {capacity}");
        large.map(|option| at.invalid(option.to_string(), &why)).into_iter().collect()
    }));
    if !values.contains(&default) {
        causes.push(here.invalid(default.to_string(), "default value is not valid according to the requestPolicy"));
    }
    causes
}

fn valid_range(range: &Value, default: Quantity, capacity: Quantity, at: &Path) -> Vec<Cause> {
    let bound = |field: &str| range.get(field).and_then(quantity);
    let Some(min) = bound("min") else {
        return vec![at.child("min").required("required when validRange is defined")];
    };
    let mut causes = Vec::new();
    let mut refuse = |wrong: bool, field: &str, shown: Quantity, why: String| {
        if wrong {
            causes.push(at.child(field).invalid(shown.to_string(), &why));
        }
    };
    refuse(min > capacity, "min", min, format!("min is larger than capacity value: {capacity}"));
    refuse(default < min, "min", default, format!("default is less than min: {min}"));
    if let Some(max) = bound("max") {
        refuse(min > max, "max", min, format!("min is larger than max: {max}"));
        refuse(max > capacity, "max", max, format!("max is larger than capacity value: {capacity}"));
        refuse(default > max, "max", default, format!("default is more than max: {max}"));
    }
    if let Some(step) = bound("step") {
        let sum = min + step;
        refuse(sum > capacity, "step", step, format!("one step {sum} is larger than capacity value: {capacity}"));
        for value in [Some(default), bound("max")].into_iter().flatten() {
            let off = step.value() != 0 && (value.value() - min.value()) % step.value() != 0;
            refuse(off, "step", value, format!("value is not a multiple of a given step ({step}) from ({min})"));
        }
    }
    causes
}

/// Whose devices they are is for life.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let fields = ["spec.pool.name", "spec.driver", "spec.nodeName"];
    fields.iter().flat_map(|field| immutable(new, old, field)).collect()
}
