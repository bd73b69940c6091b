//! Several API servers on one store: what each gives out is not given twice, and each knows of the others.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stdx::{ManualClock, Rng};
use store::MemoryStore;

use super::kit::Kit;
use crate::engine::EngineConfig;
use crate::{Engine, living};

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A server of the given number.
async fn replica(store: &Arc<MemoryStore>, number: u8) -> Kit {
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let config = EngineConfig {
        advertise_address: Ipv4Addr::new(192, 168, 49, number),
        // So few ports that choices collide.
        node_ports: (30000, 30040),
        replica: Some(format!("node-{number}")),
        ..EngineConfig::default()
    };
    // The same seed: both choose the same numbers.
    let engine = Engine::start(store.clone(), clock.clone(), Rng::seeded(7), config).await.unwrap();
    Kit { engine, clock }
}

async fn two() -> (Kit, Kit) {
    let store = Arc::new(MemoryStore::new());
    tokio::join!(replica(&store, 2), replica(&store, 3))
}

fn service(name: &str, node_port: Option<u16>) -> Value {
    let mut port = json!({ "port": 80 });
    if let Some(number) = node_port {
        port["nodePort"] = number.into();
    }
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "type": "NodePort", "selector": { "a": "b" }, "ports": [port] },
    })
}

async fn endpoints(kit: &Kit) -> Vec<String> {
    let (_, slice) = kit.ask("GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").send().await;
    let list = slice["endpoints"].as_array().unwrap();
    let living = list.iter().map(|one| one["addresses"][0].as_str().unwrap().to_owned()).collect();
    let (_, endpoints) = kit.ask("GET /api/v1/namespaces/default/endpoints/kubernetes").send().await;
    let list = endpoints["subsets"][0]["addresses"].as_array().unwrap();
    let same: Vec<_> = list.iter().map(|one| one["ip"].as_str().unwrap().to_owned()).collect();
    assert_eq!(living, same);
    living
}

#[tokio::test]
async fn no_address_and_no_port_is_given_out_twice() {
    let (a, b) = two().await;
    let make = async |kit: &Kit, which: &str| {
        let mut given = Vec::new();
        for number in 0..16 {
            let made = kit.create(SERVICES, service(&format!("{which}{number}"), None)).await;
            given.push(made["spec"]["clusterIP"].to_string());
            given.push(made["spec"]["ports"][0]["nodePort"].to_string());
        }
        given
    };
    let (by_a, by_b) = tokio::join!(make(&a, "a"), make(&b, "b"));
    let mut all = [by_a, by_b].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 64, "{all:?}");
}

#[tokio::test]
async fn of_two_that_ask_for_one_port_one_gets_it() {
    let (a, b) = two().await;
    let ask = |kit: &Kit, name: &str| {
        let body = service(name, Some(30007));
        let (engine, clock) = (kit.engine.clone(), kit.clock.clone());
        let name = format!("POST {SERVICES}");
        async move { Kit { engine, clock }.ask(&name).body(body).send().await }
    };
    let ((one, said_one), (other, said_other)) = tokio::join!(ask(&a, "x"), ask(&b, "y"));
    let mut codes = [one, other];
    codes.sort_unstable();
    assert_eq!(codes, [201, 422], "{said_one} {said_other}");
    let refused = if one == 422 { said_one } else { said_other };
    assert!(refused["message"].as_str().unwrap().ends_with("provided port is already allocated"), "{refused}");
    // Given back on one server, it is free on the other.
    let (kept, loser, name) = if one == 201 { (&a, &b, "x") } else { (&b, &a, "y") };
    assert_eq!(kept.ask(&format!("DELETE {SERVICES}/{name}")).send().await.0, 200);
    loser.create(SERVICES, service("z", Some(30007))).await;
}

#[tokio::test(start_paused = true)]
async fn the_service_kubernetes_leads_to_those_that_live() {
    let (a, b) = two().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(endpoints(&a).await, ["192.168.49.2", "192.168.49.3"]);
    let (_, leases) = a.ask("GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases").send().await;
    let hosts: Vec<_> = leases["items"].as_array().unwrap().iter().map(|l| &l["metadata"]["labels"]).collect();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    assert_eq!(hosts[0]["apiserver.kubernetes.io/identity"], "kube-apiserver");
    // One dies without a word.
    drop(b);
    a.clock.advance(jiff::SignedDuration::from_mins(1));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(endpoints(&a).await.len(), 2, "it is not given up too soon");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(endpoints(&a).await, ["192.168.49.2"]);
    let (_, leases) = a.ask("GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases").send().await;
    let renewed = leases["items"].as_array().unwrap().iter().map(|lease| lease["spec"]["renewTime"].as_str().unwrap());
    assert_eq!(renewed.filter(|time| time.starts_with("2026-01-01T00:01:00")).count(), 1, "{leases:#}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_takes_itself_out_at_once() {
    let (a, b) = two().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    living::leave(&b.engine).await.unwrap();
    drop(b);
    assert_eq!(endpoints(&a).await, ["192.168.49.2"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(endpoints(&a).await, ["192.168.49.2"]);
}
