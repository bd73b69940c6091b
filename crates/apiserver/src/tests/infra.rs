//! Volumes, networking, quotas and the other kinds around pods: what is refused and in which words, what is filled in,
//! what each writer may change, and the plug-ins that these kinds drive.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::kit::{Kit, kit};

pub(super) const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";

pub(super) fn path_of(kind: &str) -> String {
    let (group, resource) = kind.split_once('/').unwrap();
    let namespaced = matches!(
        resource,
        "ingresses" | "networkpolicies" | "resourceclaims" | "resourceclaimtemplates" | "csistoragecapacities"
    );
    let inside = if namespaced { "namespaces/default/" } else { "" };
    format!("/apis/{group}/v1/{inside}{resource}")
}

/// What is said about each object that is created: `ok`, or the causes, one a line.
pub(super) async fn causes(path: &str, objects: &[Value]) -> String {
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

pub(super) async fn said(kit: &Kit, line: &str, object: Value) -> String {
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

pub(super) async fn check(kind: &str, objects: &[Value], wanted: Expect) {
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
    let objects = [
        volume(
            json!({ "iscsi": { "targetPortal": "t", "iqn": "iqn.x", "lun": 0, "secretRef": {}, "initiatorName": "x" } }),
        ),
        volume(
            json!({ "flexVolume": { "driver": "d", "options": { "Example.K8s.io/a": "b", "kubernetes.io": "c" } } }),
        ),
        volume(json!({ "azureDisk": { "diskName": "d", "diskURI": "u", "kind": "Managed" } })),
        volume(json!({ "quobyte": { "registry": "r", "volume": "v" } })),
        volume(json!({ "storageos": { "volumeName": "V", "secretRef": { "name": "s" } } })),
        volume(json!({ "gcePersistentDisk": { "pdName": "d", "partition": 256 } })),
    ];
    expect![[r#"
        spec.iscsi.iqn: Invalid value: "iqn.x": must be valid format
        spec.iscsi.secretRef.name: Required value
        spec.iscsi.initiatorname: Invalid value: "x": must be valid format
        --
        spec.flexVolume.options[Example.K8s.io/a]: Invalid value: "Example.K8s.io/a": kubernetes.io and k8s.io namespaces are reserved
        spec.flexVolume.options[kubernetes.io]: Invalid value: "kubernetes.io": kubernetes.io and k8s.io namespaces are reserved
        --
        spec.azureDisk.diskURI: Unsupported value: "u": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        --
        spec.quobyte.registry: Invalid value: "r": must be a host:port pair or multiple pairs separated by commas
        --
        spec.storageos.volumeName: Invalid value: "V": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.storageos.secretRef.namespace: Required value
        --
        spec.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive
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
