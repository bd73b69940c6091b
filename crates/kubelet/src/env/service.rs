//! The variables by which a pod finds services: Docker's link variables, as upstream makes them.

use std::collections::BTreeMap;

use api::typed::Service;

use crate::pod::PodRef;

/// The service that every pod is told of.
const MASTER: (&str, &str) = ("default", "kubernetes");

pub fn variables(pod: &PodRef, services: &[Service]) -> BTreeMap<String, String> {
    let links = pod.spec().enable_service_links.unwrap_or(true);
    let mut by_name: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        if links && namespace == pod.namespace() {
            by_name.insert(name, service);
        } else if (namespace, name) == MASTER {
            by_name.entry(name).or_insert(service);
        }
    }
    let mut variables = BTreeMap::new();
    for (name, service) in by_name {
        of_service(name, service, &mut variables);
    }
    variables
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn of_service(name: &str, service: &Service, variables: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let name = variable_name(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let mut set = |suffix: String, value: String| variables.insert(format!("{name}_{suffix}"), value);
    set("SERVICE_HOST".to_owned(), ip.to_owned());
    set("SERVICE_PORT".to_owned(), first.port.to_string());
    for port in ports {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            set(format!("SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string());
        }
        let prefix = format!("PORT_{}_{}", port.port, protocol.to_uppercase());
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if std::ptr::eq(port, first) {
            set("PORT".to_owned(), url.clone());
        }
        set(prefix.clone(), url);
        set(format!("{prefix}_PROTO"), protocol.to_lowercase());
        set(format!("{prefix}_PORT"), port.port.to_string());
        set(format!("{prefix}_ADDR"), ip.to_owned());
    }
}
