//! Services and endpoints in, rules and the fate of packets out.

use api::typed::Typed;
use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};

use super::*;
use crate::trace::{Packet, trace};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 9);

fn service(spec: Json) -> Service {
    Service::decode(json!({"metadata": {"namespace": "n", "name": "s"}, "spec": spec}).to_string().as_bytes()).unwrap()
}

fn slices(endpoints: Json) -> Vec<EndpointSlice> {
    let slice = json!({"metadata": {"namespace": "n", "name": "s-1"}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"}]});
    vec![EndpointSlice::decode(slice.to_string().as_bytes()).unwrap()]
}

fn compiled(spec: Json, endpoints: Json) -> Rules {
    let facts = Facts { node_name: "here".to_owned(), local_vips: vec![Ipv4Addr::new(10, 96, 0, 10)] };
    compile(&service(spec), &slices(endpoints), &facts)
}

/// Sends one packet for each lot to each destination and says what became of it.
fn check(rules: &Rules, destinations: &[(&str, u16)], expected: &Expect) {
    let mut text = String::new();
    for (ip, port) in destinations {
        for lot in 0..2 {
            let packet = Packet {
                source: CLIENT,
                destination: ip.parse().unwrap(),
                protocol: Protocol::Tcp,
                port: *port,
                to_node: *ip == "192.168.5.2",
                lot,
            };
            text += &format!("{ip}:{port} #{lot} {:?}\n", trace(rules, packet, None));
        }
    }
    expected.assert_eq(&text);
}

fn two_ready() -> Json {
    json!([{"addresses": ["10.244.0.9"], "nodeName": "here"}, {"addresses": ["10.244.1.7"], "nodeName": "there"}])
}

fn http_port() -> Json {
    json!([{"name": "http", "port": 80, "nodePort": 30080, "targetPort": 8080}])
}

#[test]
fn a_cluster_ip_spreads_over_endpoints_and_lets_a_pod_reach_itself() {
    let rules = compiled(json!({"clusterIPs": ["10.96.1.1"], "ports": http_port()}), two_ready());
    check(
        &rules,
        &[("10.96.1.1", 80), ("10.96.1.1", 81)],
        &expect![[r#"
            10.96.1.1:80 #0 Sent { to: Backend { ip: 10.244.0.9, port: 8080 }, masqueraded: true }
            10.96.1.1:80 #1 Sent { to: Backend { ip: 10.244.1.7, port: 8080 }, masqueraded: false }
            10.96.1.1:81 #0 Untouched
            10.96.1.1:81 #1 Untouched
        "#]],
    );
}

#[test]
fn a_node_port_is_masqueraded_unless_its_policy_is_local() {
    let spec = json!({"clusterIPs": ["10.96.1.1"], "ports": http_port()});
    check(
        &compiled(spec, two_ready()),
        &[("192.168.5.2", 30080)],
        &expect![[r#"
            192.168.5.2:30080 #0 Sent { to: Backend { ip: 10.244.0.9, port: 8080 }, masqueraded: true }
            192.168.5.2:30080 #1 Sent { to: Backend { ip: 10.244.1.7, port: 8080 }, masqueraded: true }
        "#]],
    );
    let local = json!({"clusterIPs": ["10.96.1.1"], "ports": http_port(), "externalTrafficPolicy": "Local"});
    let away = json!([{"addresses": ["10.244.1.7"], "nodeName": "there"}]);
    check(
        &compiled(local, away),
        &[("192.168.5.2", 30080), ("10.96.1.1", 80)],
        &expect![[r#"
            192.168.5.2:30080 #0 Dropped
            192.168.5.2:30080 #1 Dropped
            10.96.1.1:80 #0 Sent { to: Backend { ip: 10.244.1.7, port: 8080 }, masqueraded: false }
            10.96.1.1:80 #1 Sent { to: Backend { ip: 10.244.1.7, port: 8080 }, masqueraded: false }
        "#]],
    );
}

#[test]
fn endpoints_that_terminate_serve_only_when_none_is_ready() {
    let draining =
        json!({"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}});
    let unready = json!({"addresses": ["10.244.0.2"], "conditions": {"ready": false}});
    let ready = json!({"addresses": ["10.244.0.3"], "conditions": {"ready": true}});
    let spec = json!({"clusterIPs": ["10.96.1.1"], "ports": http_port()});
    let ips = |endpoints: Json| -> Vec<String> {
        let rules = compiled(spec.clone(), endpoints);
        rules.keys().filter_map(|key| if let Key::Hairpin(ip) = key { Some(ip.to_string()) } else { None }).collect()
    };
    assert_eq!(ips(json!([draining, unready, ready])), ["10.244.0.3"]);
    assert_eq!(ips(json!([draining, unready])), ["10.244.0.1"]);
    assert!(ips(json!([unready])).is_empty());
}

#[test]
fn headless_external_name_and_node_local_services_have_no_rules() {
    assert!(compiled(json!({"clusterIPs": ["None"], "ports": http_port()}), two_ready()).is_empty());
    assert!(compiled(json!({"type": "ExternalName", "externalName": "x"}), two_ready()).is_empty());
    assert!(compiled(json!({"clusterIPs": ["10.96.0.10"], "ports": http_port()}), two_ready()).is_empty());
}
