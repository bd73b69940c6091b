//! What a Service must be, and what of it may change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::meta::labels;
use api::validation::name::{cidr, dns1123_label, dns1123_subdomain, ip, non_special_ip, port_number, qualified_name};
use serde_json::{Value, json};

use super::pod_rules::{choice, port_or_name};
use crate::internal_form;
use crate::tree;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const LB_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const NOT_EXTERNAL: &str = "may not be set for ExternalName services";
const FINAL: &str = "may not change once set";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const AFFINITY_SECS_MAX: i64 = 86_400;

fn is_headless(service: &Value) -> bool {
    matches!(tree::texts(service, "spec.clusterIPs").as_slice(), ["None"])
}

fn kind(service: &Value) -> &str {
    tree::text(service, "spec.type")
}

/// It can be reached from outside the cluster, so how is a question.
fn is_reachable(service: &Value) -> bool {
    let has_ips = !tree::list(service, "spec.externalIPs").is_empty();
    matches!(kind(service), "LoadBalancer" | "NodePort") || kind(service) == "ClusterIP" && has_ips
}

/// Load balancers ask nodes whether they have endpoints.
pub fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && tree::text(service, "spec.externalTrafficPolicy") == "Local"
}

pub fn validate(service: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let out = &mut causes;
    let path = Path::new("spec");
    annotations_agree(service, out);
    if tree::list(service, "spec.ports").is_empty() && !is_headless(service) && kind(service) != "ExternalName" {
        out.push(path.child("ports").required(""));
    }
    by_type(service, &path, out);
    ports(service, &path.child("ports"), out);
    out.extend(labels(tree::at(service, "spec.selector"), &path.child("selector")));
    session_affinity(service, &path, out);
    addresses(service, &path, out);
    for (i, address) in tree::texts(service, "spec.externalIPs").into_iter().enumerate() {
        let at = path.child("externalIPs").index(i);
        let whys = ip(address);
        out.extend(at.invalid_each(address, if whys.is_empty() { non_special_ip(address) } else { whys }));
    }
    choice(kind(service), TYPES, &path.child("type"), out);
    each_port_once(service, &path.child("ports"), out);
    load_balancer(service, &path, out);
    traffic(service, &path, out);
    causes
}

fn annotations_agree(service: &Value, out: &mut Vec<Cause>) {
    let get = |name: &str| tree::at(service, "metadata.annotations")?.get(name)?.as_str();
    if let (Some(hints), Some(mode)) = (get(HINTS), get(TOPOLOGY_MODE))
        && hints != mode
    {
        let at = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
        out.push(at.invalid(mode, &format!("must match annotations[{HINTS}] when both are specified")));
    }
}

fn by_type(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    match kind(service) {
        kind @ ("LoadBalancer" | "NodePort") if is_headless(service) => {
            let why = format!("may not be set to 'None' for {kind} services");
            out.push(path.child("clusterIPs").index(0).invalid("None", &why));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if tree::is_set(service, &format!("spec.{field}")) {
                    out.push(path.child(field).forbidden(NOT_EXTERNAL));
                }
            }
            let name = tree::text(service, "spec.externalName");
            let at = path.child("externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => out.push(at.required("")),
                name => out.extend(at.invalid_each(name, dns1123_subdomain(name))),
            }
        }
        _ => {}
    }
}

fn ports(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let ports = tree::list(service, "spec.ports");
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let name = tree::text(port, "name");
        if ports.len() > 1 && name.is_empty() {
            out.push(at.child("name").required(""));
        } else if !name.is_empty() {
            out.extend(at.child("name").invalid_each(name, dns1123_label(name)));
            if !names.insert(name) {
                out.push(at.child("name").duplicate(name));
            }
        }
        let number = tree::int(port, "port").unwrap_or_default();
        out.extend(port_number(number).iter().map(|why| at.child("port").invalid(number, why)));
        choice(tree::text(port, "protocol"), &["SCTP", "TCP", "UDP"], &at.child("protocol"), out);
        port_or_name(port.get("targetPort"), &at.child("targetPort"), out);
        if let Some(protocol) = tree::at(port, "appProtocol").and_then(Value::as_str) {
            out.extend(at.child("appProtocol").invalid_each(protocol, qualified_name(protocol)));
        }
    }
}

