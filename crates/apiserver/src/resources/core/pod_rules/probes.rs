//! Probes and lifecycle handlers.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{http_header, port_name, port_number};
use serde_json::Value;

use crate::tree;

/// Lifecycle and probes of a container that runs for long.
pub fn all(container: &Value, grace_secs: Option<i64>, path: &Path, out: &mut Vec<Cause>) {
    lifecycle(container, grace_secs, &path.child("lifecycle"), out);
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(own) = container.get(field).filter(|probe| !probe.is_null()) else { continue };
        let at = path.child(field);
        probe(own, &at, out);
        if field == "readinessProbe" {
            if let Some(secs) = tree::int(own, "terminationGracePeriodSeconds") {
                let why = "must not be set for readinessProbes";
                out.push(at.child("terminationGracePeriodSeconds").invalid(secs, why));
            }
        } else if let Some(threshold) = tree::int(own, "successThreshold").filter(|threshold| *threshold != 1) {
            out.push(at.child("successThreshold").invalid(threshold, "must be 1"));
        }
    }
}

fn lifecycle(container: &Value, grace_secs: Option<i64>, path: &Path, out: &mut Vec<Cause>) {
    let Some(lifecycle) = container.get("lifecycle").filter(|lifecycle| !lifecycle.is_null()) else { return };
    for hook in ["postStart", "preStop"] {
        if let Some(own) = lifecycle.get(hook).filter(|hook| !hook.is_null()) {
            handler(own, &["exec", "httpGet", "tcpSocket", "sleep"], grace_secs, &path.child(hook), out);
        }
    }
}

fn probe(probe: &Value, path: &Path, out: &mut Vec<Cause>) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], None, path, out);
    let numbers = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    for field in numbers {
        if let Some(number) = tree::int(probe, field).filter(|number| *number < 0) {
            out.push(path.child(field).invalid(number, "must be greater than or equal to 0"));
        }
    }
    if let Some(secs) = tree::int(probe, "terminationGracePeriodSeconds").filter(|secs| *secs <= 0) {
        out.push(path.child("terminationGracePeriodSeconds").invalid(secs, "must be greater than 0"));
    }
}

/// Exactly one of `kinds`.
fn handler(handler: &Value, kinds: &[&str], grace_secs: Option<i64>, path: &Path, out: &mut Vec<Cause>) {
    let mut found = false;
    for kind in kinds {
        let Some(action) = handler.get(*kind).filter(|action| !action.is_null()) else { continue };
        let at = path.child(kind);
        if found {
            out.push(at.forbidden("may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        match *kind {
            "exec" if tree::list(action, "command").is_empty() => out.push(at.child("command").required("")),
            "httpGet" => http_get(action, &at, out),
            "tcpSocket" | "grpc" => port(action.get("port"), &at.child("port"), out),
            "sleep" => sleep(action, grace_secs, &at, out),
            _ => {}
        }
    }
    if !found {
        out.push(path.required("must specify a handler type"));
    }
}

fn http_get(action: &Value, path: &Path, out: &mut Vec<Cause>) {
    if tree::text(action, "path").is_empty() {
        out.push(path.child("path").required(""));
    }
    port(action.get("port"), &path.child("port"), out);
    let scheme = tree::text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        out.push(path.child("scheme").not_supported(scheme, &["HTTP", "HTTPS"]));
    }
    for header in tree::list(action, "httpHeaders") {
        let name = tree::text(header, "name");
        out.extend(path.child("httpHeaders").invalid_each(name, http_header(name)));
    }
}

/// A port by number or by name.
pub fn port(port: Option<&Value>, path: &Path, out: &mut Vec<Cause>) {
    match port.and_then(Value::as_str) {
        Some(name) => out.extend(path.invalid_each(name, port_name(name))),
        None => {
            let number = port.and_then(Value::as_i64).unwrap_or_default();
            out.extend(port_number(number).iter().map(|why| path.invalid(number, why)));
        }
    }
}

fn sleep(action: &Value, grace_secs: Option<i64>, path: &Path, out: &mut Vec<Cause>) {
    let secs = tree::int(action, "seconds").unwrap_or_default();
    if let Some(grace) = grace_secs.filter(|grace| secs < 0 || secs > *grace) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        out.push(path.invalid(secs, &why));
    }
}
