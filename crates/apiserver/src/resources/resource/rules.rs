//! What device classes, claims and their templates must be. CEL expressions are stored as they are written.

use std::collections::BTreeMap;

use api::status::Cause;
use api::validation::Path;
use api::validation::meta::{annotations, labels};
use api::validation::name::{dns1123_label, dns1123_subdomain, label_value, qualified_name};
use serde_json::Value;

use crate::resources::core::resource_names::is_extended;
use crate::resources::fields::path;
use crate::resources::storage::driver_name;
use crate::tree;

const LIST_MAX: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const EXPRESSION_LEN_MAX: usize = 10 * 1024;
const PARAMETERS_LEN_MAX: usize = 10 * 1024;
const TOLERATIONS_MAX: usize = 16;
const RESERVED_MAX: usize = 256;
const POOL_LEN_MAX: usize = 253;
const ID_LEN_MAX: usize = 32;
const NOT_A_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Requests of a claim with their subrequests.
type Requests<'a> = BTreeMap<&'a str, Vec<&'a str>>;

pub fn device_class(class: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &class["spec"];
    let mut causes = each(spec, "selectors", LIST_MAX, &at, selector);
    causes.extend(each(spec, "config", LIST_MAX, &at, configuration));
    if let Some(name) = spec.get("extendedResourceName").and_then(Value::as_str)
        && !is_extended(name)
    {
        causes.push(at.child("extendedResourceName").invalid(name, "must be a valid extended resource name"));
    }
    causes
}

/// The items of a list, which is refused as a whole when it is too long.
pub(super) fn each(
    object: &Value,
    field: &str,
    count_max: usize,
    at: &Path,
    rule: impl Fn(&Value, &Path) -> Vec<Cause>,
) -> Vec<Cause> {
    let (items, at) = (tree::list(object, field), at.child(field));
    if items.len() > count_max {
        return vec![at.too_many(items.len(), count_max)];
    }
    items.iter().enumerate().flat_map(|(i, item)| rule(item, &at.index(i))).collect()
}

/// As [`each`], and no two items have the same key.
pub(super) fn each_once(
    object: &Value,
    field: &str,
    count_max: usize,
    at: &Path,
    key: fn(&Value) -> String,
    rule: impl Fn(&Value, &Path) -> Vec<Cause>,
) -> Vec<Cause> {
    let mut causes = each(object, field, count_max, at, rule);
    let items = tree::list(object, field);
    if items.len() > count_max {
        return causes;
    }
    let keys: Vec<String> = items.iter().map(key).collect();
    for (i, key) in keys.iter().enumerate().filter(|(i, key)| keys[..*i].contains(key)) {
        causes.push(at.child(field).index(i).duplicate(key.as_str()));
    }
    causes
}

pub(super) fn by_name(item: &Value) -> String {
    tree::text(item, "name").to_owned()
}

fn by_text(item: &Value) -> String {
    item.as_str().unwrap_or_default().to_owned()
}

fn selector(selector: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("cel");
    let Some(cel) = selector.get("cel") else { return vec![at.required("")] };
    if tree::text(cel, "expression").len() > EXPRESSION_LEN_MAX {
        return vec![at.child("expression").too_long(EXPRESSION_LEN_MAX)];
    }
    Vec::new()
}

fn configuration(config: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("opaque");
    let Some(opaque) = config.get("opaque") else { return vec![at.required("")] };
    let mut causes = driver_name(tree::text(opaque, "driver"), &at.child("driver"));
    let at = at.child("parameters");
    match opaque.get("parameters") {
        None | Some(Value::Null) => causes.push(at.required("")),
        Some(parameters) if parameters.to_string().len() > PARAMETERS_LEN_MAX => {
            causes.push(at.too_long(PARAMETERS_LEN_MAX));
        }
        Some(Value::Object(_)) => {}
        Some(_) => causes.push(at.invalid("<value omitted>", "must be a valid JSON object")),
    }
    causes
}

pub fn claim_create(claim: &Value) -> Vec<Cause> {
    devices(&claim["spec"]["devices"], &path("spec.devices"))
}

fn devices(devices: &Value, at: &Path) -> Vec<Cause> {
    let requests = requests_of(devices);
    let mut causes = each_once(devices, "requests", LIST_MAX, at, by_name, request);
    causes.extend(each(devices, "constraints", LIST_MAX, at, |one, at| constraint(one, at, &requests)));
    causes.extend(each(devices, "config", LIST_MAX, at, |one, at| {
        let mut causes = each_once(one, "requests", LIST_MAX, at, by_text, |name, at| request_ref(name, at, &requests));
        causes.extend(configuration(one, at));
        causes
    }));
    causes
}

fn requests_of(devices: &Value) -> Requests<'_> {
    let all = tree::list(devices, "requests").iter();
    all.map(|one| {
        let subrequests = tree::list(one, "firstAvailable").iter().map(|sub| tree::text(sub, "name"));
        (tree::text(one, "name"), subrequests.collect())
    })
    .collect()
}

