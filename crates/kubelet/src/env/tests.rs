//! Tables of environments: a container's env, and the variables that it gets.

use api::Object;
use api::typed::{Service, Typed};
use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::json;

use super::field::Facts;
use super::{Input, env};
use crate::references::{Kind, Reference, Referred};
use crate::testing::pod;

fn referred() -> Referred {
    let object = |kind, name: &str, data: serde_json::Value| {
        let json = json!({"metadata": {"name": name, "namespace": "n"}, "data": data});
        let reference = Reference { kind, namespace: "n".to_owned(), name: name.to_owned() };
        (reference, Some(Object::decode(Bytes::from(json.to_string()), &[]).unwrap()))
    };
    [object(Kind::ConfigMap, "m", json!({"a": "1", "b": "two"})), object(Kind::Secret, "s", json!({"k": "c2VjcmV0"}))]
        .into()
}

fn service(namespace: &str, name: &str, ip: &str) -> Service {
    let tree = json!({"metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}});
    Service::decode(tree.to_string().as_bytes()).unwrap()
}

fn check(container: &str, spec: &str, expected: Expect) {
    let pod = pod(&format!(
        r#"{{"metadata": {{"name": "p", "namespace": "n", "uid": "u", "labels": {{"l": "v"}}}}, "spec": {{{spec} "containers": [{{"name": "c", {container}}}]}}}}"#
    ));
    let facts = Facts {
        node_name: "node".to_owned(),
        host_ips: vec!["10.0.0.1".to_owned()],
        pod_ips: vec!["10.1.0.1".to_owned()],
        allocatable_millis: [("memory".to_owned(), 4_000_000_000)].into(),
    };
    let services = [
        service("default", "kubernetes", "10.96.0.1"),
        service("n", "my-db", "10.96.0.7"),
        service("x", "other", "10.96.0.8"),
    ];
    let input = Input {
        pod: &pod,
        container: pod.app_containers().next().unwrap().spec,
        referred: &referred(),
        services: &services,
        facts: &facts,
    };
    let text = match env(&input) {
        Ok(vars) => vars.iter().map(|(name, value)| format!("{name}={value}\n")).collect(),
        Err(error) => format!("error: {error}\n"),
    };
    expected.assert_eq(&text);
}

const NO_LINKS: &str = r#""enableServiceLinks": false,"#;
#[test]
fn services_of_the_namespace_and_kubernetes_are_told() {
    check(
        r#""env": []"#,
        "",
        expect![[r#"
        KUBERNETES_PORT=tcp://10.96.0.1:443
        KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443
        KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1
        KUBERNETES_PORT_443_TCP_PORT=443
        KUBERNETES_PORT_443_TCP_PROTO=tcp
        KUBERNETES_SERVICE_HOST=10.96.0.1
        KUBERNETES_SERVICE_PORT=443
        KUBERNETES_SERVICE_PORT_HTTPS=443
        MY_DB_PORT=tcp://10.96.0.7:443
        MY_DB_PORT_443_TCP=tcp://10.96.0.7:443
        MY_DB_PORT_443_TCP_ADDR=10.96.0.7
        MY_DB_PORT_443_TCP_PORT=443
        MY_DB_PORT_443_TCP_PROTO=tcp
        MY_DB_SERVICE_HOST=10.96.0.7
        MY_DB_SERVICE_PORT=443
        MY_DB_SERVICE_PORT_HTTPS=443
    "#]],
    );
}

#[test]
fn variables_come_from_values_objects_and_the_pod() {
    check(
        r#""envFrom": [{"configMapRef": {"name": "m"}, "prefix": "M_"}, {"secretRef": {"name": "gone", "optional": true}}],
        "env": [{"name": "X", "value": "$(M_a)-$(UNKNOWN)"}, {"name": "M_b", "value": "own"},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['l']"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "z", "optional": true}}}]"#,
        NO_LINKS,
        expect![[r#"
            M_a=1
            M_b=own
            X=1-$(UNKNOWN)
            S=secret
            IP=10.1.0.1
            L=v
            MEM=4
            KUBERNETES_PORT=tcp://10.96.0.1:443
            KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443
            KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1
            KUBERNETES_PORT_443_TCP_PORT=443
            KUBERNETES_PORT_443_TCP_PROTO=tcp
            KUBERNETES_SERVICE_HOST=10.96.0.1
            KUBERNETES_SERVICE_PORT=443
            KUBERNETES_SERVICE_PORT_HTTPS=443
        "#]],
    );
}

#[test]
fn what_is_missing_is_named() {
    check(
        r#""env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "a"}}}]"#,
        NO_LINKS,
        expect![[r#"
        error: configmap "x" not found
    "#]],
    );
    check(
        r#""env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "z"}}}]"#,
        NO_LINKS,
        expect![[r#"
        error: couldn't find key z in ConfigMap n/m
    "#]],
    );
    check(
        r#""env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "z"}}}]"#,
        NO_LINKS,
        expect![[r#"
        error: couldn't find key z in Secret n/s
    "#]],
    );
    check(
        r#""envFrom": [{"secretRef": {"name": "gone"}}]"#,
        NO_LINKS,
        expect![[r#"
        error: secret "gone" not found
    "#]],
    );
}