fn session_affinity(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let affinity = tree::text(service, "spec.sessionAffinity");
    choice(affinity, &["ClientIP", "None"], &path.child("sessionAffinity"), out);
    let at = path.child("sessionAffinityConfig");
    let is_set = |field: &str| tree::is_set(service, &format!("spec.sessionAffinityConfig{field}"));
    if affinity == "None" && is_set("") {
        out.push(at.forbidden("must not be set when session affinity is None"));
    }
    if affinity != "ClientIP" {
        return;
    }
    let steps = [("", at.clone()), (".clientIP", at.child("clientIP"))];
    let timeout = at.child("clientIP").child("timeoutSeconds");
    for (field, at) in steps.into_iter().chain([(".clientIP.timeoutSeconds", timeout.clone())]) {
        if !is_set(field) {
            out.push(at.required("when session affinity type is ClientIP"));
            return;
        }
    }
    let secs = tree::int(service, "spec.sessionAffinityConfig.clientIP.timeoutSeconds").unwrap_or_default();
    if !(1..=AFFINITY_SECS_MAX).contains(&secs) {
        let why = format!("must be greater than 0 and less than {AFFINITY_SECS_MAX}");
        out.push(timeout.invalid(secs, &why));
    }
}

fn is_ipv6(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6())
}

/// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, which say parts of the same.
pub fn addresses(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    if kind(service) == "ExternalName" {
        return;
    }
    let at = path.child("clusterIPs");
    let single = tree::text(service, "spec.clusterIP");
    let all = tree::texts(service, "spec.clusterIPs");
    let shown = json!(all);
    match all.first() {
        None if !single.is_empty() => out.push(at.required("")),
        Some(_) if single.is_empty() => {
            out.push(at.invalid(shown.clone(), "must be empty when `clusterIP` is not specified"));
        }
        Some(first) if *first != single => out.push(at.invalid(shown.clone(), "first value must match `clusterIP`")),
        _ => {}
    }
    families(service, path, out);
    let mut is_bad = false;
    for (i, address) in all.iter().enumerate() {
        if i == 0 && *address == "None" {
            if all.len() > 1 {
                is_bad = true;
                out.push(at.invalid(shown.clone(), "'None' must be the first and only value"));
            }
            continue;
        }
        let whys = ip(address);
        is_bad |= !whys.is_empty();
        out.extend(at.index(i).invalid_each(address, whys));
    }
    if all.len() > 2 {
        out.push(at.invalid(shown.clone(), "may only hold up to 2 values"));
    }
    if is_bad {
        return;
    }
    if all.len() > 1 && all.iter().all(|address| is_ipv6(address) == is_ipv6(all[0])) {
        out.push(at.invalid(shown, "may specify no more than one IP for each IP family"));
    }
    if is_headless(service) {
        return;
    }
    for (i, (address, family)) in all.iter().zip(tree::texts(service, "spec.ipFamilies")).enumerate() {
        if (family == "IPv4" && is_ipv6(address)) || (family == "IPv6" && !is_ipv6(address)) {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            out.push(at.index(i).invalid(*address, &why));
        }
    }
}

fn families(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for (i, family) in tree::texts(service, "spec.ipFamilies").into_iter().enumerate() {
        let at = path.child("ipFamilies").index(i);
        if !matches!(family, "IPv4" | "IPv6") {
            out.push(at.not_supported(family, &["IPv4", "IPv6"]));
        }
        if !seen.insert(family) {
            out.push(at.duplicate(family));
        }
    }
    if let Some(policy) = tree::at(service, "spec.ipFamilyPolicy").and_then(Value::as_str) {
        let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        if !policies.contains(&policy) {
            out.push(path.child("ipFamilyPolicy").not_supported(policy, &policies));
        }
    }
}

fn each_port_once(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let ports = tree::list(service, "spec.ports");
    let node = |port: &Value| tree::int(port, "nodePort").unwrap_or_default();
    if kind(service) == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| node(port) != 0) {
            out.push(path.index(i).child("nodePort").forbidden("may not be used when `type` is 'ClusterIP'"));
        }
    }
    let mut taken = BTreeSet::new();
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| node(port) != 0) {
        if !taken.insert((tree::text(port, "protocol"), node(port))) {
            out.push(path.index(i).child("nodePort").duplicate(node(port)));
        }
    }
    let mut taken = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (protocol, number) = (tree::text(port, "protocol"), tree::int(port, "port").unwrap_or_default());
        if !taken.insert((protocol, number)) {
            let key = json!({ "protocol": protocol, "port": number });
            out.push(internal_form::duplicate(&path.index(i), "ServicePort", &key));
        }
    }
}

