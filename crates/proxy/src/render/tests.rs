//! What is sent to nft, and that nft takes it.

use expect_test::expect;

use super::*;

fn front() -> Front {
    Front::Address { ip: Ipv4Addr::new(10, 96, 1, 1), protocol: Protocol::Tcp, port: 80 }
}

fn backend(last: u8) -> Backend {
    Backend { ip: Ipv4Addr::new(10, 244, 0, last), port: 8080 }
}

fn picked(backends: &[Backend]) -> Rules {
    let choice = Choice::Pick { endpoint_count: backends.len() };
    let mut rules = Rules::from([(Key::Front(front()), Value::Route(Route { choice, masquerade: false }))]);
    for (position, backend) in backends.iter().enumerate() {
        let key = Key::Endpoint { front: front(), endpoint_count: backends.len(), position };
        rules.insert(key, Value::Backend(*backend));
    }
    rules
}

fn sticky(backends: &[Backend]) -> Rules {
    let choice = Choice::Sticky { backends: backends.to_vec(), timeout_secs: 60 };
    Rules::from([(Key::Front(front()), Value::Route(Route { choice, masquerade: false }))])
}

#[test]
fn the_first_service_of_a_size_brings_its_chains_and_later_ones_only_elements() {
    let mut counts = BTreeSet::new();
    let first = delta(&Delta { added: picked(&[backend(1)]), ..Delta::default() }, &mut counts);
    assert!(first.starts_with("table ip ironclad-proxy {\n  map ep-1 "));
    let second = delta(&Delta { added: picked(&[backend(2)]), ..Delta::default() }, &mut counts);
    expect![[r#"
        add element ip ironclad-proxy services { 10.96.1.1 . tcp . 80 : goto pick-1 }
        add element ip ironclad-proxy ep-1 { 10.96.1.1 . tcp . 80 . 0 : 10.244.0.2 . 8080 }
    "#]]
    .assert_eq(&second);
}

#[test]
fn an_affinity_front_that_loses_a_backend_keeps_the_clients_of_the_others() {
    let change = Delta { removed: sticky(&[backend(1), backend(2)]), added: sticky(&[backend(2)]) };
    expect![[r#"
        flush chain ip ironclad-proxy sticky-10.96.1.1-tcp-80
        table ip ironclad-proxy {
          chain sticky-10.96.1.1-tcp-80 {
            ip saddr @sticky-10.96.1.1-tcp-80-10.244.0.2-8080 goto sticky-10.96.1.1-tcp-80-10.244.0.2-8080-go
            numgen random mod 1 vmap { 0 : goto sticky-10.96.1.1-tcp-80-10.244.0.2-8080-go }
          }
        }
        flush chain ip ironclad-proxy sticky-10.96.1.1-tcp-80-10.244.0.1-8080-go
        delete chain ip ironclad-proxy sticky-10.96.1.1-tcp-80-10.244.0.1-8080-go
        delete set ip ironclad-proxy sticky-10.96.1.1-tcp-80-10.244.0.1-8080
    "#]]
    .assert_eq(&delta(&change, &mut BTreeSet::new()));
}
