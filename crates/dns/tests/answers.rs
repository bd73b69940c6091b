//! What the cluster's names resolve to, as a client sees it.

use std::fmt::Write;

use api::Key;
use api::typed::{EndpointSlice, Service, Typed};
use dns::Config;
use dns::answer::{Answer, answer};
use dns::compile::compile;
use dns::zone::Zone;
use expect_test::{Expect, expect};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

fn add(zone: &mut Zone, name: &str, spec: Value, slices: &[Value]) {
    let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let service = Service::decode(service.to_string().as_bytes()).expect("service");
    let slices: Vec<EndpointSlice> =
        slices.iter().map(|slice| EndpointSlice::decode(slice.to_string().as_bytes()).expect("slice")).collect();
    zone.put(&Key::new("shop", name), Some(compile(&service, &slices)));
}

fn slice(ports: Value, endpoints: Value) -> Value {
    json!({"addressType": "IPv4", "metadata": {}, "ports": ports, "endpoints": endpoints})
}

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.put_namespace("shop", true);
    let http = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "metrics", "port": 9090}]);
    let target = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
    let web = json!([{"addresses": ["10.244.0.5"], "conditions": {"ready": true}}]);
    let dual = json!({"clusterIP": "10.96.3.4", "clusterIPs": ["10.96.3.4", "fd00:10:96::4"], "ports": http});
    add(&mut zone, "web", dual, &[slice(target.clone(), web)]);
    let peers = json!([
        {"addresses": ["10.244.0.7"], "hostname": "db-0", "conditions": {"ready": true}},
        {"addresses": ["10.244.1.8"], "hostname": "db-1"},
        {"addresses": ["10.244.1.9"], "hostname": "db-2", "conditions": {"ready": false}},
        {"addresses": ["10.244.1.10"]},
    ]);
    let headless = json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "http", "port": 80}]});
    add(&mut zone, "db", headless.clone(), &[slice(target, peers)]);
    add(&mut zone, "empty", headless, &[]);
    let bare = json!([{"addresses": ["10.244.0.9"]}]);
    add(&mut zone, "bare", json!({"clusterIP": "None"}), &[slice(json!([]), bare)]);
    let external = |name: &str| json!({"type": "ExternalName", "externalName": name});
    add(&mut zone, "out", external("db.example.com"), &[]);
    add(&mut zone, "alias", external("web.shop.svc.cluster.local"), &[]);
    add(&mut zone, "loop", external("loop.shop.svc.cluster.local."), &[]);
    add(&mut zone, "number", external("192.0.2.1"), &[]);
    zone.set_complete();
    zone
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, hickory_proto::op::MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).expect("name"), kind));
    message
}

fn shown(decided: &Answer) -> String {
    let mut out = String::new();
    let reply = match decided {
        Answer::Forward => return "ask outside\n".into(),
        Answer::Reply(reply) => reply,
        Answer::Chase(reply, question) => {
            writeln!(out, "ask outside for {} {}", question.name(), question.query_type()).expect("text");
            reply
        }
    };
    if reply.metadata.response_code != ResponseCode::NoError {
        writeln!(out, "{}", reply.metadata.response_code).expect("text");
    }
    let sections = [("", &reply.answers), ("authority ", &reply.authorities), ("additional ", &reply.additionals)];
    for (section, records) in sections {
        for record in records {
            writeln!(out, "{section}{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
                .expect("text");
        }
    }
    out
}

fn config(upstreams: bool) -> Config {
    let addresses = vec!["10.96.0.10".parse().expect("address")];
    let upstreams = if upstreams { vec!["192.0.2.53:53".parse().expect("address")] } else { vec![] };
    Config { addresses, upstreams, ..Config::default() }
}

fn check(queries: &[(&str, RecordType)], expected: &Expect) {
    let mut out = String::new();
    for (name, kind) in queries {
        writeln!(out, "? {name} {kind}").expect("text");
        out += &shown(&answer(&zone(), &config(true), &query(name, *kind), 0));
    }
    expected.assert_eq(&out);
}

use RecordType::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};