fn load_balancer(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let is_balanced = kind(service) == "LoadBalancer";
    let ranges = tree::texts(service, "spec.loadBalancerSourceRanges");
    let annotation = tree::at(service, "metadata.annotations").and_then(|all| all.get(RANGES)?.as_str());
    if !ranges.is_empty() {
        let at = path.child("LoadBalancerSourceRanges");
        if !is_balanced {
            out.push(at.forbidden(LB_ONLY));
        }
        for (i, range) in ranges.iter().enumerate() {
            out.extend(at.index(i).invalid_each(range.trim(), cidr(range.trim())));
        }
    } else if let Some(ranges) = annotation {
        let at = Path::new("metadata").child("annotations").key(RANGES);
        if !is_balanced {
            out.push(at.forbidden(LB_ONLY));
        }
        for range in ranges.trim().split(',').map(str::trim).filter(|_| !ranges.trim().is_empty()) {
            out.extend(at.invalid_each(range, cidr(range)));
        }
    }
    let allocates = tree::is_set(service, "spec.allocateLoadBalancerNodePorts");
    if allocates && !is_balanced {
        out.push(path.child("allocateLoadBalancerNodePorts").forbidden(LB_ONLY));
    }
    if !allocates && is_balanced {
        out.push(Path::new("allocateLoadBalancerNodePorts").required(""));
    }
    class(service, path, out);
}

fn class(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let Some(class) = tree::at(service, "spec.loadBalancerClass").and_then(Value::as_str) else { return };
    let at = path.child("loadBalancerClass");
    if kind(service) == "LoadBalancer" {
        out.extend(at.invalid_each(class, qualified_name(class)));
    } else {
        out.push(at.forbidden(LB_ONLY));
    }
}

fn traffic(service: &Value, path: &Path, out: &mut Vec<Cause>) {
    let policy = tree::text(service, "spec.externalTrafficPolicy");
    let at = path.child("externalTrafficPolicy");
    if is_reachable(service) {
        choice(policy, &["Cluster", "Local"], &at, out);
    } else if !policy.is_empty() {
        out.push(at.invalid(policy, "may only be set for externally-accessible services"));
    }
    let port = tree::int(service, "spec.healthCheckNodePort").unwrap_or_default();
    let at = path.child("healthCheckNodePort");
    match (needs_health_check(service), port) {
        (false, 0) => {}
        (false, port) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            out.push(at.invalid(port, why));
        }
        (true, 0) => out.push(at.required("")),
        (true, port) => out.extend(port_number(port).iter().map(|why| at.invalid(port, why))),
    }
    let at = path.child("internalTrafficPolicy");
    match tree::at(service, "spec.internalTrafficPolicy").and_then(Value::as_str) {
        None if matches!(kind(service), "NodePort" | "LoadBalancer" | "ClusterIP") => out.push(at.required("")),
        Some(policy) if !matches!(policy, "Cluster" | "Local") => {
            out.push(at.not_supported(policy, &["Cluster", "Local"]));
        }
        _ => {}
    }
    const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameNode", "PreferSameZone"];
    if let Some(chosen) = tree::at(service, "spec.trafficDistribution").and_then(Value::as_str)
        && !DISTRIBUTIONS.contains(&chosen)
    {
        out.push(path.child("trafficDistribution").not_supported(chosen, DISTRIBUTIONS));
    }
}

/// Addresses and families are for life, unless the service stops or starts to have some.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let mut causes = Vec::new();
    if kind(new) != "ExternalName" && kind(old) != "ExternalName" {
        if !(is_headless(new) && is_headless(old)) {
            let what = ("clusterIPs", "primary clusterIP can not be unset", "clusterIP");
            first_stays(new, old, &path, what, &mut causes);
        }
        if !is_headless(new) && !is_headless(old) {
            let what = ("ipFamilies", "primary ipFamily can not be unset", "ipFamily");
            first_stays(new, old, &path, what, &mut causes);
        }
    }
    let class = |service: &Value| tree::at(service, "spec.loadBalancerClass").cloned();
    if kind(new) == "LoadBalancer" && kind(old) == "LoadBalancer" && class(new) != class(old) {
        causes.push(path.child("loadBalancerClass").invalid(class(new).unwrap_or_default(), FINAL));
    }
    let port = |service: &Value| tree::int(service, "spec.healthCheckNodePort");
    if needs_health_check(new) && needs_health_check(old) && port(new) != port(old) {
        causes.push(path.child("healthCheckNodePort").forbidden("field is immutable"));
    }
    causes
}

