//! The resolver configuration of a pod, by its dnsPolicy. Pure.

use cri::v1;

use crate::config::Config;
use crate::pod::PodRef;

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// `node` is the text of the node's own resolv.conf.
pub fn config(pod: &PodRef, config: &Config, node: &str) -> v1::DnsConfig {
    let cluster_first = match pod.spec().dns_policy.as_deref() {
        Some("None") => return customize(pod, v1::DnsConfig::default()),
        Some("Default") => false,
        Some("ClusterFirstWithHostNet") => true,
        _ => !pod.is_host_network(),
    };
    let mut of_node = parse(node);
    if !cluster_first || config.cluster_dns.is_empty() {
        return customize(pod, of_node);
    }
    let (namespace, domain) = (pod.namespace(), &config.cluster_domain);
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    searches.append(&mut of_node.searches);
    customize(pod, v1::DnsConfig { servers: config.cluster_dns.clone(), searches, options: vec!["ndots:5".to_owned()] })
}

/// Adds what the pod's dnsConfig says.
fn customize(pod: &PodRef, mut dns: v1::DnsConfig) -> v1::DnsConfig {
    if let Some(own) = &pod.spec().dns_config {
        dns.servers.extend(own.nameservers.iter().flatten().cloned());
        dns.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            let text = option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}"));
            dns.options.retain(|old| old.split(':').next() != Some(name));
            dns.options.push(text);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    dns.servers.retain(|server| seen.insert(server.clone()));
    dns.servers.truncate(SERVERS_MAX);
    let mut seen = std::collections::BTreeSet::new();
    dns.searches.retain(|search| seen.insert(search.clone()));
    dns.searches.truncate(SEARCHES_MAX);
    dns
}

fn parse(text: &str) -> v1::DnsConfig {
    let mut dns = v1::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => dns.servers.extend(words.next().map(str::to_owned)),
            Some("search") => dns.searches = words.filter(|word| *word != ".").map(str::to_owned).collect(),
            Some("options") => dns.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn each_policy_gives_its_resolver() {
        let settings = Config::new("n", "10.0.0.1");
        let node = "search corp.example\nnameserver 9.9.9.9\n";
        for (spec, expected) in [
            ("", "10.96.0.10 | d.svc.cluster.local svc.cluster.local cluster.local corp.example | ndots:5"),
            (r#""dnsPolicy": "Default","#, "9.9.9.9 | corp.example | "),
            (r#""hostNetwork": true,"#, "9.9.9.9 | corp.example | "),
            (
                r#""dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]},"#,
                "1.1.1.1 |  | ndots:2",
            ),
        ] {
            let pod = pod(&format!(r#"{{"metadata": {{"namespace": "d"}}, "spec": {{{spec} "containers": []}}}}"#));
            let dns = config(&pod, &settings, node);
            let told = [dns.servers, dns.searches, dns.options].map(|list| list.join(" ")).join(" | ");
            assert_eq!(told, expected);
        }
    }
}
