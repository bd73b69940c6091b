//! Volumes, networking, quotas and the other kinds around pods: what is refused and in which words, what is filled in,
//! what each writer may change, and the plug-ins that these kinds drive.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::kit::{Kit, PODS, SERVICES, kit, pod};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const LIMITS: &str = "/api/v1/namespaces/default/limitranges";

fn path_of(kind: &str) -> String {
    let (group, resource) = kind.split_once('/').unwrap();
    let namespaced = matches!(
        resource,
        "ingresses" | "networkpolicies" | "resourceclaims" | "resourceclaimtemplates" | "csistoragecapacities"
    );
    let inside = if namespaced { "namespaces/default/" } else { "" };
    format!("/apis/{group}/v1/{inside}{resource}")
}

/// What is said about each object that is created: `ok`, or the causes, one a line.
async fn causes(path: &str, objects: &[Value]) -> String {
    let kit = kit().await;
    let mut told = String::new();
    for (i, object) in objects.iter().enumerate() {
        let mut object = object.clone();
        if object["metadata"].is_null() {
            object["metadata"] = json!({ "name": format!("x{i}") });
        }
        told.push_str(&said(&kit, &format!("POST {path}"), object).await);
    }
    told
}

async fn said(kit: &Kit, line: &str, object: Value) -> String {
    let (code, body) = kit.ask(line).body(object).send().await;
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    if code < 400 {
        return "ok\n".to_owned();
    }
    if causes.is_empty() {
        return format!("{code} {}\n", body["message"].as_str().unwrap());
    }
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap().to_owned();
    let lines = causes.iter().map(|cause| format!("{}: {}\n", text(cause, "field"), text(cause, "message")));
    lines.collect::<Vec<_>>().join("") + "--\n"
}

async fn check(kind: &str, objects: &[Value], wanted: Expect) {
    wanted.assert_eq(&causes(&path_of(kind), objects).await);
}