fn request(one: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = label_name(tree::text(one, "name"), &at.child("name"));
    let first = tree::list(one, "firstAvailable");
    match (one.get("exactly"), first.is_empty()) {
        (None, true) => causes.push(at.required("exactly one of `exactly` or `firstAvailable` is required")),
        (Some(_), false) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            causes.push(at.invalid(Value::Null, why));
        }
        (None, false) => causes.extend(each_once(one, "firstAvailable", SUBREQUESTS_MAX, at, by_name, |sub, at| {
            let mut causes = label_name(tree::text(sub, "name"), &at.child("name"));
            causes.extend(exact(sub, at));
            causes
        })),
        (Some(one), true) => causes.extend(exact(one, &at.child("exactly"))),
    }
    causes
}

fn label_name(name: &str, at: &Path) -> Vec<Cause> {
    if name.is_empty() { vec![at.required("")] } else { at.invalid_each(name, dns1123_label(name)) }
}

fn exact(one: &Value, at: &Path) -> Vec<Cause> {
    let class = tree::text(one, "deviceClassName");
    let mut causes = match class {
        "" => vec![at.child("deviceClassName").required("")],
        class => at.child("deviceClassName").invalid_each(class, dns1123_subdomain(class)),
    };
    causes.extend(each(one, "selectors", LIST_MAX, at, selector));
    let count = tree::int(one, "count").unwrap_or_default();
    match tree::text(one, "allocationMode") {
        "All" if count != 0 => {
            causes.push(at.child("count").invalid(count, "must not be specified when allocationMode is 'All'"));
        }
        "ExactCount" if count <= 0 => causes.push(at.child("count").invalid(count, "must be greater than zero")),
        "All" | "ExactCount" => {}
        other => causes.push(at.child("allocationMode").not_supported(other, &["All", "ExactCount"])),
    }
    causes.extend(each(one, "tolerations", TOLERATIONS_MAX, at, toleration));
    causes
}

fn toleration(one: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (key, value) = (tree::text(one, "key"), tree::text(one, "value"));
    if !key.is_empty() {
        causes.extend(at.child("key").invalid_each(key, qualified_name(key)));
    }
    match tree::text(one, "operator") {
        "Exists" if !value.is_empty() => {
            causes.push(at.child("value").invalid(value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => causes.extend(at.child("value").invalid_each(value, label_value(value))),
        "" => causes.push(at.child("operator").required("")),
        other => causes.push(at.child("operator").not_supported(other, &["Equal", "Exists"])),
    }
    let effect = tree::text(one, "effect");
    if !matches!(effect, "" | "NoExecute" | "NoSchedule" | "None") {
        causes.push(at.child("effect").not_supported(effect, &["NoExecute", "NoSchedule", "None"]));
    }
    causes
}

fn constraint(one: &Value, at: &Path, requests: &Requests<'_>) -> Vec<Cause> {
    let mut causes = each_once(one, "requests", LIST_MAX, at, by_text, |name, at| request_ref(name, at, requests));
    match (one.get("matchAttribute").and_then(Value::as_str), one.get("distinctAttribute").and_then(Value::as_str)) {
        (Some(name), _) => causes.extend(full_name(name, &at.child("matchAttribute"))),
        (None, Some(name)) => causes.extend(full_name(name, &at.child("distinctAttribute"))),
        (None, None) => {
            let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are \
                       set";
            causes.push(at.required(why));
        }
    }
    causes
}

fn request_ref(name: &Value, at: &Path, requests: &Requests<'_>) -> Vec<Cause> {
    let name = name.as_str().unwrap_or_default();
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 2 {
        return vec![at.invalid(name, NOT_A_REQUEST)];
    }
    let mut causes: Vec<Cause> = parts.iter().flat_map(|part| label_name(part, at)).collect();
    let found = requests.get(parts[0]).is_some_and(|subs| parts.get(1).is_none_or(|sub| subs.contains(sub)));
    if !found {
        causes.push(at.invalid(name, NOT_A_REQUEST));
    }
    causes
}

/// `[domain/]name`, where the name could be a variable's.
pub(super) fn attribute_name(name: &str, at: &Path) -> Vec<Cause> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [name] => identifier(name, at),
        [domain, name] => {
            let mut causes = match *domain {
                "" => vec![at.invalid("", "the domain must not be empty")],
                domain => driver_name(domain, at),
            };
            causes.extend(match *name {
                "" => vec![at.invalid("", "the name must not be empty")],
                name => identifier(name, at),
            });
            causes
        }
        _ => Vec::new(),
    }
}

fn identifier(name: &str, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name.len() > ID_LEN_MAX {
        causes.push(at.too_long(ID_LEN_MAX));
    }
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let why = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                   alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for \
                   validation is '[A-Za-z_][A-Za-z0-9_]*')";
        causes.push(at.invalid(name, why));
    }
    causes
}

fn full_name(name: &str, at: &Path) -> Vec<Cause> {
    let mut causes = attribute_name(name, at);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        causes.push(at.invalid(name, why));
    }
    causes
}

