//! What a pod must be, and what of it may change.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, env_name, port_name};
use serde_json::{Value, json};

use crate::causes::{duplicate, forbidden, invalid_value, not_found, required, unsupported};
use crate::tree;

pub fn validate(pod: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(spec) = pod.get("spec") {
        validate_spec(spec, "spec", &mut causes);
    }
    causes
}

pub fn validate_create(pod: &Value) -> Vec<Cause> {
    let set = !tree::list(pod, "spec.ephemeralContainers").is_empty();
    set.then(|| forbidden("spec.ephemeralContainers", "cannot be set on create")).into_iter().collect()
}

pub fn validate_part(_: &str, new: &Value, _: &Value) -> Vec<Cause> {
    validate(new)
}

/// The pod template of a workload.
pub fn validate_template(template: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = api::validation::meta::labels(tree::at(template, "metadata.labels"), &path.child("labels"));
    let annotations = tree::at(template, "metadata.annotations");
    causes.extend(api::validation::meta::annotations(annotations, &path.child("annotations")));
    let none = Value::Null;
    validate_spec(template.get("spec").unwrap_or(&none), &path.child("spec").to_string(), &mut causes);
    causes
}

fn validate_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes = validate_volumes(spec, path, causes);
    let containers = tree::list(spec, "containers");
    if containers.is_empty() {
        causes.push(required(&format!("{path}.containers"), ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in tree::list(spec, list).iter().enumerate() {
            let at = format!("{path}.{list}[{i}]");
            validate_container(container, &at, &volumes, causes);
            let name = tree::text(container, "name");
            if !name.is_empty() && names.contains(&name) {
                causes.push(duplicate(&format!("{at}.name"), &name.into()));
            }
            names.push(name);
        }
    }
    let policy = tree::text(spec, "restartPolicy");
    if !matches!(policy, "Always" | "OnFailure" | "Never") {
        causes.push(unsupported(&format!("{path}.restartPolicy"), policy, "\"Always\", \"OnFailure\", \"Never\""));
    }
    if let Some(secs) =
        tree::int(spec, "activeDeadlineSeconds").filter(|secs| !(1..=i64::from(i32::MAX)).contains(secs))
    {
        let why = "must be between 1 and 2147483647, inclusive";
        causes.push(invalid_value(&format!("{path}.activeDeadlineSeconds"), &secs.into(), why));
    }
    for field in ["hostname", "subdomain"] {
        let name = tree::text(spec, field);
        if !name.is_empty() {
            causes.extend(Path::new(&format!("{path}.{field}")).invalid_each(name, dns1123_label(name)));
        }
    }
    validate_node_affinity(spec, path, causes);
    for (i, toleration) in tree::list(spec, "tolerations").iter().enumerate() {
        validate_toleration(toleration, &format!("{path}.tolerations[{i}]"), causes);
    }
}

fn validate_volumes<'a>(spec: &'a Value, path: &str, causes: &mut Vec<Cause>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (i, volume) in tree::list(spec, "volumes").iter().enumerate() {
        let at = format!("{path}.volumes[{i}]");
        let name = tree::text(volume, "name");
        if name.is_empty() {
            causes.push(required(&format!("{at}.name"), ""));
        } else if names.contains(&name) {
            causes.push(duplicate(&format!("{at}.name"), &name.into()));
        } else {
            causes.extend(Path::new(&format!("{at}.name")).invalid_each(name, dns1123_label(name)));
        }
        let sources = volume.as_object().map_or(0, |fields| fields.keys().filter(|field| *field != "name").count());
        match sources {
            0 => causes.push(required(&at, "must specify a volume type")),
            1 => {}
            _ => causes.push(forbidden(&at, "may not specify more than 1 volume type")),
        }
        names.push(name);
    }
    names
}