#[tokio::test]
async fn a_volume_has_one_place_a_size_and_a_mode() {
    let volume = |more: Value| {
        let mut spec = json!({ "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"] });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({ "spec": spec })
    };
    let objects = [
        volume(json!({ "hostPath": { "path": "/x" } })),
        volume(json!({})),
        volume(json!({ "hostPath": { "path": "/a/../b", "type": "Disk" }, "nfs": { "server": "s", "path": "/" } })),
        volume(json!({ "capacity": { "storage": "0", "cpu": "1" }, "nfs": { "path": "x" } })),
        volume(json!({ "local": { "path": "/x" }, "accessModes": ["ReadWriteOncePod", "ReadWriteMany", "Odd"] })),
        volume(
            json!({ "csi": { "driver": "-", "nodePublishSecretRef": {} }, "volumeMode": "Tape", "persistentVolumeReclaimPolicy": "Burn" }),
        ),
        volume(
            json!({ "hostPath": { "path": "/" }, "persistentVolumeReclaimPolicy": "Recycle", "volumeAttributesClassName": "c" }),
        ),
    ];
    expect![[r#"
        ok
        spec: Required value: must specify a volume type
        --
        spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'
        spec.hostPath.type: Unsupported value: "Disk": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
        spec.nfs: Forbidden: may not specify more than 1 volume type
        --
        spec.capacity: Unsupported value: {"cpu":"1","storage":"0"}: supported values: "storage"
        spec.capacity[storage]: Invalid value: "0": must be greater than zero
        spec.nfs.server: Required value
        spec.nfs.path: Invalid value: "x": must be an absolute path
        --
        spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
        spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
        spec.nodeAffinity: Required value: Local volume requires node affinity
        --
        spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain"
        spec.csi.driver: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.csi.volumeHandle: Required value
        spec.csi.nodePublishSecretRef.name: Required value
        spec.csi.nodePublishSecretRef.namespace: Required value
        spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"
        --
        spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'
        spec.csi: Required value: has to be specified when using volumeAttributesClassName
        --
    "#]].assert_eq(&causes(VOLUMES, &objects).await);
}

#[tokio::test]
async fn a_claim_says_how_much_and_how() {
    let claim = |spec: Value| json!({ "spec": spec });
    let objects = [
        claim(json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } })),
        claim(json!({ "resources": { "requests": { "storage": "0" } }, "storageClassName": "Bad_" })),
        claim(
            json!({ "accessModes": ["Any"], "selector": { "matchExpressions": [{ "key": "a", "operator": "In" }] } }),
        ),
        claim(json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1" } },
            "dataSource": { "kind": "Pod", "name": "" } })),
    ];
    expect![[r#"
        ok
        spec.accessModes: Required value: at least 1 access mode is required
        spec.resources[storage]: Invalid value: "0": must be greater than zero
        spec.storageClassName: Invalid value: "Bad_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        --
        spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
        spec.accessModes: Unsupported value: "Any": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
        spec.resources[storage]: Required value
        --
        spec.dataSource.name: Required value
        spec.dataSource: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup
        spec.dataSourceRef.name: Required value
        spec.dataSourceRef: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup
        --
    "#]].assert_eq(&causes(CLAIMS, &objects).await);
}

#[tokio::test]
async fn a_bound_claim_grows_only_if_its_class_allows_it() {
    let kit = kit().await;
    let class = |name: &str, grows: bool| {
        json!({ "metadata": { "name": name, "annotations": {
        "storageclass.kubernetes.io/is-default-class": if grows { "true" } else { "false" } } },
        "provisioner": "a.b/c", "allowVolumeExpansion": grows })
    };
    kit.create(&path_of("storage.k8s.io/storageclasses"), class("fast", true)).await;
    kit.create(&path_of("storage.k8s.io/storageclasses"), class("slow", false)).await;
    let claim = |name: &str, class: Value| {
        json!({ "metadata": { "name": name }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } }, "storageClassName": class } })
    };
    let mut told = String::new();
    for (name, class) in [("a", json!(null)), ("b", json!("slow"))] {
        let mut made = kit.create(CLAIMS, claim(name, class)).await;
        told.push_str(&format!("{name}: {} {}\n", made["spec"]["storageClassName"], made["metadata"]["finalizers"]));
        let path = format!("{CLAIMS}/{name}");
        let grow = |size: &str| json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        let patch = "application/merge-patch+json";
        let (_, early) = kit.ask(&format!("PATCH {path}")).content_type(patch).body(grow("2Gi")).send().await;
        told.push_str(&format!("{}\n", early["message"].as_str().unwrap()));
        made["status"] = json!({ "phase": "Bound", "capacity": { "storage": "1Gi" } });
        kit.ask(&format!("PUT {path}/status")).body(made).send().await;
        for size in ["2Gi", "1Gi", "512Mi"] {
            let (code, body) = kit.ask(&format!("PATCH {path}")).content_type(patch).body(grow(size)).send().await;
            told.push_str(&format!("{size}: {code} {}\n", body["message"].as_str().unwrap_or_default()));
        }
    }
    expect![[r#"
        a: "fast" ["kubernetes.io/pvc-protection"]
        PersistentVolumeClaim "a" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
        2Gi: 200 
        1Gi: 422 PersistentVolumeClaim "a" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity
        512Mi: 422 PersistentVolumeClaim "a" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity
        b: "slow" ["kubernetes.io/pvc-protection"]
        PersistentVolumeClaim "b" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
        2Gi: 403 persistentvolumeclaims "b" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize
        1Gi: 200 
        512Mi: 422 PersistentVolumeClaim "b" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn an_ingress_names_hosts_paths_and_backends() {
    let path = |more: Value| {
        let mut path = json!({ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "s", "port": { "number": 80 } } } });
        for (key, value) in more.as_object().unwrap() {
            path[key] = value.clone();
        }
        json!({ "spec": { "rules": [{ "host": "a.b", "http": { "paths": [path] } }] } })
    };
    let objects = [
        path(json!({})),
        json!({}),
        path(json!({ "path": "x//y", "pathType": "Exact" })),
        path(json!({ "path": "/a/..", "pathType": "Prefix", "backend": {} })),
        path(json!({ "pathType": "Glob", "backend": { "service": { "name": "S", "port": {} } } })),
        path(
            json!({ "pathType": null, "backend": { "resource": { "kind": "", "name": "a/b" }, "service": { "name": "s" } } }),
        ),
        json!({ "spec": { "defaultBackend": { "service": { "name": "s", "port": { "name": "x", "number": 1 } } },
            "rules": [{ "host": "1.2.3.4" }, { "host": "*.*" }], "tls": [{ "hosts": ["*.ok.b", "_"], "secretName": "S" }], "ingressClassName": "C" } }),
    ];
    check("networking.k8s.io/ingresses", &objects, expect![[r#"
        ok
        spec: Invalid value: null: either `defaultBackend` or `rules` must be specified
        --
        spec.rules[0].http.paths[0].path: Invalid value: "x//y": must be an absolute path
        spec.rules[0].http.paths[0].path: Invalid value: "x//y": must not contain '//'
        --
        spec.rules[0].http.paths[0].path: Invalid value: "/a/..": cannot end with '/..'
        spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required
        --
        spec.rules[0].http.paths[0].pathType: Unsupported value: "Glob": supported values: "Exact", "ImplementationSpecific", "Prefix"
        spec.rules[0].http.paths[0].backend.service.name: Invalid value: "S": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.rules[0].http.paths[0].backend: Required value: port name or number is required
        --
        spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified
        --
        spec.defaultBackend: Invalid value: "": cannot set both port name & port number
        spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
        spec.rules[1].host: Invalid value: "*.*": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.tls[0].hosts[1]: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.tls[0].secretName: Invalid value: "S": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.ingressClassName: Invalid value: "C": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        --
    "#]]).await;
}

#[tokio::test]
async fn a_network_policy_names_peers_and_ports() {
    let rule = |rule: Value| json!({ "spec": { "podSelector": {}, "ingress": [rule] } });
    let objects = [
        rule(
            json!({ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"] } }], "ports": [{ "port": "http" }] }),
        ),
        rule(
            json!({ "from": [{}, { "podSelector": {}, "ipBlock": { "cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "x"] } }] }),
        ),
        rule(
            json!({ "ports": [{ "port": 0, "endPort": 70000 }, { "port": "A", "endPort": 1 }, { "endPort": 1, "protocol": "ICMP" }] }),
        ),
        json!({ "spec": { "podSelector": { "matchLabels": { "-": "-" } }, "policyTypes": ["In", "Egress"] } }),
    ];
    check("networking.k8s.io/networkpolicies", &objects, expect![[r#"
        ok
        spec.ingress[0].from[0]: Required value: must specify a peer
        spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`
        spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
        spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer
        --
        spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
        spec.ingress[0].ports[0].endPort: Invalid value: 70000: must be between 1 and 65535, inclusive
        spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric
        spec.ingress[0].ports[1].port: Invalid value: "A": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
        spec.ingress[0].ports[1].port: Invalid value: "A": must contain at least one letter (a-z)
        spec.ingress[0].ports[2].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"
        spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is not specified
        --
        spec.podSelector.matchLabels: Invalid value: "-": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.podSelector.matchLabels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.policyTypes[0]: Unsupported value: "In": supported values: "Ingress", "Egress"
        --
    "#]]).await;
}

#[tokio::test]
async fn classes_addresses_and_ranges_are_checked() {
    let objects = [
        json!({ "spec": { "controller": "a.b/c" } }),
        json!({ "spec": { "controller": "nodomain" } }),
        json!({ "spec": { "controller": "a_/ä", "parameters": { "kind": "K", "name": "", "scope": "Namespace" } } }),
        json!({ "spec": { "controller": "a.b/c", "parameters": { "kind": "K", "name": "n", "namespace": "x" } } }),
    ];
    check("networking.k8s.io/ingressclasses", &objects, expect![[r#"
        ok
        spec.controller: Invalid value: "nodomain": must be a domain-prefixed path (such as "acme.io/foo")
        --
        spec.controller: Invalid value: "a_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.controller: Invalid value: "ä": Invalid path (e.g. '/foo', regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')
        spec.parameters.name: Required value: name is required
        spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'
        --
        spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'
        --
    "#]]).await;
    let address = |name: &str, parent: Value| json!({ "metadata": { "name": name }, "spec": { "parentRef": parent } });
    let objects = [
        address("10.0.0.1", json!({ "resource": "services", "namespace": "d", "name": "s" })),
        address("10.0.0.01", json!({ "group": "G", "name": "a/b" })),
        address("2001:DB8::1", json!({ "resource": "services", "name": "s" })),
        json!({ "metadata": { "name": "1.2.3.4" }, "spec": {} }),
    ];
    check("networking.k8s.io/ipaddresses", &objects, expect![[r#"
        ok
        metadata.name: Invalid value: "10.0.0.01": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        spec.parentRef.group: Invalid value: "G": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.parentRef.resource: Required value
        spec.parentRef.name: Invalid value: "a/b": may not contain '/'
        --
        metadata.name: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")
        --
        spec.parentRef: Required value
        --
    "#]]).await;
    let range = |cidrs: Value| json!({ "spec": { "cidrs": cidrs } });
    let objects = [
        range(json!(["10.0.0.0/16", "fd00::/64"])),
        range(json!([])),
        range(json!(["10.0.0.0/16", "10.1.0.0/16"])),
        range(json!(["10.0.0.1/16"])),
        range(json!(["x"])),
    ];
    check("networking.k8s.io/servicecidrs", &objects, expect![[r#"
        ok
        spec.cidrs: Required value: at least one CIDR required
        --
        spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/16","10.1.0.0/16"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64
        --
        spec.cidrs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length
        --
        spec.cidrs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
        --
    "#]]).await;
}

#[tokio::test]
async fn storage_kinds_are_checked() {
    let objects = [
        json!({ "provisioner": "a.b/c" }),
        json!({ "provisioner": "a/b/c", "reclaimPolicy": "Recycle", "volumeBindingMode": "Later", "parameters": { "": "x" } }),
        json!({ "provisioner": "a.b/c", "allowedTopologies": [{ "matchLabelExpressions": [
            { "key": "z", "values": ["a", "a"] }, { "key": "z", "values": [] }] }] }),
    ];
    check("storage.k8s.io/storageclasses", &objects, expect![[r#"
        ok
        provisioner: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
        parameters: Invalid value: "": field can not be empty.
        reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"
        volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"
        --
        allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"
        allowedTopologies[0].matchLabelExpressions[1].values: Required value
        allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "z"
        --
    "#]]).await;
    let objects = [
        json!({ "spec": {} }),
        json!({ "spec": { "fsGroupPolicy": "Some", "volumeLifecycleModes": ["Odd"], "nodeAllocatableUpdatePeriodSeconds": 5,
            "tokenRequests": [{ "audience": "a", "expirationSeconds": 1 }, { "audience": "a" }] } }),
    ];
    check(
        "storage.k8s.io/csidrivers",
        &objects,
        expect![[r#"
        ok
        spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType"
        spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes
        spec.tokenRequests[1].audience: Duplicate value: "a"
        spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral"
        spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds
        --
    "#]],
    )
    .await;
    let objects = [
        json!({ "spec": { "drivers": [{ "name": "d", "nodeID": "n", "topologyKeys": ["a/b"] }] } }),
        json!({ "spec": { "drivers": [{ "name": "d", "nodeID": "", "topologyKeys": ["", "k", "k"] }, { "name": "d", "nodeID": "n", "allocatable": { "count": -1 } }] } }),
    ];
    check("storage.k8s.io/csinodes", &objects, expect![[r#"
        ok
        spec.drivers[0].nodeID: Required value
        spec.drivers[0]: Required value
        spec.drivers[0]: Invalid value: "": name part must be non-empty
        spec.drivers[0]: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.drivers[0]: Duplicate value: "k"
        spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0
        spec.drivers[1].name: Duplicate value: "d"
        --
    "#]]).await;
    let objects = [
        json!({ "spec": { "attacher": "a", "nodeName": "n", "source": { "persistentVolumeName": "p" } } }),
        json!({ "spec": { "attacher": "A_", "nodeName": "N", "source": {} } }),
        json!({ "spec": { "attacher": "a", "nodeName": "n", "source": { "inlineVolumeSpec": { "accessModes": ["ReadWriteOnce"], "nfs": { "server": "s", "path": "/" }, "storageClassName": "c" } } } }),
    ];
    check("storage.k8s.io/volumeattachments", &objects, expect![[r#"
        ok
        spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName
        spec.nodeName: Invalid value: "N": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.attacher: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        --
        spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes
        spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes
        --
    "#]]).await;
    let objects = [json!({ "driverName": "d", "parameters": { "a": "b" } }), json!({ "driverName": "" })];
    check(
        "storage.k8s.io/volumeattributesclasses",
        &objects,
        expect![[r#"
        ok
        driverName: Required value
        parameters: Required value: must contain at least one key/value pair
        --
    "#]],
    )
    .await;
    let objects =
        [json!({ "storageClassName": "c", "capacity": "1Gi" }), json!({ "storageClassName": "C", "capacity": "-1" })];
    check("storage.k8s.io/csistoragecapacities", &objects, expect![[r#"
        ok
        storageClassName: Invalid value: "C": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        capacity: Invalid value: "-1": must be greater than or equal to 0
        --
    "#]]).await;
}

#[tokio::test]
async fn what_is_for_life_cannot_be_changed() {
    let kit = kit().await;
    let mut told = String::new();
    let mut change = async |kind: &str, object: Value, field: &str, value: Value| {
        let path = path_of(kind);
        let mut made = kit.create(&path, object).await;
        *made.pointer_mut(field).unwrap() = value;
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        told.push_str(&said(&kit, &format!("PUT {path}/{name}"), made).await);
    };
    let named = |name: &str| json!({ "name": name });
    change(
        "storage.k8s.io/storageclasses",
        json!({ "metadata": named("s"), "provisioner": "a.b/c" }),
        "/provisioner",
        json!("x.y/z"),
    )
    .await;
    change(
        "networking.k8s.io/ingressclasses",
        json!({ "metadata": named("i"), "spec": { "controller": "a.b/c" } }),
        "/spec/controller",
        json!("x.y/z"),
    )
    .await;
    change("scheduling.k8s.io/priorityclasses", json!({ "metadata": named("p"), "value": 1 }), "/value", json!(2))
        .await;
    change("node.k8s.io/runtimeclasses", json!({ "metadata": named("r"), "handler": "h" }), "/handler", json!("g"))
        .await;
    change(
        "networking.k8s.io/ipaddresses",
        json!({ "metadata": named("10.0.0.9"), "spec": { "parentRef": { "resource": "services", "name": "s" } } }),
        "/spec/parentRef/name",
        json!("t"),
    )
    .await;
    change("resource.k8s.io/resourceclaims", json!({ "metadata": named("c"), "spec": { "devices": { "requests": [{ "name": "r", "exactly": { "deviceClassName": "d" } }] } } }), "/spec/devices/requests/0/name", json!("q")).await;
    expect![[r#"
        provisioner: Forbidden: updates to provisioner are forbidden.
        --
        spec.controller: Invalid value: "x.y/z": field is immutable
        --
        value: Forbidden: may not be changed in an update.
        --
        handler: Invalid value: "g": field is immutable
        --
        spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"","Name":"t"}: field is immutable
        --
        spec: Invalid value: {"devices":{"requests":[{"exactly":{"allocationMode":"ExactCount","count":1,"deviceClassName":"d"},"name":"q"}]}}: field is immutable
        --
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn priorities_and_runtimes_are_given_by_their_classes() {
    let kit = kit().await;
    let classes = path_of("scheduling.k8s.io/priorityclasses");
    kit.create(
        &classes,
        json!({ "metadata": { "name": "high" }, "value": 1000, "globalDefault": true, "preemptionPolicy": "Never" }),
    )
    .await;
    let runtimes = path_of("node.k8s.io/runtimeclasses");
    kit.create(
        &runtimes,
        json!({ "metadata": { "name": "vm" }, "handler": "vm", "overhead": { "podFixed": { "cpu": "1" } },
        "scheduling": { "nodeSelector": { "vm": "yes" }, "tolerations": [{ "key": "vm", "operator": "Exists" }] } }),
    )
    .await;
    let mut told = String::new();
    for class in [
        json!({ "metadata": { "name": "other" }, "value": 1, "globalDefault": true }),
        json!({ "metadata": { "name": "system-mine" }, "value": 1 }),
        json!({ "metadata": { "name": "huge" }, "value": 2_000_000_000, "preemptionPolicy": "Always" }),
    ] {
        told.push_str(&said(&kit, &format!("POST {classes}"), class).await);
    }
    let with = |name: &str, more: Value| {
        let mut pod = pod(name);
        for (key, value) in more.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        pod
    };
    let made = kit.create(PODS, with("a", json!({ "runtimeClassName": "vm" }))).await;
    let spec = &made["spec"];
    told.push_str(&format!(
        "{} {} {} {} {} {}\n",
        spec["priorityClassName"],
        spec["priority"],
        spec["preemptionPolicy"],
        spec["overhead"],
        spec["nodeSelector"],
        spec["tolerations"][2]
    ));
    for more in [
        json!({ "priorityClassName": "high", "priority": 1 }),
        json!({ "priorityClassName": "none" }),
        json!({ "runtimeClassName": "none" }),
        json!({ "runtimeClassName": "vm", "nodeSelector": { "vm": "no" } }),
        json!({ "runtimeClassName": "vm", "overhead": { "cpu": "2" } }),
        json!({ "overhead": { "cpu": "2" } }),
        json!({ "priorityClassName": "system-node-critical" }),
    ] {
        told.push_str(&said(&kit, &format!("POST {PODS}?dryRun=All"), with("b", more)).await);
    }
    expect![[r#"
        403 priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass high is already marked as default. Only one default can exist
        metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class
        --
        value: Forbidden: maximum allowed value of a user defined priority is 1000000000
        preemptionPolicy: Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"
        --
        "high" 1000 "Never" {"cpu":"1"} {"vm":"yes"} {"key":"vm","operator":"Exists"}
        403 pods "b" is forbidden: the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name
        403 pods "b" is forbidden: no PriorityClass with name none was found
        403 pods "b" is forbidden: pod rejected: RuntimeClass "none" not found
        403 pods "b" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no
        403 pods "b" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead
        403 pods "b" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead
        ok
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let range = |limit: Value| json!({ "spec": { "limits": [limit] } });
    let objects = [
        range(
            json!({ "type": "Container", "max": { "cpu": "2" }, "min": { "cpu": "3" }, "default": { "cpu": "4" }, "defaultRequest": { "cpu": "5" } }),
        ),
        range(json!({ "type": "Pod", "default": { "cpu": "1" }, "max": { "odd": "1" } })),
        range(json!({ "type": "Node", "maxLimitRequestRatio": { "cpu": "500m" } })),
        range(json!({ "type": "PersistentVolumeClaim" })),
        json!({ "spec": { "limits": [{ "type": "Pod" }, { "type": "Pod", "max": { "cpu": "4" }, "min": { "cpu": "2" }, "maxLimitRequestRatio": { "cpu": "3" } }] } }),
    ];
    expect![[r#"
        spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2
        spec.limits[0].defaultRequest[cpu]: Invalid value: "5": default request value 5 is greater than max value 2
        spec.limits[0].defaultRequest[cpu]: Invalid value: "5": default request value 5 is greater than default limit value 4
        spec.limits[0].default[cpu]: Invalid value: "2": default value 4 is greater than max value 2
        --
        spec.limits[0].max[odd]: Invalid value: "odd": must be a standard resource type or fully qualified
        spec.limits[0].max[odd]: Invalid value: "odd": must be a standard resource for containers
        spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'
        --
        spec.limits[0].type: Invalid value: "Node": must be a standard limit type or fully qualified
        spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1
        --
        spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided
        --
        spec.limits[1].type: Duplicate value: "Pod"
        spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000
        --
    "#]].assert_eq(&causes(LIMITS, &objects).await);
    let kit = kit().await;
    let limits = json!([
        { "type": "Container", "default": { "cpu": "500m" }, "defaultRequest": { "cpu": "100m" }, "min": { "memory": "1Mi" }, "maxLimitRequestRatio": { "cpu": "5" } },
        { "type": "Pod", "max": { "cpu": "1" } }, { "type": "PersistentVolumeClaim", "max": { "storage": "1Gi" } },
    ]);
    kit.create(LIMITS, json!({ "metadata": { "name": "l" }, "spec": { "limits": limits } })).await;
    let with = |resources: Value| {
        let mut pod = pod("p");
        pod["spec"]["containers"][0]["resources"] = resources;
        pod
    };
    let memory = json!({ "requests": { "memory": "1Mi" } });
    let made = kit.create(PODS, with(memory)).await;
    let mut told = format!("{} {}\n", made["metadata"]["annotations"], made["spec"]["containers"][0]["resources"]);
    for resources in [
        json!({}),
        json!({ "requests": { "memory": "1Ki", "cpu": "1" }, "limits": { "cpu": "2" } }),
        json!({ "requests": { "memory": "1Mi", "cpu": "0.1" }, "limits": { "cpu": "1" } }),
    ] {
        told.push_str(&said(&kit, &format!("POST {PODS}?dryRun=All"), with(resources)).await);
    }
    let claim = json!({ "metadata": { "name": "c" }, "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "2Gi" } } } });
    told.push_str(&said(&kit, &format!("POST {CLAIMS}"), claim).await);
    expect![[r#"
        {"kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu request for container c; cpu limit for container c"} {"limits":{"cpu":"500m"},"requests":{"cpu":"100m","memory":"1Mi"}}
        409 pods "p" already exists
        403 pods "p" is forbidden: minimum memory usage per Container is 1Mi, but request is 1Ki
        403 pods "p" is forbidden: cpu max limit to request ratio per Container is 5, but provided ratio is 10.000000
        403 persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn quotas_are_checked_and_their_scopes_are_for_life() {
    let quota = |spec: Value| json!({ "spec": spec });
    let objects = [
        quota(
            json!({ "hard": { "pods": "1", "count/jobs.batch": "2", "requests.example.com/gpu": "1", "requests.storage": "1Gi" } }),
        ),
        quota(json!({ "hard": { "pods": "0.5", "cpu": "-1", "nothing": "1" } })),
        quota(json!({ "hard": { "services": "1" }, "scopes": ["BestEffort", "NotBestEffort", "Odd"] })),
        quota(json!({ "hard": { "pods": "1" }, "scopeSelector": { "matchExpressions": [
            { "scopeName": "Terminating", "operator": "In" }, { "scopeName": "PriorityClass", "operator": "Exists", "values": ["a"] }, { "scopeName": "X", "operator": "Y" }] } })),
    ];
    expect![[r#"
        ok
        spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0
        spec.hard[nothing]: Invalid value: "nothing": must be a standard resource type or fully qualified
        spec.hard[nothing]: Invalid value: "nothing": must be a standard resource for quota
        spec.hard[pods]: Invalid value: "500m": must be an integer
        --
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: unsupported scope
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: conflicting scopes
        --
        spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
        spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
        spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector
        spec.scopeSelector.matchExpressions.scopeName: Invalid value: "X": unsupported scope
        spec.scopeSelector.matchExpressions.operator: Invalid value: "Y": not a valid selector operator
        --
    "#]].assert_eq(&causes(QUOTAS, &objects).await);
    let kit = kit().await;
    let mut made = kit
        .create(
            QUOTAS,
            json!({ "metadata": { "name": "q" }, "spec": { "hard": { "pods": "1" }, "scopes": ["BestEffort"] } }),
        )
        .await;
    made["spec"]["scopes"] = json!([]);
    expect![[r#"
        spec.scopes: Invalid value: null: field is immutable
        --
    "#]]
    .assert_eq(&said(&kit, &format!("PUT {QUOTAS}/q"), made).await);
}

/// Counts what is there, as the quota controller does.
async fn count(kit: &Kit, hard: Value, used: Value) {
    let (_, mut quota) = kit.ask(&format!("GET {QUOTAS}/q")).send().await;
    quota["status"] = json!({ "hard": hard, "used": used });
    let (code, body) = kit.ask(&format!("PUT {QUOTAS}/q/status")).body(quota).send().await;
    assert_eq!(code, 200, "{body}");
}

#[tokio::test]
async fn what_is_created_counts_against_its_quota_in_the_same_commit() {
    let kit = kit().await;
    let hard = json!({ "pods": "2", "requests.cpu": "1", "services.nodeports": "1", "count/configmaps": "1", "configmaps": "5" });
    kit.create(QUOTAS, json!({ "metadata": { "name": "q" }, "spec": { "hard": hard.clone() } })).await;
    let asks = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
        pod
    };
    let mut told = said(&kit, &format!("POST {PODS}?dryRun=All"), asks("free", "9")).await;
    count(&kit, hard.clone(), json!({ "pods": "0" })).await;
    told.push_str(&said(&kit, &format!("POST {PODS}"), asks("a", "1m")).await);
    let zero = json!({ "pods": "0", "requests.cpu": "0", "services.nodeports": "0", "count/configmaps": "0", "configmaps": "0" });
    count(&kit, hard, zero).await;
    for (line, object) in [
        (PODS.to_owned(), pod("silent")),
        (format!("{PODS}?dryRun=All"), asks("dry", "1")),
        (PODS.to_owned(), asks("a", "600m")),
        (PODS.to_owned(), asks("b", "600m")),
        (PODS.to_owned(), asks("b", "100m")),
        (PODS.to_owned(), asks("c", "100m")),
        (
            SERVICES.to_owned(),
            json!({ "metadata": { "name": "s" }, "spec": { "type": "NodePort", "ports": [{ "name": "a", "port": 1 }, { "name": "b", "port": 2 }] } }),
        ),
        ("/api/v1/namespaces/default/configmaps".to_owned(), json!({ "metadata": { "name": "m" } })),
        ("/api/v1/namespaces/default/configmaps".to_owned(), json!({ "metadata": { "name": "n" } })),
        ("/api/v1/namespaces/default/configmaps".to_owned(), json!({ "metadata": { "name": "m" } })),
    ] {
        told.push_str(&said(&kit, &format!("POST {line}"), object).await);
    }
    let (_, quota) = kit.ask(&format!("GET {QUOTAS}/q")).send().await;
    told.push_str(&format!("{}\n", quota["status"]["used"]));
    expect![[r#"
        ok
        403 pods "a" is forbidden: status unknown for quota: q, resources: pods,requests.cpu
        403 pods "silent" is forbidden: failed quota: q: must specify requests.cpu for: c
        ok
        ok
        403 pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1
        ok
        403 pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2
        403 services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1
        ok
        403 configmaps "n" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1
        403 configmaps "m" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1
        {"configmaps":"1","count/configmaps":"1","pods":"2","requests.cpu":"700m","services.nodeports":"0"}
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn quotas_hold_when_many_create_at_once() {
    let kit = kit().await;
    let hard = json!({ "pods": "5" });
    kit.create(QUOTAS, json!({ "metadata": { "name": "q" }, "spec": { "hard": hard.clone() } })).await;
    count(&kit, hard, json!({ "pods": "0" })).await;
    let line = format!("POST {PODS}");
    let asks = (0..20).map(|i| kit.ask(&line).body(pod(&format!("p{i}"))).send());
    let answers = futures::future::join_all(asks).await;
    assert_eq!(answers.iter().filter(|(code, _)| *code == 201).count(), 5);
    let (_, quota) = kit.ask(&format!("GET {QUOTAS}/q")).send().await;
    assert_eq!(quota["status"]["used"]["pods"], "5");
}

#[tokio::test]
async fn flow_schemas_and_levels_are_checked() {
    let objects = [
        json!({ "spec": { "priorityLevelConfiguration": { "name": "exempt" } } }),
        json!({ "spec": { "matchingPrecedence": 1, "distinguisherMethod": { "type": "ByMood" }, "rules": [{ "subjects": [] }] } }),
        json!({ "spec": { "matchingPrecedence": 20000, "priorityLevelConfiguration": { "name": "a" }, "rules": [{
            "subjects": [{ "kind": "User" }, { "kind": "Dog" }, { "kind": "ServiceAccount", "serviceAccount": { "name": "*" }, "user": { "name": "x" } }],
            "resourceRules": [{ "verbs": ["eat"], "apiGroups": ["*", "a"], "resources": [] }], "nonResourceRules": [{ "verbs": ["*", "get"], "nonResourceURLs": ["x", "/a*"] }] }] } }),
        json!({ "metadata": { "name": "exempt" }, "spec": { "matchingPrecedence": 1, "priorityLevelConfiguration": { "name": "a" } } }),
    ];
    check("flowcontrol.apiserver.k8s.io/flowschemas", &objects, expect![[r#"
        ok
        spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1
        spec.distinguisherMethod.type: Unsupported value: "ByMood": supported values: "ByNamespace", "ByUser"
        spec.priorityLevelConfiguration.name: Required value: must reference a priority level
        spec.rules[0].subjects: Required value: subjects must contain at least one value
        spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty
        --
        spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000
        spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'
        spec.rules[0].subjects[1].kind: Unsupported value: "Dog": supported values: "Group", "ServiceAccount", "User"
        spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account
        spec.rules[0].subjects[2].user: Forbidden: user is forbidden when subject kind is not 'User'
        spec.rules[0].resourceRules[0].verbs: Unsupported value: ["eat"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"
        spec.rules[0].resourceRules[0].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other api groups
        spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource
        spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace
        spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs
        spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash
        spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*": wildcard can only do suffix matching
        --
        spec: Invalid value: {"matchingPrecedence":1,"priorityLevelConfiguration":{"name":"a"}}: spec of 'exempt' must equal the fixed value
        --
    "#]]).await;
    let limited = |limited: Value| json!({ "spec": { "type": "Limited", "limited": limited } });
    let objects = [
        limited(json!({ "limitResponse": { "type": "Queue", "queuing": {} } })),
        limited(
            json!({ "nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1, "limitResponse": { "type": "Wait" } }),
        ),
        limited(json!({ "limitResponse": { "type": "Queue", "queuing": { "queues": 4, "handSize": 5 } } })),
        json!({ "spec": { "type": "Exempt", "limited": {} } }),
    ];
    check(
        "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
        &objects,
        expect![[r#"
        ok
        spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer
        spec.limited.limitResponse.type: Unsupported value: "Wait": supported values: "Queue", "Reject"
        spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive
        spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer
        --
        spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)
        --
        spec.type: Invalid value: "Exempt": type must be 'Exempt' if and only if name is 'exempt'
        spec.limited: Forbidden: must be nil if the type is not Limited
        --
    "#]],
    )
    .await;
}

#[tokio::test]
async fn webhooks_and_policies_are_checked() {
    let hook = |more: Value| {
        let mut hook = json!({ "name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": { "url": "https://h/x" } });
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        json!({ "webhooks": [hook] })
    };
    let objects = [
        hook(json!({})),
        hook(
            json!({ "name": "a", "sideEffects": "Some", "timeoutSeconds": 31, "failurePolicy": "Maybe", "clientConfig": {} }),
        ),
        hook(json!({ "admissionReviewVersions": ["v9", "v9"], "clientConfig": { "url": "http://u@h/?q#f" } })),
        hook(
            json!({ "rules": [{ "operations": ["*", "GET"], "apiGroups": [], "apiVersions": ["v1", ""], "resources": ["pods/*", "pods/log", "*", "a"], "scope": "Any" }] }),
        ),
        hook(
            json!({ "clientConfig": { "service": { "name": "", "namespace": "n", "path": "x", "port": 0 } }, "reinvocationPolicy": "Often", "matchConditions": [{ "name": "-", "expression": " " }] }),
        ),
    ];
    check("admissionregistration.k8s.io/mutatingwebhookconfigurations", &objects, expect![[r#"
        ok
        webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots
        webhooks[0].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"
        webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"
        webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds
        webhooks[0].clientConfig: Required value: exactly one of url or service is required
        --
        webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
        webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL
        webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL
        webhooks[0].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL
        webhooks[0].admissionReviewVersions[1]: Invalid value: "v9": duplicate version
        webhooks[0].admissionReviewVersions: Invalid value: ["v9","v9"]: must include at least one of v1, v1beta1
        --
        webhooks[0].rules[0].operations: Invalid value: ["*","GET"]: if '*' is present, must not specify other operations
        webhooks[0].rules[0].operations[1]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"
        webhooks[0].rules[0].apiGroups: Required value
        webhooks[0].rules[0].apiVersions[1]: Required value
        webhooks[0].rules[0].resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log
        webhooks[0].rules[0].resources: Invalid value: ["pods/*","pods/log","*","a"]: if '*' is present, must not specify other resources without subresources
        webhooks[0].rules[0].scope: Unsupported value: "Any": supported values: "*", "Cluster", "Namespaced"
        --
        webhooks[0].reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", "Never"
        webhooks[0].clientConfig.service.name: Required value: service name is required
        webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive
        webhooks[0].clientConfig.service.path: Invalid value: "x": must start with a '/'
        webhooks[0].matchConditions[0].expression: Required value
        webhooks[0].matchConditions[0].name: Invalid value: "-": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        --
    "#]]).await;
    let policy = |more: Value| {
        let mut spec = json!({ "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }] }, "validations": [{ "expression": "true" }] });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({ "spec": spec })
    };
    let objects = [
        policy(json!({})),
        policy(
            json!({ "matchConstraints": {}, "paramKind": { "apiVersion": "a/b/c", "kind": "-" }, "variables": [{ "name": "in", "expression": "" }] }),
        ),
        policy(
            json!({ "validations": [{ "expression": "", "message": "a\nb", "reason": "Why" }], "auditAnnotations": [{ "key": "k", "valueExpression": "" }, { "key": "k", "valueExpression": "1" }] }),
        ),
    ];
    check("admissionregistration.k8s.io/validatingadmissionpolicies", &objects, expect![[r#"
        ok
        spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
        spec.paramKind.kind: Invalid value: "-": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.matchConstraints.resourceRules: Required value
        spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier
        spec.variables[0].expression: Required value: expression is not specified
        --
        spec.validations[0].expression: Required value: expression is not specified
        spec.validations[0].message: Invalid value: "a\nb": message must not contain line breaks
        spec.validations[0].reason: Unsupported value: "Why": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"
        spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified
        spec.auditAnnotations[1].key: Duplicate value: "k"
        --
    "#]]).await;
    let objects = [
        json!({ "spec": { "policyName": "p", "validationActions": ["Deny"] } }),
        json!({ "spec": { "paramRef": { "name": "a", "selector": {} }, "validationActions": ["Deny", "Warn", "Warn"] } }),
    ];
    check("admissionregistration.k8s.io/validatingadmissionpolicybindings", &objects, expect![[r#"
        ok
        spec.policyName: Required value
        spec.paramRef.name: Forbidden: name and selector are mutually exclusive
        spec.paramRef.selector: Forbidden: name and selector are mutually exclusive
        spec.paramRef.parameterNotFoundAction: Required value
        spec.validationActions[2]: Duplicate value: "Warn"
        spec.validationActions: Invalid value: ["Deny","Warn","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)
        --
    "#]]).await;
    let objects = [
        json!({ "spec": {} }),
        policy(
            json!({ "validations": null, "reinvocationPolicy": "Never", "mutations": [{ "patchType": "JSONPatch" }, { "patchType": "Odd" }] }),
        ),
    ];
    check(
        "admissionregistration.k8s.io/mutatingadmissionpolicies",
        &objects,
        expect![[r#"
        spec.matchConstraints: Required value
        spec.mutations: Required value: mutations must contain at least one item
        spec.reinvocationPolicy: Required value
        --
        spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch
        spec.mutations[1].patchType: Unsupported value: "Odd": supported values: "ApplyConfiguration", "JSONPatch"
        --
    "#]],
    )
    .await;
}

#[tokio::test]
async fn registrations_and_devices_are_checked() {
    let objects = [
        json!({ "metadata": { "name": "v1.a.b" }, "spec": { "group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1 } }),
        json!({ "metadata": { "name": "x" }, "spec": { "version": "V", "groupPriorityMinimum": 30000, "caBundle": "YQ==", "insecureSkipTLSVerify": true } }),
        json!({ "metadata": { "name": "v1.c" }, "spec": { "group": "c", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": { "port": 0 } } }),
    ];
    check("apiregistration.k8s.io/apiservices", &objects, expect![[r#"
        ok
        metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "V."
        spec.group: Required value: only v1 may have an empty group and it better be legacy kube
        spec.version: Invalid value: "V": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.groupPriorityMinimum: Invalid value: 30000: must be positive and less than 20000
        spec.versionPriority: Invalid value: 0: must be positive and less than 1000
        spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle
        spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify
        --
        spec.service.namespace: Required value
        spec.service.name: Required value
        spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive
        --
    "#]]).await;
    let claim = |devices: Value| json!({ "spec": { "devices": devices } });
    let objects = [
        claim(
            json!({ "requests": [{ "name": "r", "exactly": { "deviceClassName": "c" } }], "constraints": [{ "requests": ["r"], "matchAttribute": "d.x/a" }] }),
        ),
        claim(
            json!({ "requests": [{ "name": "R" }, { "name": "r", "exactly": { "deviceClassName": "", "allocationMode": "All", "count": 2 }, "firstAvailable": [{ "name": "s", "deviceClassName": "c" }] }] }),
        ),
        claim(
            json!({ "requests": [{ "name": "r", "exactly": { "deviceClassName": "c", "selectors": [{}] } }, { "name": "r", "exactly": { "deviceClassName": "c" } }],
            "constraints": [{ "requests": ["q", "a/b/c"], "matchAttribute": "9" }], "config": [{ "opaque": { "driver": "", "parameters": 1 } }] }),
        ),
    ];
    check("resource.k8s.io/resourceclaims", &objects, expect![[r#"
        ok
        spec.devices.requests[0].name: Invalid value: "R": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required
        spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set
        --
        400 ResourceClaim in version "v1" cannot be handled as a ResourceClaim: json: cannot unmarshal number into Go struct field OpaqueDeviceConfiguration.spec.devices.config.opaque.parameters of type map[string]interface {}
    "#]]).await;
    let slice = |more: Value| {
        let mut spec = json!({ "driver": "d", "pool": { "name": "p", "resourceSliceCount": 1 }, "nodeName": "n" });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({ "spec": spec })
    };
    let objects = [
        slice(
            json!({ "devices": [{ "name": "a", "attributes": { "v": { "version": "1.2.3" } }, "capacity": { "m": { "value": "1Gi" } } }] }),
        ),
        slice(json!({ "allNodes": true, "pool": { "name": "" } })),
        slice(
            json!({ "nodeName": "", "devices": [{ "name": "A", "attributes": { "9": { "version": "1" }, "n": {} }, "allNodes": true, "taints": [{ "key": "", "effect": "Go" }] }] }),
        ),
        slice(
            json!({ "devices": [{ "name": "a", "allowMultipleAllocations": true, "capacity": { "m": { "value": "10", "requestPolicy": { "default": "1", "validRange": { "min": "2", "max": "20", "step": "3" } } } } }] }),
        ),
    ];
    check("resource.k8s.io/resourceslices", &objects, expect![[r#"
        ok
        spec.pool.name: Required value
        spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero
        spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set
        --
        spec.nodeName: Invalid value: "": must be either unset or set to a non-empty string
        spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required
        spec.devices[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.devices[0].attributes[9]: Invalid value: "9": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')
        spec.devices[0].attributes[9].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0
        spec.devices[0].attributes[n]: Invalid value: "": exactly one value must be specified
        spec.devices[0].taints[0].key: Invalid value: "": name part must be non-empty
        spec.devices[0].taints[0].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.devices[0].taints[0].effect: Unsupported value: "Go": supported values: "NoExecute", "NoSchedule", "None"
        spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec
        --
        spec.devices[0].capacity[m].requestPolicy.validRange.min: Invalid value: "1": default is less than min: 2
        spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "20": max is larger than capacity value: 10
        spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "1": value is not a multiple of a given step (3) from (2)
        --
    "#]]).await;
    let objects = [
        json!({ "spec": {} }),
        json!({ "spec": { "extendedResourceName": "gpu", "selectors": [{}], "config": [{}] } }),
    ];
    check(
        "resource.k8s.io/deviceclasses",
        &objects,
        expect![[r#"
        ok
        spec.selectors[0].cel: Required value
        spec.config[0].opaque: Required value
        spec.extendedResourceName: Invalid value: "gpu": must be a valid extended resource name
        --
    "#]],
    )
    .await;
}
