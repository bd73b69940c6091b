//! What Endpoints must be.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, ip, non_special_ip, port_number, qualified_name};
use serde_json::Value;

use super::pod_rules::choice;
use crate::tree;

pub fn validate(endpoints: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, subset) in tree::list(endpoints, "subsets").iter().enumerate() {
        let at = Path::new("subsets").index(i);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| tree::list(subset, list).is_empty()) {
            causes.push(at.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for list in lists {
            for (j, address) in tree::list(subset, list).iter().enumerate() {
                one_address(address, &at.child(list).index(j), &mut causes);
            }
        }
        let ports = tree::list(subset, "ports");
        for (j, port) in ports.iter().enumerate() {
            one_port(port, ports.len() > 1, &at.child("ports").index(j), &mut causes);
        }
    }
    causes
}

fn one_address(address: &Value, path: &Path, out: &mut Vec<Cause>) {
    let text = tree::text(address, "ip");
    let at = path.child("ip");
    let is_ip = ip(text);
    let is_bad = !is_ip.is_empty();
    out.extend(at.invalid_each(text, is_ip));
    let name = tree::text(address, "hostname");
    if !name.is_empty() {
        out.extend(path.child("hostname").invalid_each(name, dns1123_label(name)));
    }
    if let Some(node) = tree::at(address, "nodeName").and_then(Value::as_str) {
        out.extend(path.child("nodeName").invalid_each(node, dns1123_subdomain(node)));
    }
    if is_bad {
        out.push(at.invalid(text, "must be a valid IP address"));
    } else {
        out.extend(at.invalid_each(text, non_special_ip(text)));
    }
}

fn one_port(port: &Value, needs_name: bool, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(port, "name");
    if !name.is_empty() {
        out.extend(path.child("name").invalid_each(name, dns1123_label(name)));
    } else if needs_name {
        out.push(path.child("name").required(""));
    }
    let number = tree::int(port, "port").unwrap_or_default();
    out.extend(port_number(number).iter().map(|why| path.child("port").invalid(number, why)));
    choice(tree::text(port, "protocol"), &["SCTP", "TCP", "UDP"], &path.child("protocol"), out);
    if let Some(protocol) = tree::at(port, "appProtocol").and_then(Value::as_str) {
        out.extend(path.child("appProtocol").invalid_each(protocol, qualified_name(protocol)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn subsets_have_addresses_that_lead_somewhere() {
        let endpoints = json!({"subsets": [
            {"ports": [{"port": 0, "protocol": "TCP"}, {"port": 1, "name": "A", "protocol": "X"}]},
            {"addresses": [{"ip": "127.0.0.1", "hostname": "A"}, {"ip": "x", "nodeName": "B"}]},
        ]});
        let causes = super::validate(&endpoints);
        let told: String = causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect();
        expect![[r#"
            subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`
            subsets[0].ports[0].name: Required value
            subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            subsets[0].ports[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            subsets[0].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
            subsets[1].addresses[0].hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            subsets[1].addresses[1].nodeName: Invalid value: "B": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address
        "#]].assert_eq(&told);
    }
}