#[test]
fn services_have_the_addresses_that_they_were_given() {
    check(
        &[
            ("web.shop.svc.cluster.local", A),
            ("WEB.Shop.svc.CLUSTER.local", AAAA),
            ("_http._tcp.web.shop.svc.cluster.local", SRV),
            ("web.shop.svc.cluster.local", SRV),
            ("10-244-0-5.web.shop.svc.cluster.local", A),
        ],
        &expect![[r#"
            ? web.shop.svc.cluster.local A
            web.shop.svc.cluster.local. 5 A 10.96.3.4
            ? WEB.Shop.svc.CLUSTER.local AAAA
            WEB.Shop.svc.CLUSTER.local. 5 AAAA fd00:10:96::4
            ? _http._tcp.web.shop.svc.cluster.local SRV
            _http._tcp.web.shop.svc.cluster.local. 5 SRV 0 100 80 web.shop.svc.cluster.local.
            additional web.shop.svc.cluster.local. 5 A 10.96.3.4
            additional web.shop.svc.cluster.local. 5 AAAA fd00:10:96::4
            ? web.shop.svc.cluster.local SRV
            web.shop.svc.cluster.local. 5 SRV 0 50 80 web.shop.svc.cluster.local.
            web.shop.svc.cluster.local. 5 SRV 0 50 9090 web.shop.svc.cluster.local.
            additional web.shop.svc.cluster.local. 5 A 10.96.3.4
            additional web.shop.svc.cluster.local. 5 AAAA fd00:10:96::4
            ? 10-244-0-5.web.shop.svc.cluster.local A
            10-244-0-5.web.shop.svc.cluster.local. 5 A 10.244.0.5
        "#]],
    );
}

#[test]
fn headless_services_are_their_ready_endpoints() {
    check(
        &[
            ("db.shop.svc.cluster.local", A),
            ("db-0.db.shop.svc.cluster.local", A),
            ("db-2.db.shop.svc.cluster.local", A),
            ("10-244-1-10.db.shop.svc.cluster.local", A),
            ("_http._tcp.db.shop.svc.cluster.local", SRV),
            ("bare.shop.svc.cluster.local", A),
            ("bare.shop.svc.cluster.local", SRV),
            ("empty.shop.svc.cluster.local", A),
        ],
        &expect![[r#"
            ? db.shop.svc.cluster.local A
            db.shop.svc.cluster.local. 5 A 10.244.0.7
            db.shop.svc.cluster.local. 5 A 10.244.1.8
            db.shop.svc.cluster.local. 5 A 10.244.1.10
            ? db-0.db.shop.svc.cluster.local A
            db-0.db.shop.svc.cluster.local. 5 A 10.244.0.7
            ? db-2.db.shop.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? 10-244-1-10.db.shop.svc.cluster.local A
            10-244-1-10.db.shop.svc.cluster.local. 5 A 10.244.1.10
            ? _http._tcp.db.shop.svc.cluster.local SRV
            _http._tcp.db.shop.svc.cluster.local. 5 SRV 0 33 8080 db-0.db.shop.svc.cluster.local.
            _http._tcp.db.shop.svc.cluster.local. 5 SRV 0 33 8080 db-1.db.shop.svc.cluster.local.
            _http._tcp.db.shop.svc.cluster.local. 5 SRV 0 33 8080 10-244-1-10.db.shop.svc.cluster.local.
            additional db-0.db.shop.svc.cluster.local. 5 A 10.244.0.7
            additional db-1.db.shop.svc.cluster.local. 5 A 10.244.1.8
            additional 10-244-1-10.db.shop.svc.cluster.local. 5 A 10.244.1.10
            ? bare.shop.svc.cluster.local A
            bare.shop.svc.cluster.local. 5 A 10.244.0.9
            ? bare.shop.svc.cluster.local SRV
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? empty.shop.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn names_that_do_not_exist_differ_from_types_that_do_not() {
    check(
        &[
            ("none.shop.svc.cluster.local", A),
            ("web.none.svc.cluster.local", A),
            ("shop.svc.cluster.local", A),
            ("none.svc.cluster.local", A),
            ("svc.cluster.local", A),
            ("web.shop.svc.cluster.local", TXT),
            ("db.shop.svc.cluster.local", AAAA),
            ("_smtp._tcp.web.shop.svc.cluster.local", SRV),
            ("_http._udp.web.shop.svc.cluster.local", SRV),
            ("a.b.c.d.web.shop.svc.cluster.local", A),
        ],
        &expect![[r#"
            ? none.shop.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? web.none.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? shop.svc.cluster.local A
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? none.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? svc.cluster.local A
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? web.shop.svc.cluster.local TXT
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? db.shop.svc.cluster.local AAAA
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? _smtp._tcp.web.shop.svc.cluster.local SRV
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? _http._udp.web.shop.svc.cluster.local SRV
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? a.b.c.d.web.shop.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn addresses_point_back_to_services_before_endpoints() {
    check(
        &[
            ("4.3.96.10.in-addr.arpa", PTR),
            ("7.0.244.10.in-addr.arpa", PTR),
            ("10.1.244.10.in-addr.arpa", PTR),
            ("9.1.244.10.in-addr.arpa", PTR),
            ("96.10.in-addr.arpa", PTR),
            ("4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa", PTR),
        ],
        &expect![[r#"
            ? 4.3.96.10.in-addr.arpa PTR
            4.3.96.10.in-addr.arpa. 5 PTR web.shop.svc.cluster.local.
            ? 7.0.244.10.in-addr.arpa PTR
            7.0.244.10.in-addr.arpa. 5 PTR db-0.db.shop.svc.cluster.local.
            ? 10.1.244.10.in-addr.arpa PTR
            10.1.244.10.in-addr.arpa. 5 PTR 10-244-1-10.db.shop.svc.cluster.local.
            ? 9.1.244.10.in-addr.arpa PTR
            ask outside
            ? 96.10.in-addr.arpa PTR
            ask outside
            ? 4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa PTR
            4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. 5 PTR web.shop.svc.cluster.local.
        "#]],
    );
}

#[test]
fn external_names_are_followed() {
    check(
        &[
            ("out.shop.svc.cluster.local", A),
            ("out.shop.svc.cluster.local", CNAME),
            ("alias.shop.svc.cluster.local", A),
            ("loop.shop.svc.cluster.local", A),
            ("number.shop.svc.cluster.local", A),
        ],
        &expect![[r#"
            ? out.shop.svc.cluster.local A
            ask outside for db.example.com. A
            out.shop.svc.cluster.local. 5 CNAME db.example.com.
            ? out.shop.svc.cluster.local CNAME
            out.shop.svc.cluster.local. 5 CNAME db.example.com.
            ? alias.shop.svc.cluster.local A
            alias.shop.svc.cluster.local. 5 CNAME web.shop.svc.cluster.local.
            web.shop.svc.cluster.local. 5 A 10.96.3.4
            ? loop.shop.svc.cluster.local A
            Server Failure
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            loop.shop.svc.cluster.local. 5 CNAME loop.shop.svc.cluster.local.
            ? number.shop.svc.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn pods_and_the_zone_itself_have_names() {
    check(
        &[
            ("10-244-0-5.shop.pod.cluster.local", A),
            ("fd00-10-244--5.shop.pod.cluster.local", AAAA),
            ("10-244-0-5.none.pod.cluster.local", A),
            ("nonsense.shop.pod.cluster.local", A),
            ("dns-version.cluster.local", TXT),
            ("ns.dns.cluster.local", A),
            ("cluster.local", SOA),
            ("cluster.local", NS),
            ("example.com", A),
        ],
        &expect![[r#"
            ? 10-244-0-5.shop.pod.cluster.local A
            10-244-0-5.shop.pod.cluster.local. 5 A 10.244.0.5
            ? fd00-10-244--5.shop.pod.cluster.local AAAA
            fd00-10-244--5.shop.pod.cluster.local. 5 AAAA fd00:10:244::5
            ? 10-244-0-5.none.pod.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? nonsense.shop.pod.cluster.local A
            Non-Existent Domain
            authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? dns-version.cluster.local TXT
            dns-version.cluster.local. 5 TXT 1.1.0
            ? ns.dns.cluster.local A
            ns.dns.cluster.local. 5 A 10.96.0.10
            ? cluster.local SOA
            cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
            ? cluster.local NS
            cluster.local. 5 NS ns.dns.cluster.local.
            ? example.com A
            ask outside
        "#]],
    );
}

#[test]
fn without_resolvers_outside_other_names_are_refused_at_once() {
    let mut out = String::new();
    for name in ["example.com", "8.8.8.8.in-addr.arpa", "out.shop.svc.cluster.local"] {
        out += &shown(&answer(&zone(), &config(false), &query(name, A), 0));
    }
    expect![[r#"
        Query Refused
        Non-Existent Domain
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 9 7200 1800 86400 5
        out.shop.svc.cluster.local. 5 CNAME db.example.com.
    "#]]
    .assert_eq(&out);
}

#[test]
fn nothing_is_denied_before_the_cluster_is_known() {
    let decided = answer(&Zone::default(), &config(true), &query("web.shop.svc.cluster.local", A), 0);
    assert_eq!(shown(&decided), "Server Failure\n");
}

#[test]
fn a_service_that_goes_takes_its_addresses_along() {
    let mut zone = zone();
    zone.put(&Key::new("shop", "web"), None);
    let decided = answer(&zone, &config(true), &query("4.3.96.10.in-addr.arpa", PTR), 0);
    assert_eq!(shown(&decided), "ask outside\n");
}

#[test]
fn addresses_take_turns() {
    let first = |turn| match answer(&zone(), &config(true), &query("db.shop.svc.cluster.local", A), turn) {
        Answer::Reply(reply) => reply.answers[0].data.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 3].map(first), ["10.244.0.7", "10.244.1.8", "10.244.1.10", "10.244.0.7"]);
}