fn validate_container(container: &Value, at: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let name = tree::text(container, "name");
    if name.is_empty() {
        causes.push(required(&format!("{at}.name"), ""));
    } else {
        causes.extend(Path::new(&format!("{at}.name")).invalid_each(name, dns1123_label(name)));
    }
    if tree::text(container, "image").is_empty() {
        causes.push(required(&format!("{at}.image"), ""));
    }
    let mut ports = Vec::new();
    for (i, port) in tree::list(container, "ports").iter().enumerate() {
        let number = tree::int(port, "containerPort").unwrap_or_default();
        if number == 0 {
            causes.push(required(&format!("{at}.ports[{i}].containerPort"), ""));
        } else if !(1..=65535).contains(&number) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(invalid_value(&format!("{at}.ports[{i}].containerPort"), &number.into(), why));
        }
        let own_name = tree::text(port, "name");
        let path = format!("{at}.ports[{i}].name");
        if !own_name.is_empty() && ports.contains(&own_name) {
            causes.push(duplicate(&path, &own_name.into()));
        } else if !own_name.is_empty() {
            causes.extend(Path::new(&path).invalid_each(own_name, port_name(own_name)));
        }
        ports.push(own_name);
    }
    validate_env(container, at, causes);
    for (i, mount) in tree::list(container, "volumeMounts").iter().enumerate() {
        let volume = tree::text(mount, "name");
        if !volumes.contains(&volume) {
            causes.push(not_found(&format!("{at}.volumeMounts[{i}].name"), volume));
        }
        if tree::text(mount, "mountPath").is_empty() {
            causes.push(required(&format!("{at}.volumeMounts[{i}].mountPath"), ""));
        }
    }
    validate_resources(container, at, causes);
    validate_security(container, at, causes);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe_tree) = container.get(probe).filter(|probe| !probe.is_null()) {
            let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
            if !handlers.iter().any(|handler| tree::is_set(probe_tree, handler)) {
                causes.push(required(&format!("{at}.{probe}"), "must specify a handler type"));
            }
        }
    }
}

fn validate_env(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (i, variable) in tree::list(container, "env").iter().enumerate() {
        let path = format!("{at}.env[{i}].name");
        match tree::text(variable, "name") {
            "" => causes.push(required(&path, "")),
            name => causes.extend(Path::new(&path).invalid_each(name, env_name(name))),
        }
    }
}

fn validate_resources(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    let limits = tree::at(container, "resources.limits").and_then(Value::as_object);
    let requests = tree::at(container, "resources.requests").and_then(Value::as_object);
    for (resource, request) in requests.into_iter().flatten() {
        let Some(limit) = limits.and_then(|limits| limits.get(resource)) else { continue };
        let quantity = |value: &Value| api::quantity::Quantity::parse(value.as_str().unwrap_or_default()).ok();
        if let (Some(asked), Some(most)) = (quantity(request), quantity(limit))
            && asked > most
        {
            let why =
                format!("must be less than or equal to {resource} limit of {}", limit.as_str().unwrap_or_default());
            causes.push(invalid_value(&format!("{at}.resources.requests"), request, &why));
        }
    }
}

fn validate_node_affinity(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let required_terms = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";
    let terms = tree::list(spec, &format!("{required_terms}.nodeSelectorTerms"));
    if terms.is_empty() && tree::is_set(spec, required_terms) {
        let why = "must have at least one node selector term";
        causes.push(required(&format!("{path}.{required_terms}.nodeSelectorTerms"), why));
    }
    for (i, term) in terms.iter().enumerate() {
        for (j, expression) in tree::list(term, "matchExpressions").iter().enumerate() {
            let at = format!("{path}.{required_terms}.nodeSelectorTerms[{i}].matchExpressions[{j}]");
            let values = tree::list(expression, "values").len();
            match tree::text(expression, "operator") {
                "In" | "NotIn" if values == 0 => {
                    causes.push(required(
                        &format!("{at}.values"),
                        "must be specified when `operator` is 'In' or 'NotIn'",
                    ));
                }
                "Exists" | "DoesNotExist" if values > 0 => {
                    let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    causes.push(forbidden(&format!("{at}.values"), why));
                }
                "Gt" | "Lt" if values != 1 => {
                    let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                    causes.push(required(&format!("{at}.values"), why));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                other => {
                    causes.push(invalid_value(
                        &format!("{at}.operator"),
                        &other.into(),
                        "not a valid selector operator",
                    ));
                }
            }
        }
    }
}

fn validate_security(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    let at = format!("{at}.securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        if let Some(id) = tree::int(container, &format!("securityContext.{field}")) {
            let range = 0..=i64::from(i32::MAX);
            if !range.contains(&id) {
                let why = "must be between 0 and 2147483647, inclusive";
                causes.push(invalid_value(&format!("{at}.{field}"), &id.into(), why));
            }
        }
    }
    let escalation = tree::at(container, "securityContext.allowPrivilegeEscalation").and_then(Value::as_bool);
    if escalation == Some(false) && tree::flag(container, "securityContext.privileged") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        causes.push(invalid_value(&at, &container["securityContext"], why));
    }
}