/// The first of a list stays; a second may come and go.
fn first_stays(new: &Value, old: &Value, path: &Path, what: (&str, &str, &str), out: &mut Vec<Cause>) {
    let (field, unset, named) = what;
    let of = |service: &'_ Value| -> Vec<String> {
        tree::texts(service, &format!("spec.{field}")).into_iter().map(str::to_owned).collect()
    };
    let (after, before) = (of(new), of(old));
    let shown = || if after.is_empty() { Value::Null } else { json!(after) };
    let at = path.child(field);
    if after.len() == before.len() {
        let changed = before.iter().zip(&after).enumerate().filter(|(_, (before, after))| before != after);
        // Upstream names the first family, whichever it was.
        let told = |i: usize| at.index(if field == "ipFamilies" { 0 } else { i });
        out.extend(changed.map(|(i, _)| told(i).invalid(shown(), FINAL)));
        return;
    }
    if after.is_empty() {
        out.push(at.index(0).invalid(shown(), unset));
    }
    if let (Some(first), Some(own)) = (before.first(), after.first())
        && first != own
    {
        out.push(at.index(0).invalid(shown(), FINAL));
    }
    let policy = tree::at(new, "spec.ipFamilyPolicy").cloned().unwrap_or_default();
    if before.len() > after.len() && after.len() == 1 && policy != "SingleStack" {
        let why = format!("must be set to 'SingleStack' when releasing the secondary {named}");
        out.push(path.child("ipFamilyPolicy").invalid(policy, &why));
    }
}

