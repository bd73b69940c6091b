//! Creation: what is filled in, and what is refused.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, PODS, SERVICES, config_map, kit, pod};

async fn check(path: &str, object: Value, wanted: Expect) {
    let (code, body) = kit().await.ask(&format!("POST {path}")).body(object).send().await;
    let text = if code >= 400 { body["message"].as_str().unwrap().to_owned() } else { format!("{body:#}") };
    wanted.assert_eq(&format!("{code} {text}"));
}

#[tokio::test]
async fn a_pod_gets_its_defaults_account_tolerations_and_owners() {
    check(
        PODS,
        pod("p"),
        expect![[r#"
            201 {
              "apiVersion": "v1",
              "kind": "Pod",
              "metadata": {
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "generation": 1,
                "managedFields": [
                  {
                    "apiVersion": "v1",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {
                      "f:spec": {
                        "f:containers": {
                          "k:{\"name\":\"c\"}": {
                            ".": {},
                            "f:image": {},
                            "f:imagePullPolicy": {},
                            "f:name": {},
                            "f:resources": {},
                            "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {}
                          }
                        },
                        "f:dnsPolicy": {},
                        "f:enableServiceLinks": {},
                        "f:restartPolicy": {},
                        "f:schedulerName": {},
                        "f:securityContext": {},
                        "f:terminationGracePeriodSeconds": {}
                      }
                    },
                    "manager": "kit",
                    "operation": "Update",
                    "time": "2026-01-01T00:00:00Z"
                  }
                ],
                "name": "p",
                "namespace": "default",
                "resourceVersion": "10",
                "uid": "14d7973c-5c2a-449c-bef1-fd0ed1548fcd"
              },
              "spec": {
                "containers": [
                  {
                    "image": "nginx",
                    "imagePullPolicy": "Always",
                    "name": "c",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "volumeMounts": [
                      {
                        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        "name": "kube-api-access-b2pxz",
                        "readOnly": true
                      }
                    ]
                  }
                ],
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "preemptionPolicy": "PreemptLowerPriority",
                "priority": 0,
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "serviceAccount": "default",
                "serviceAccountName": "default",
                "terminationGracePeriodSeconds": 30,
                "tolerations": [
                  {
                    "effect": "NoExecute",
                    "key": "node.kubernetes.io/not-ready",
                    "operator": "Exists",
                    "tolerationSeconds": 300
                  },
                  {
                    "effect": "NoExecute",
                    "key": "node.kubernetes.io/unreachable",
                    "operator": "Exists",
                    "tolerationSeconds": 300
                  }
                ],
                "volumes": [
                  {
                    "name": "kube-api-access-b2pxz",
                    "projected": {
                      "defaultMode": 420,
                      "sources": [
                        {
                          "serviceAccountToken": {
                            "expirationSeconds": 3607,
                            "path": "token"
                          }
                        },
                        {
                          "configMap": {
                            "items": [
                              {
                                "key": "ca.crt",
                                "path": "ca.crt"
                              }
                            ],
                            "name": "kube-root-ca.crt"
                          }
                        },
                        {
                          "downwardAPI": {
                            "items": [
                              {
                                "fieldRef": {
                                  "apiVersion": "v1",
                                  "fieldPath": "metadata.namespace"
                                },
                                "path": "namespace"
                              }
                            ]
                          }
                        }
                      ]
                    }
                  }
                ]
              },
              "status": {
                "phase": "Pending",
                "qosClass": "BestEffort"
              }
            }"#]],
    )
    .await;
}

#[tokio::test]
async fn keys_of_data_must_be_file_names_and_values_must_not_be_too_long() {
    let named = |mut object: Value| {
        object["metadata"] = json!({ "name": "c" });
        object
    };
    check(CONFIG_MAPS, named(json!({ "data": { "a/b": "1" } })), expect![[r#"422 ConfigMap "c" is invalid: data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#]]).await;
    check(
        CONFIG_MAPS,
        named(json!({ "data": { "a": "1" }, "binaryData": { "a": "" } })),
        expect![[
            r#"422 ConfigMap "c" is invalid: data[a]: Invalid value: "a": duplicate of key present in binaryData"#
        ]],
    )
    .await;
    check(
        CONFIG_MAPS,
        named(json!({ "data": { "a": "x".repeat(1 << 20), "b": "y" } })),
        expect![[r#"422 ConfigMap "c" is invalid: : Too long: may not be more than 1048576 bytes"#]],
    )
    .await;
    let secrets = CONFIG_MAPS.replace("configmaps", "secrets");
    check(
        &secrets,
        named(json!({ "stringData": { "..": "1" } })),
        expect![[r#"422 Secret "c" is invalid: data[..]: Invalid value: "..": must not be '..'"#]],
    )
    .await;
    check(
        &secrets,
        named(json!({ "stringData": { "a": "x".repeat((1 << 20) + 1) } })),
        expect![[r#"422 Secret "c" is invalid: data: Too long: may not be more than 1048576 bytes"#]],
    )
    .await;
}

#[tokio::test]
async fn names_within_a_pod_are_checked() {
    let mut wrong = pod("p");
    wrong["spec"]["volumes"] = json!([{ "name": "A", "emptyDir": {} }]);
    wrong["spec"]["containers"][0]["env"] = json!([{ "name": "A=B", "value": "1" }, { "name": "" }]);
    wrong["spec"]["containers"][0]["ports"] = json!([{ "name": "-", "containerPort": 80 }]);
    check(PODS, wrong, expect![[r#"422 Pod "p" is invalid: [spec.volumes[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.containers[0].ports[0].name: Invalid value: "-": must contain at least one letter (a-z), spec.containers[0].ports[0].name: Invalid value: "-": must not begin or end with a hyphen, spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '=', spec.containers[0].env[1].name: Required value]"#]]).await;
}

#[tokio::test]
async fn what_is_refused_says_why() {
    check("/api/v1/namespaces/none/configmaps", config_map("c"), expect![[r#"404 namespaces "none" not found"#]]).await;
    check(
        CONFIG_MAPS,
        json!({}),
        expect![[r#"422 ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#]],
    )
    .await;
    check(CONFIG_MAPS, json!({ "metadata": { "name": "..", } }), expect![[r#"422 ConfigMap ".." is invalid: metadata.name: Invalid value: "..": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#]]).await;
    check(
        CONFIG_MAPS,
        json!({ "metadata": { "name": "c", "namespace": "other" } }),
        expect!["400 the namespace of the provided object does not match the namespace sent on the request"],
    )
    .await;
    check(
        CONFIG_MAPS,
        json!({ "metadata": { "name": "c", "resourceVersion": "5" } }),
        expect!["500 resourceVersion should not be set on objects to be created"],
    )
    .await;
    check(CONFIG_MAPS, pod("p"), expect![[r#"400 Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion"#]]).await;
    check(PODS, json!({ "metadata": { "name": "p" }, "spec": { "serviceAccountName": "x", "containers": [{ "name": "c", "image": "i" }] } }), expect![[r#"403 pods "p" is forbidden: error looking up service account default/x: serviceaccount "x" not found"#]]).await;
    check(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), json!({ "metadata": { "name": "c" }, "bogus": 1 }), expect![[r#"400 ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bogus""#]]).await;
    check(&format!("{CONFIG_MAPS}?fieldValidation=Nope"), config_map("c"), expect![[r#"422 CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Nope": supported values: "", "Ignore", "Strict", "Warn""#]]).await;
    check(
        &format!("{CONFIG_MAPS}?dryRun=Some"),
        config_map("c"),
        expect![[r#"422 CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#]],
    )
    .await;
}

#[tokio::test]
async fn services_get_addresses_and_ports_that_nobody_else_has() {
    let kit = kit().await;
    let service = |name: &str, ip: &str, port: u16| {
        json!({
            "metadata": { "name": name },
            "spec": { "type": "NodePort", "clusterIP": ip, "ports": [{ "port": 80, "nodePort": port }] },
        })
    };
    let made = kit.create(SERVICES, service("a", "10.96.0.77", 30001)).await;
    assert_eq!(
        (&made["spec"]["clusterIPs"], &made["spec"]["ports"][0]["nodePort"]),
        (&json!(["10.96.0.77"]), &json!(30001))
    );
    let refused = |ip: &'static str, port| {
        let ask = kit.ask(&format!("POST {SERVICES}")).body(service("b", ip, port));
        async move { ask.send().await.1["message"].as_str().unwrap().to_owned() }
    };
    expect![[r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: failed to allocate IP 10.96.0.77: provided IP is already allocated"#]].assert_eq(&refused("10.96.0.77", 0).await);
    expect![[
        r#"Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"#
    ]]
    .assert_eq(&refused("", 30001).await);
    expect![[r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided network does not match the current range"#]].assert_eq(&refused("1.2.3.4", 0).await);
    expect![[r#"Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"#]].assert_eq(&refused("", 80).await);
    let (code, _) = kit.ask(&format!("DELETE {SERVICES}/a")).send().await;
    assert_eq!(code, 200);
    kit.create(SERVICES, service("b", "10.96.0.77", 30001)).await;
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_and_generated_names_differ() {
    let kit = kit().await;
    let (code, _) = kit.ask(&format!("POST {CONFIG_MAPS}?dryRun=All")).body(config_map("c")).send().await;
    assert_eq!(code, 201);
    let (code, body) = kit.ask(&format!("GET {CONFIG_MAPS}/c")).send().await;
    expect![[r#"404 {"apiVersion":"v1","code":404,"details":{"kind":"configmaps","name":"c"},"kind":"Status","message":"configmaps \"c\" not found","metadata":{},"reason":"NotFound","status":"Failure"}"#]].assert_eq(&format!("{code} {body}"));
    let generated = json!({ "metadata": { "generateName": "gen-" } });
    let a = kit.create(CONFIG_MAPS, generated.clone()).await["metadata"]["name"].as_str().unwrap().to_owned();
    let b = kit.create(CONFIG_MAPS, generated).await["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(a.starts_with("gen-") && a.len() == 9 && a != b, "{a} {b}");
}

#[tokio::test]
async fn a_cluster_begins_with_its_namespaces_and_the_way_to_its_server() {
    let kit = kit().await;
    let (_, list) = kit.ask("GET /api/v1/namespaces").send().await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|n| n["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let (_, service) = kit.ask(&format!("GET {SERVICES}/kubernetes")).send().await;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let (_, slice) = kit.ask("GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").send().await;
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
}

#[tokio::test]
async fn kubectl_gets_tables() {
    let kit = kit().await;
    kit.create(PODS, pod("p")).await;
    let ask = kit.ask(&format!("GET {PODS}?includeObject=None"));
    let (_, table) = ask.accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").send().await;
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    expect![[r#"["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"] [{"cells":["p","0/1","Pending","0","0s","<none>","<none>","<none>","<none>"],"object":null}]"#]].assert_eq(&format!("{columns:?} {}", table["rows"]));
    let (code, body) = kit.ask(&format!("GET {PODS}")).accept("text/html").send().await;
    assert_eq!((code, &body["reason"]), (406, &json!("NotAcceptable")));
    let ask =
        kit.ask(&format!("GET {PODS}")).accept("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    let (_, partial) = ask.send().await;
    assert_eq!((&partial["kind"], &partial["items"][0]["spec"]), (&json!("PartialObjectMetadataList"), &Value::Null));
}
