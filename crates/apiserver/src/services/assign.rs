//! What one Service gets: cluster IP, families, node ports. Texts are upstream's.

use std::net::Ipv4Addr;

use api::status::Cause;
use api::validation::Path;
use serde_json::{Value, json};
use stdx::Rng;

use super::{Refused, Reservation, State};
use crate::resources::core::service::has_cluster_ip;
use crate::resources::core::service_rules::needs_health_check;
use crate::tree;

const HEALTH_PORT: &str = "spec.healthCheckNodePort";

/// The addresses that a service holds.
pub(super) fn ips_of(service: &Value) -> Vec<u32> {
    let listed = tree::texts(service, "spec.clusterIPs");
    let all = if listed.is_empty() { vec![tree::text(service, "spec.clusterIP")] } else { listed };
    all.into_iter().filter_map(|ip| ip.parse::<Ipv4Addr>().ok()).map(u32::from).collect()
}

/// The node ports that a service holds.
pub(super) fn ports_of(service: &Value) -> Vec<u32> {
    let ports = tree::list(service, "spec.ports").iter().filter_map(|port| tree::int(port, "nodePort"));
    let health = tree::int(service, "spec.healthCheckNodePort");
    let all = ports.chain(health).filter_map(|port| u32::try_from(port).ok()).filter(|port| *port > 0);
    let mut all: Vec<u32> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn has_node_ports(service: &Value) -> bool {
    match tree::text(service, "spec.type") {
        "NodePort" => true,
        "LoadBalancer" => {
            tree::at(service, "spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false)
        }
        _ => false,
    }
}

pub(super) fn assign(
    state: &mut State,
    rng: &Rng,
    service: &mut Value,
    old: Option<&Value>,
    reservation: &mut Reservation,
) -> Vec<Cause> {
    if let Some(old) = old {
        carry(service, old);
    }
    let causes = match has_cluster_ip(service) {
        true => assign_ip(state, rng, service, old, reservation),
        false => Vec::new(),
    };
    if !causes.is_empty() {
        return causes;
    }
    let causes = assign_ports(state, rng, service, old, reservation);
    if !causes.is_empty() {
        return causes;
    }
    assign_health_port(state, rng, service, old, reservation)
}

/// An update that says nothing about families and ports keeps them.
fn carry(service: &mut Value, old: &Value) {
    if has_cluster_ip(service) && has_cluster_ip(old) {
        for field in ["spec.ipFamilies", "spec.ipFamilyPolicy"] {
            if !tree::is_set(service, field) {
                tree::copy(service, old, field);
            }
        }
    }
    if needs_health_check(service) && needs_health_check(old) && !tree::is_set(service, HEALTH_PORT) {
        tree::copy(service, old, HEALTH_PORT);
    }
    // A service that becomes internal gives up the ports that it was given.
    let is_same = |i: usize, number: i64| {
        let before = tree::list(old, "spec.ports").get(i).and_then(|port| tree::int(port, "nodePort"));
        before == Some(number)
    };
    for i in 0..tree::list(service, "spec.ports").len() {
        let port = &tree::list(service, "spec.ports")[i];
        let node_port = tree::int(port, "nodePort").unwrap_or_default();
        if has_node_ports(service) && has_node_ports(old) && node_port == 0 {
            let same = |other: &&Value| ["port", "protocol"].iter().all(|field| other.get(field) == port.get(field));
            let kept = tree::list(old, "spec.ports").iter().find(same).and_then(|other| tree::int(other, "nodePort"));
            let is_free = |kept: &i64| {
                tree::list(service, "spec.ports").iter().all(|port| tree::int(port, "nodePort") != Some(*kept))
            };
            if let Some(kept) = kept.filter(is_free) {
                tree::set(&mut tree::list_mut(service, "spec.ports")[i], "nodePort", kept);
            }
        } else if !has_node_ports(service) && has_node_ports(old) && node_port != 0 && is_same(i, node_port) {
            tree::remove(&mut tree::list_mut(service, "spec.ports")[i], "nodePort");
        }
    }
}

/// The port on which nodes answer load balancers: as asked, or any.
fn assign_health_port(
    state: &mut State,
    rng: &Rng,
    service: &mut Value,
    old: Option<&Value>,
    reservation: &mut Reservation,
) -> Vec<Cause> {
    if !needs_health_check(service) {
        return Vec::new();
    }
    let asked = tree::int(service, HEALTH_PORT).unwrap_or_default();
    let Some(port) = u32::try_from(asked).ok().filter(|port| *port > 0) else {
        let Ok(chosen) = state.ports.choose(rng) else {
            return vec![cause(HEALTH_PORT, "0", "failed to allocate a nodePort: range is full")];
        };
        reservation.ports.push(chosen);
        tree::set(service, HEALTH_PORT, chosen);
        return Vec::new();
    };
    if old.map(ports_of).unwrap_or_default().contains(&port) || old.is_some_and(needs_health_check) {
        return Vec::new();
    }
    match state.ports.take(port) {
        Ok(()) => reservation.ports.push(port),
        Err(refused) => {
            let why = match refused {
                Refused::OutOfRange => "provided port is not in the valid range",
                Refused::Taken | Refused::Full => "provided port is already allocated",
            };
            let why = format!("failed to allocate requested HealthCheck NodePort {port}: {why}");
            return vec![cause(HEALTH_PORT, &port.to_string(), &why)];
        }
    }
    Vec::new()
}

fn assign_ip(
    state: &mut State,
    rng: &Rng,
    service: &mut Value,
    old: Option<&Value>,
    reservation: &mut Reservation,
) -> Vec<Cause> {
    // What is wrong in itself is for validation to say.
    let mut causes = Vec::new();
    crate::resources::core::service_rules::addresses(service, &Path::new("spec"), &mut causes);
    if !causes.is_empty() {
        return causes;
    }
    let headless = tree::text(service, "spec.clusterIP") == "None";
    let families = tree::texts(service, "spec.ipFamilies");
    let alien = families.iter().position(|family| *family != "IPv4").filter(|_| !headless);
    if let Some(at) = alien {
        let why = "not configured on this cluster";
        causes.push(Path::new("spec.ipFamilies").index(at).invalid(families[at], why));
    }
    if tree::text(service, "spec.ipFamilyPolicy") == "RequireDualStack" && !headless {
        let why = "this cluster is not configured for dual-stack services";
        causes.push(cause("spec.ipFamilyPolicy", "\"RequireDualStack\"", why));
    }
    if !causes.is_empty() {
        return causes;
    }
    let listed = tree::texts(service, "spec.clusterIPs").first().copied().unwrap_or_default();
    let single = tree::text(service, "spec.clusterIP");
    let asked = if single.is_empty() { listed } else { single }.to_owned();
    // A headless service without a selector may have endpoints of both families.
    let open = asked == "None" && tree::at(service, "spec.selector").is_none();
    let (families, policy) =
        if open { (json!(["IPv4", "IPv6"]), "RequireDualStack") } else { (json!(["IPv4"]), "SingleStack") };
    tree::set_default(service, "spec.ipFamilies", families);
    tree::set_default(service, "spec.ipFamilyPolicy", policy);
    if asked == "None" {
        tree::set(service, "spec.clusterIP", "None");
        tree::set(service, "spec.clusterIPs", json!(["None"]));
        return Vec::new();
    }
    let held = old.map(ips_of).unwrap_or_default();
    // An address that a service already has may not change, which validation says.
    if !asked.is_empty() && !held.is_empty() {
        return Vec::new();
    }
    let ip = if asked.is_empty() {
        match state.ips.choose(rng) {
            Ok(ip) => ip,
            Err(_) => return vec![cause("spec.clusterIPs", "[]", "failed to allocate a serviceIP: range is full")],
        }
    } else {
        let Ok(ip) = asked.parse::<Ipv4Addr>().map(u32::from) else { return Vec::new() };
        match state.ips.take(ip) {
            Ok(()) => ip,
            Err(refused) => return vec![refused_ip(&asked, refused)],
        }
    };
    reservation.ips.push(ip);
    let text = Ipv4Addr::from(ip).to_string();
    tree::set(service, "spec.clusterIP", text.as_str());
    tree::set(service, "spec.clusterIPs", json!([text]));
    Vec::new()
}

fn refused_ip(ip: &str, refused: Refused) -> Cause {
    let why = match refused {
        Refused::OutOfRange => {
            format!("failed to allocate IP {ip}: the provided network does not match the current range")
        }
        Refused::Taken | Refused::Full => format!("failed to allocate IP {ip}: provided IP is already allocated"),
    };
    cause("spec.clusterIPs", &format!("[{ip:?}]"), &why)
}

fn assign_ports(
    state: &mut State,
    rng: &Rng,
    service: &mut Value,
    old: Option<&Value>,
    reservation: &mut Reservation,
) -> Vec<Cause> {
    if !has_node_ports(service) {
        return Vec::new();
    }
    let held = old.map(ports_of).unwrap_or_default();
    let mut mine: Vec<u32> = Vec::new();
    // Explicit ports first, so that none of them is chosen for another.
    for i in 0..tree::list(service, "spec.ports").len() {
        let asked = tree::int(&tree::list(service, "spec.ports")[i], "nodePort").unwrap_or_default();
        let Some(port) = u32::try_from(asked).ok().filter(|port| *port > 0) else { continue };
        if held.contains(&port) || mine.contains(&port) {
            continue;
        }
        if let Err(refused) = state.ports.take(port) {
            return vec![refused_port(i, port, refused, state.ports.bounds())];
        }
        reservation.ports.push(port);
        mine.push(port);
    }
    for i in 0..tree::list(service, "spec.ports").len() {
        let ports = tree::list_mut(service, "spec.ports");
        if tree::int(&ports[i], "nodePort").unwrap_or_default() != 0 {
            continue;
        }
        // The same port over TCP and UDP shares a node port.
        let number = ports[i].get("port").cloned();
        let shared = ports.iter().find(|other| other.get("port") == number.as_ref() && tree::is_set(other, "nodePort"));
        if let Some(shared) = shared.and_then(|other| other.get("nodePort").cloned()) {
            tree::set(&mut ports[i], "nodePort", shared);
            continue;
        }
        let Ok(chosen) = state.ports.choose(rng) else {
            return vec![cause(
                &format!("spec.ports[{i}].nodePort"),
                "0",
                "failed to allocate a nodePort: range is full",
            )];
        };
        reservation.ports.push(chosen);
        tree::set(&mut ports[i], "nodePort", chosen);
    }
    Vec::new()
}

fn refused_port(i: usize, port: u32, refused: Refused, (first, last): (u32, u32)) -> Cause {
    let why = match refused {
        Refused::OutOfRange => {
            format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
        }
        Refused::Taken | Refused::Full => "provided port is already allocated".to_owned(),
    };
    cause(&format!("spec.ports[{i}].nodePort"), &port.to_string(), &why)
}

fn cause(field: &str, shown: &str, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {shown}: {why}"),
        field: field.to_owned(),
    }
}