pub(crate) fn validate_toleration(toleration: &Value, at: &str, causes: &mut Vec<Cause>) {
    let (key, operator) = (tree::text(toleration, "key"), tree::text(toleration, "operator"));
    if key.is_empty() && operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        causes.push(invalid_value(&format!("{at}.operator"), &operator.into(), why));
    }
    if tree::is_set(toleration, "tolerationSeconds") && tree::text(toleration, "effect") != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        causes.push(invalid_value(&format!("{at}.effect"), &tree::text(toleration, "effect").into(), why));
    }
    match operator {
        "Exists" if !tree::text(toleration, "value").is_empty() => {
            let why = "value must be empty when `operator` is 'Exists'";
            causes.push(invalid_value(&format!("{at}.operator"), &toleration["value"], why));
        }
        "" | "Exists" | "Equal" => {}
        other => causes.push(unsupported(&format!("{at}.operator"), other, "\"Equal\", \"Exists\"")),
    }
}

const CHANGEABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let tolerations = tree::list(new, "spec.tolerations");
    if tree::list(old, "spec.tolerations").iter().any(|toleration| !tolerations.contains(toleration)) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        causes.push(forbidden("spec.tolerations", why));
    }
    let (deadline, before) =
        (tree::int(new, "spec.activeDeadlineSeconds"), tree::int(old, "spec.activeDeadlineSeconds"));
    if let Some(before) = before
        && deadline.is_none_or(|deadline| deadline > before)
    {
        let shown = deadline.map_or(Value::Null, Value::from);
        let why = if deadline.is_some() {
            "must be less than or equal to previous value"
        } else {
            "must not update from a positive integer to nil value"
        };
        causes.push(invalid_value("spec.activeDeadlineSeconds", &shown, why));
    }
    // With all that may change made the same, the rest must be the same.
    let mut munged = new.get("spec").cloned().unwrap_or_else(|| json!({}));
    let old_spec = old.get("spec").cloned().unwrap_or_else(|| json!({}));
    for list in ["containers", "initContainers"] {
        let before = tree::list(&old_spec, list).to_vec();
        if before.len() == tree::list(&munged, list).len() && !before.is_empty() {
            for (container, before) in tree::list_mut(&mut munged, list).iter_mut().zip(&before) {
                tree::copy(container, before, "image");
            }
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "ephemeralContainers"] {
        tree::copy(&mut munged, &old_spec, field);
    }
    let (grace, old_grace) =
        (tree::int(&munged, "terminationGracePeriodSeconds"), tree::int(&old_spec, "terminationGracePeriodSeconds"));
    if grace == Some(1) && old_grace.is_some_and(|secs| secs < 0) {
        tree::copy(&mut munged, &old_spec, "terminationGracePeriodSeconds");
    }
    if munged != old_spec {
        causes.push(forbidden("spec", &format!("{CHANGEABLE}\n{}", changed_fields(&munged, &old_spec))));
    }
    causes
}

/// Which fields a refused update changed: upstream prints a diff of its Go structs here.
fn changed_fields(new: &Value, old: &Value) -> String {
    let mut names: Vec<&String> =
        [new, old].into_iter().filter_map(Value::as_object).flat_map(|fields| fields.keys()).collect();
    names.sort();
    names.dedup();
    let line = |sign: &str, name: &str, spec: &Value| {
        spec.get(name).map_or_else(String::new, |value| format!("{sign} {name}: {value}\n"))
    };
    let changed = names.into_iter().filter(|name| new.get(name.as_str()) != old.get(name.as_str()));
    changed.map(|name| line("-", name, old) + &line("+", name, new)).collect()
}