pub(super) fn pool_name(name: &str, at: &Path) -> Vec<Cause> {
    if name.is_empty() {
        return vec![at.required("")];
    }
    let mut causes = Vec::new();
    if name.len() > POOL_LEN_MAX {
        causes.push(at.too_long(POOL_LEN_MAX));
    }
    causes.extend(name.split('/').flat_map(|part| at.invalid_each(part, dns1123_subdomain(part))));
    causes
}

/// What was asked for is for life.
pub fn spec_stays(new: &Value, old: &Value) -> Vec<Cause> {
    if new.get("spec") == old.get("spec") {
        return Vec::new();
    }
    vec![path("spec").invalid(new["spec"].clone(), "field is immutable")]
}

pub fn template_create(template: &Value) -> Vec<Cause> {
    let at = path("spec.metadata");
    let meta = &template["spec"]["metadata"];
    let mut causes = annotations(meta.get("annotations"), &at.child("annotations"));
    causes.extend(labels(meta.get("labels"), &at.child("labels")));
    let others = ["name", "generateName", "namespace", "finalizers", "ownerReferences"];
    for field in others.into_iter().filter(|field| meta.get(field).is_some()) {
        causes.push(at.child(field).forbidden("cannot be set"));
    }
    causes.extend(devices(&template["spec"]["spec"]["devices"], &path("spec.spec.devices")));
    causes
}

pub fn claim_status(new: &Value, old: &Value) -> Vec<Cause> {
    let at = path("status");
    let (status, before) = (&new["status"], &old["status"]);
    let by_uid = |user: &Value| tree::text(user, "uid").to_owned();
    let mut causes = each_once(status, "reservedFor", RESERVED_MAX, &at, by_uid, |user, at| {
        let empty = ["resource", "name", "uid"].into_iter().filter(|field| tree::text(user, field).is_empty());
        empty.map(|field| at.child(field).required("")).collect()
    });
    let (reserved, allocation) = (tree::list(status, "reservedFor"), status.get("allocation"));
    causes.extend(device_status(status, &at));
    let at_reserved = at.child("reservedFor");
    if !reserved.is_empty() && allocation.is_none() {
        causes.push(at_reserved.forbidden("may not be specified when `allocated` is not set"));
    } else if tree::is_set(new, "metadata.deletionTimestamp") {
        let known = tree::list(before, "reservedFor");
        if reserved.iter().any(|user| !known.contains(user)) {
            let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            causes.push(at_reserved.forbidden(why));
        }
    }
    let requests = requests_of(&new["spec"]["devices"]);
    match (allocation, before.get("allocation")) {
        (Some(now), Some(before)) if now != before => {
            causes.push(at.child("allocation").invalid(now.clone(), "field is immutable"));
        }
        (Some(now), None) => causes.extend(allocated(now, &at.child("allocation"), &requests)),
        _ => {}
    }
    causes
}

/// Only devices that were allocated have a status.
fn device_status(status: &Value, at: &Path) -> Vec<Cause> {
    let key = |device: &Value| ["driver", "pool", "device", "shareID"].map(|field| tree::text(device, field)).join("/");
    let given: Vec<String> = tree::list(status, "allocation.devices.results").iter().map(key).collect();
    each_once(status, "devices", usize::MAX, at, key, |device, at| {
        let mut causes = driver_name(tree::text(device, "driver"), &at.child("driver"));
        causes.extend(pool_name(tree::text(device, "pool"), &at.child("pool")));
        causes.extend(label_name(tree::text(device, "device"), &at.child("device")));
        if !given.contains(&key(device)) {
            causes.push(at.invalid(key(device).trim_end_matches('/'), "must be an allocated device in the claim"));
        }
        causes
    })
}

fn allocated(allocation: &Value, at: &Path, requests: &Requests<'_>) -> Vec<Cause> {
    let devices = &allocation["devices"];
    let at_devices = at.child("devices");
    let mut causes = each(devices, "results", LIST_MAX, &at_devices, |result, at| {
        let name = result.get("request").cloned().unwrap_or_default();
        let mut causes = request_ref(&name, &at.child("request"), requests);
        causes.extend(driver_name(tree::text(result, "driver"), &at.child("driver")));
        causes.extend(pool_name(tree::text(result, "pool"), &at.child("pool")));
        causes.extend(label_name(tree::text(result, "device"), &at.child("device")));
        causes
    });
    causes.extend(each(devices, "config", 2 * LIST_MAX, &at_devices, |config, at| {
        let source = at.child("source");
        let mut causes = match tree::text(config, "source") {
            "" => vec![source.required("")],
            "FromClaim" | "FromClass" => Vec::new(),
            other => vec![source.not_supported(other, &["FromClaim", "FromClass"])],
        };
        let names = each_once(config, "requests", LIST_MAX, at, by_text, |name, at| request_ref(name, at, requests));
        causes.extend(names);
        causes.extend(configuration(config, at));
        causes
    }));
    if let Some(selector) = allocation.get("nodeSelector") {
        causes.extend(crate::resources::core::pod_rules::node_selector(selector, &at.child("nodeSelector")));
    }
    causes
}
