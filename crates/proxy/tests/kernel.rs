//! The rules in a real kernel: two pods on a node's bridge, reached through services. Needs root and nft; skips without.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Key as ServiceKey;
use api::typed::{EndpointSlice, Service, Typed};
use proxy::compile::{Facts, compile};
use proxy::render::{self, Frame};
use proxy::table::ServiceTable;
use serde_json::{Value, json};

const PORT: u16 = 8080;

/// A network namespace that is gone when the test ends.
struct Namespace(PathBuf);

impl Namespace {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ironclad-proxy-{name}-{}", std::process::id()));
        linux::netns::create(&path).unwrap();
        Self(path)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = linux::netns::delete(&self.0);
    }
}

/// Answers every connection with its peer's address.
fn serve(netns: &Path, ip: Ipv4Addr) {
    let listener = linux::netns::run_in(netns, move || TcpListener::bind((ip, PORT)).unwrap()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{ip} saw {peer}").as_bytes()).unwrap();
        }
    });
}

fn ask(netns: &Path, ip: &str, port: u16) -> String {
    let to = (ip.parse::<Ipv4Addr>().unwrap(), port).into();
    let asked = linux::netns::run_in(netns, move || {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    });
    asked.unwrap().unwrap_or_else(|error| format!("{:?}", error.kind()))
}

fn slice(ips: &[Ipv4Addr]) -> Vec<EndpointSlice> {
    let endpoints: Vec<Value> = ips.iter().map(|ip| json!({"addresses": [ip.to_string()], "nodeName": "a"})).collect();
    let slice = json!({"metadata": {"namespace": "n", "name": "s"}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "", "port": PORT, "protocol": "TCP"}]});
    vec![EndpointSlice::decode(slice.to_string().as_bytes()).unwrap()]
}

fn apply(node: &Path, text: String) {
    linux::netns::run_in(node, move || linux::nft::apply(&text).unwrap()).unwrap();
}

/// Puts the service in front of `ips` and brings the kernel up to date.
fn set(node: &Path, table: &mut ServiceTable, counts: &mut BTreeSet<usize>, spec: &Value, ips: &[Ipv4Addr]) {
    let service = json!({"metadata": {"namespace": "n", "name": "s"}, "spec": spec});
    let service = Service::decode(service.to_string().as_bytes()).unwrap();
    let facts = Facts { node_name: "a".to_owned(), local_vips: vec![Ipv4Addr::new(10, 96, 0, 10)] };
    let delta = table.put(&ServiceKey::new("n", "s"), compile(&service, &slice(ips), &facts));
    apply(node, render::delta(&delta, counts));
}

#[test]
fn pods_reach_services_themselves_and_each_other_and_unknown_addresses_are_refused() {
    if !rustix_is_root() || linux::nft::apply("").is_err() {
        eprintln!("skipped: needs root and nft");
        return;
    }
    let (node, pod_a, pod_b) = (Namespace::new("node"), Namespace::new("a"), Namespace::new("b"));
    let dir = std::env::temp_dir().join(format!("ironclad-proxy-ipam-{}", std::process::id()));
    let (a_path, b_path, ipam) = (pod_a.0.clone(), pod_b.0.clone(), dir.clone());
    let (a, b) = linux::netns::run_in(&node.0, move || {
        linux::netns::loopback_up().unwrap();
        let vips = vec![Ipv4Addr::new(10, 96, 0, 10)];
        let network = net::PodNetwork::open(&ipam, "10.96.0.0/12".parse().unwrap(), vips).unwrap();
        network.configure("10.244.0.0/24".parse().unwrap()).unwrap();
        let port = net::PortMapping { protocol: "tcp".to_owned(), host_port: 9090, container_port: PORT };
        (network.attach(&a_path, "a", &[port]).unwrap(), network.attach(&b_path, "b", &[]).unwrap())
    })
    .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    serve(&pod_a.0, a);
    serve(&pod_b.0, b);
    let frame = Frame {
        service_cidr: "10.96.0.0/12".to_owned(),
        pod_cidr: "10.244.0.0/16".to_owned(),
        local_vips: vec![Ipv4Addr::new(10, 96, 0, 10)],
    };
    apply(&node.0, render::frame(&frame));

    let (mut table, mut counts) = (ServiceTable::default(), BTreeSet::new());
    let ports = json!([{"port": 80, "nodePort": 30080}]);
    let spec = json!({"clusterIPs": ["10.96.1.1"], "ports": ports});
    set(&node.0, &mut table, &mut counts, &spec, &[b]);
    assert_eq!(ask(&pod_a.0, "10.96.1.1", 80), format!("{b} saw {a}"));
    assert_eq!(ask(&pod_b.0, "10.96.1.1", 80), format!("{b} saw 10.244.0.1"), "a pod reaches itself");
    assert_eq!(ask(&node.0, "10.96.1.1", 80), format!("{b} saw 10.244.0.1"), "the node reaches services");
    assert_eq!(ask(&node.0, "10.244.0.1", 30080), format!("{b} saw 10.244.0.1"), "node ports answer on node addresses");
    assert_eq!(ask(&pod_b.0, "10.244.0.1", 9090), format!("{a} saw {b}"), "host ports lead to their pod");
    assert_eq!(ask(&pod_a.0, "10.96.1.1", 81), "ConnectionRefused");
    assert_eq!(ask(&node.0, "10.96.9.9", 80), "ConnectionRefused");

    set(&node.0, &mut table, &mut counts, &spec, &[a, b]);
    let answers: BTreeSet<String> = (0..40).map(|_| ask(&node.0, "10.96.1.1", 80)).collect();
    assert_eq!(answers.len(), 2, "both endpoints answer: {answers:?}");

    let sticky = json!({"clusterIPs": ["10.96.1.1"], "ports": ports, "sessionAffinity": "ClientIP"});
    set(&node.0, &mut table, &mut counts, &sticky, &[a, b]);
    let answers: BTreeSet<String> = (0..20).map(|_| ask(&node.0, "10.96.1.1", 80)).collect();
    assert_eq!(answers.len(), 1, "one client keeps one endpoint: {answers:?}");
    set(&node.0, &mut table, &mut counts, &sticky, &[b]);
    assert_eq!(ask(&node.0, "10.96.1.1", 80), format!("{b} saw 10.244.0.1"), "the endpoint that left is forgotten");

    set(&node.0, &mut table, &mut counts, &spec, &[]);
    assert_eq!(ask(&pod_a.0, "10.96.1.1", 80), "ConnectionRefused");
    assert!(table.rules().is_empty());
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}