pub fn validate_status(new: &Value, _: &Value) -> Vec<Cause> {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = tree::list(new, "status.loadBalancer.ingress");
    if kind(new) != "LoadBalancer" && !ingress.is_empty() {
        return vec![path.forbidden("may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let mut causes = Vec::new();
    for (i, entry) in ingress.iter().enumerate() {
        let at = path.index(i);
        let (address, name) = (tree::text(entry, "ip"), tree::text(entry, "hostname"));
        if !address.is_empty() {
            causes.extend(at.child("ip").invalid_each(address, ip(address)));
        }
        let mode = at.child("ipMode");
        match tree::at(entry, "ipMode").and_then(Value::as_str) {
            None if !address.is_empty() => causes.push(mode.required("must be specified when `ip` is set")),
            None => {}
            Some(_) if address.is_empty() => causes.push(mode.forbidden("may not be specified when `ip` is not set")),
            Some(chosen) if !matches!(chosen, "Proxy" | "VIP") => {
                causes.push(mode.not_supported(chosen, &["Proxy", "VIP"]));
            }
            Some(_) => {}
        }
        if !name.is_empty() {
            causes.extend(at.child("hostname").invalid_each(name, dns1123_subdomain(name)));
            if ip(name).is_empty() {
                causes.push(at.child("hostname").invalid(name, "must be a DNS name, not an IP address"));
            }
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use api::schema;
    use expect_test::{Expect, expect};

    use super::*;

    fn service(spec: Value) -> Value {
        let mut whole = json!({ "metadata": { "name": "s" }, "spec": spec });
        let types = schema::builtin().lookup("io.k8s.api.core.v1.Service").unwrap();
        schema::normalize(&mut whole, types);
        schema::apply_defaults(&mut whole, types);
        whole
    }

    fn told(causes: &[Cause]) -> String {
        causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
    }

    fn check(spec: Value, expected: Expect) {
        expected.assert_eq(&told(&validate(&service(spec))));
    }

    #[test]
    fn ports_are_told_apart_and_of_a_kind() {
        check(
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "a", "appProtocol": "x y"}, {"port": 0, "protocol": "ICMP", "targetPort": "A"}]}),
            expect![[r#"
                spec.ports[1].name: Duplicate value: "a"
                spec.ports[1].appProtocol: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                spec.ports[2].name: Required value
                spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive
                spec.ports[2].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
                spec.ports[2].targetPort: Invalid value: "A": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
                spec.ports[2].targetPort: Invalid value: "A": must contain at least one letter (a-z)
                spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}
            "#]],
        );
        check(
            json!({"type": "NodePort", "ports": [{"port": 1, "name": "a", "nodePort": 30000}, {"port": 2, "name": "b", "nodePort": 30000}]}),
            expect![[r#"
            spec.ports[1].nodePort: Duplicate value: 30000
        "#]],
        );
        check(
            json!({"ports": [{"port": 1, "nodePort": 30000}]}),
            expect![[r#"
            spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
        "#]],
        );
    }

    #[test]
    fn each_type_has_fields_of_its_own() {
        check(
            json!({"type": "ExternalName", "clusterIPs": ["1.1.1.1"], "ipFamilyPolicy": "SingleStack"}),
            expect![[r#"
            spec.clusterIPs: Forbidden: may not be set for ExternalName services
            spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services
            spec.externalName: Required value
        "#]],
        );
        check(
            json!({"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 1}], "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["x"], "loadBalancerClass": "a b"}),
            expect![[r#"
            spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for LoadBalancer services
            spec.LoadBalancerSourceRanges[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.loadBalancerClass: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.healthCheckNodePort: Required value
        "#]],
        );
        check(
            json!({"type": "Other", "ports": [{"port": 1}], "loadBalancerClass": "a", "allocateLoadBalancerNodePorts": true, "externalTrafficPolicy": "Local", "healthCheckNodePort": 5, "trafficDistribution": "Near"}),
            expect![[r#"
            spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"
            spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'
            spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'
            spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services
            spec.healthCheckNodePort: Invalid value: 5: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'
            spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"
        "#]],
        );
    }

    #[test]
    fn addresses_agree_with_each_other() {
        check(
            json!({"clusterIP": "1.1.1.1", "clusterIPs": ["1.1.1.2", "1.1.1.3"], "ipFamilies": ["IPv6", "IPv9"], "ipFamilyPolicy": "Any", "ports": [{"port": 1}]}),
            expect![[r#"
            spec.clusterIPs: Invalid value: ["1.1.1.2","1.1.1.3"]: first value must match `clusterIP`
            spec.ipFamilies[1]: Unsupported value: "IPv9": supported values: "IPv4", "IPv6"
            spec.ipFamilyPolicy: Unsupported value: "Any": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"
            spec.clusterIPs: Invalid value: ["1.1.1.2","1.1.1.3"]: may specify no more than one IP for each IP family
            spec.clusterIPs[0]: Invalid value: "1.1.1.2": expected an IPv6 value as indicated by `ipFamilies[0]`
        "#]],
        );
        check(
            json!({"clusterIP": "x", "clusterIPs": ["x"], "externalIPs": ["127.0.0.1", "y"], "ports": [{"port": 1}]}),
            expect![[r#"
            spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            spec.externalIPs[1]: Invalid value: "y": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        "#]],
        );
        check(
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}, "ports": [{"port": 1}]}),
            expect![[r#"
            spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400
        "#]],
        );
    }

    #[test]
    fn what_a_service_was_given_stays() {
        let with = |spec: Value| json!({ "spec": spec });
        let update = |new: Value, old: Value| told(&validate_update(&with(new), &with(old)));
        let old = json!({"type": "LoadBalancer", "clusterIPs": ["1.1.1.1"], "ipFamilies": ["IPv4"], "loadBalancerClass": "a/b"});
        let mut new = old.clone();
        new["clusterIPs"] = json!(["1.1.1.2"]);
        new["loadBalancerClass"] = json!("c/d");
        new["ipFamilies"] = json!(["IPv6"]);
        expect![[r#"
            spec.clusterIPs[0]: Invalid value: ["1.1.1.2"]: may not change once set
            spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set
            spec.loadBalancerClass: Invalid value: "c/d": may not change once set
        "#]]
        .assert_eq(&update(new, old.clone()));
        expect![[""]].assert_eq(&update(json!({"type": "ExternalName"}), old));
    }

    #[test]
    fn a_load_balancer_gives_addresses_or_names() {
        let ingress =
            json!([{"ip": "x"}, {"hostname": "1.2.3.4", "ipMode": "VIP"}, {"ip": "1.2.3.4", "ipMode": "Other"}]);
        let mut balanced = json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}});
        expect![[r#"
            status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set
            status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set
            status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
            status.loadBalancer.ingress[2].ipMode: Unsupported value: "Other": supported values: "Proxy", "VIP"
        "#]].assert_eq(&told(&validate_status(&balanced, &Value::Null)));
        balanced["spec"]["type"] = json!("ClusterIP");
        expect![[r#"
            status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'
        "#]]
        .assert_eq(&told(&validate_status(&balanced, &Value::Null)));
    }
}
