//! Names and addresses of a pod: DNS, hosts, the node's network.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_subdomain, ip, subdomain_with_underscore};
use serde_json::Value;

use super::{Asked, choice};
use crate::tree;

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const HOSTNAME_LEN_MAX: usize = 64;

pub fn dns_policy(policy: &str, path: &Path, out: &mut Vec<Cause>) {
    choice(policy, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, out);
}

pub fn dns_config(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let config = spec.get("dnsConfig").filter(|config| !config.is_null());
    let servers = config.map_or(&[][..], |config| tree::list(config, "nameservers"));
    if tree::text(spec, "dnsPolicy") == "None" {
        if config.is_none() {
            out.push(path.required("must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            out.push(path.child("nameservers").required(why));
            return;
        }
    }
    let Some(config) = config else { return };
    let at = path.child("nameservers");
    if servers.len() > SERVERS_MAX {
        out.push(at.invalid(servers.to_vec(), &format!("must not have more than {SERVERS_MAX} nameservers")));
    }
    for (i, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or_default();
        out.extend(at.index(i).invalid_each(server, ip(server)));
    }
    searches(tree::list(config, "searches"), &path.child("searches"), out);
    for (i, option) in tree::list(config, "options").iter().enumerate() {
        if tree::text(option, "name").is_empty() {
            out.push(path.child("options").index(i).required("must not be empty"));
        }
    }
}

fn searches(searches: &[Value], path: &Path, out: &mut Vec<Cause>) {
    let texts: Vec<&str> = searches.iter().filter_map(Value::as_str).collect();
    if texts.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        out.push(path.invalid(searches.to_vec(), &why));
    }
    if texts.join(" ").len() > SEARCH_CHARS_MAX {
        let why =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        out.push(path.invalid(searches.to_vec(), &why));
    }
    for (i, search) in texts.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        out.extend(path.index(i).invalid_each(search, subdomain_with_underscore(search)));
    }
}

pub fn host_aliases(aliases: &[Value], path: &Path, out: &mut Vec<Cause>) {
    for (i, alias) in aliases.iter().enumerate() {
        let address = tree::text(alias, "ip");
        out.extend(path.index(i).child("ip").invalid_each(address, ip(address)));
        for (j, name) in tree::texts(alias, "hostnames").into_iter().enumerate() {
            out.extend(path.index(i).child("hostnames").index(j).invalid_each(name, dns1123_subdomain(name)));
        }
    }
}

/// On the node's network a port is the node's: the two numbers are one. A template may still leave one out.
pub fn host_ports(spec: &Value, path: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    if !tree::flag(spec, "hostNetwork") {
        return;
    }
    for (i, container) in tree::list(spec, "containers").iter().enumerate() {
        for (j, port) in tree::list(container, "ports").iter().enumerate() {
            let number = |field: &str| tree::int(port, field).unwrap_or_default();
            let (host, own) = (number("hostPort"), number("containerPort"));
            if (asked.is_pod() || host != 0) && host != own {
                let at = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                out.push(at.invalid(host, "must match `containerPort` when `hostNetwork` is true"));
            }
        }
    }
}

/// A name instead of the pod's own (KEP-4762).
pub fn hostname_override(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let Some(name) = tree::at(spec, "hostnameOverride").and_then(Value::as_str) else { return };
    let at = path.child("hostnameOverride");
    if tree::flag(spec, "hostNetwork") {
        out.push(at.forbidden("may not be specified when hostNetwork is true"));
    }
    if tree::flag(spec, "setHostnameAsFQDN") {
        out.push(at.forbidden("may not be specified when setHostnameAsFQDN is true"));
    }
    out.extend(at.invalid_each(name, dns1123_subdomain(name)));
    if name.len() > HOSTNAME_LEN_MAX {
        out.push(at.too_long(HOSTNAME_LEN_MAX));
    }
}
