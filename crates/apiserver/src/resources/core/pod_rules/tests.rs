//! Tables of the rules: a piece of a pod's spec, and what is said of it.

mod changes;

use api::schema;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

/// A pod with these fields in its spec, decoded as a client's would be.
fn pod(spec: Value) -> Value {
    let mut whole = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "default"},
    });
    merge(&mut whole["spec"], spec);
    let types = schema::builtin().lookup("io.k8s.api.core.v1.Pod").unwrap();
    schema::normalize(&mut whole, types);
    schema::apply_defaults(&mut whole, types);
    schema::normalize(&mut whole, types);
    whole
}

/// Fields of `spec` replace those of the pod; a `c` is the fields of its one container.
fn merge(into: &mut Value, spec: Value) {
    for (field, value) in spec.as_object().unwrap().clone() {
        if field == "c" {
            merge(&mut into["containers"][0], value);
        } else {
            into[field] = value;
        }
    }
}

fn told(causes: &[api::status::Cause]) -> String {
    let line = |cause: &api::status::Cause| format!("{}: {}\n", cause.field, cause.message);
    causes.iter().map(line).collect()
}

fn check(spec: Value, expected: Expect) {
    let pod = pod(spec);
    let mut causes = super::validate(&pod);
    causes.extend(super::validate_create(&pod));
    expected.assert_eq(&told(&causes));
}

#[test]
fn a_plain_pod_is_fine_and_an_empty_one_is_not() {
    check(json!({}), expect![[""]]);
    check(
        json!({"containers": []}),
        expect![[r#"
        spec.containers: Required value
    "#]],
    );
    let nothing = json!({"metadata": {"name": "t"}});
    expect![[r#"
        spec.template.spec.terminationGracePeriodSeconds: Required value
        spec.template.spec.containers: Required value
        spec.template.spec.restartPolicy: Required value
        spec.template.spec.dnsPolicy: Required value
    "#]]
    .assert_eq(&told(&super::validate_template(&nothing, &api::validation::Path::new("spec.template"))));
}

#[test]
fn containers_have_names_images_and_ports() {
    check(
        json!({"c": {"name": "", "image": ""}, "initContainers": [{"name": "A", "image": " i", "imagePullPolicy": "Now"}]}),
        expect![[r#"
            spec.containers[0].name: Required value
            spec.containers[0].image: Required value
            spec.initContainers[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.initContainers[0].imagePullPolicy: Unsupported value: "Now": supported values: "Always", "IfNotPresent", "Never"
            spec.initContainers[0].image: Invalid value: " i": must not have leading or trailing whitespace
        "#]],
    );
    check(
        json!({"c": {"ports": [
            {"containerPort": 80, "name": "a", "hostPort": 70000}, {"containerPort": 81, "name": "a", "protocol": "ICMP"},
            {"containerPort": 0}, {"containerPort": 82, "hostPort": 90}, {"containerPort": 83, "hostPort": 90},
        ], "terminationMessagePolicy": "Shout", "restartPolicyRules": [{"action": "Explode"}]}}),
        expect![[r#"
            spec.containers[0].terminationMessagePolicy: Unsupported value: "Shout": supported values: "File", "FallbackToLogsOnError"
            spec.containers[0].ports[0].hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].ports[1].name: Duplicate value: "a"
            spec.containers[0].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
            spec.containers[0].ports[2].containerPort: Required value
            spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used
            spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Explode": supported values: "Restart", "RestartAllContainers"
            spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified
            spec.containers[0].ports[4].hostPort: Duplicate value: "TCP//90"
        "#]],
    );
    check(
        json!({"hostNetwork": true, "c": {"ports": [{"containerPort": 80, "hostPort": 81}]}}),
        expect![[r#"
            spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true
        "#]],
    );
    check(
        json!({"initContainers": [{"name": "c", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}},
            {"name": "s", "image": "i", "restartPolicy": "Sometimes"}]}),
        expect![[r#"
            spec.initContainers[0].name: Duplicate value: "c"
            spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
            spec.initContainers[1].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"
        "#]],
    );
    check(
        json!({"ephemeralContainers": [{"name": "c", "image": "i", "targetContainerName": "x", "ports": [{"containerPort": 1}],
            "resources": {"limits": {"cpu": "1"}}, "lifecycle": {}}]}),
        expect![[r#"
            spec.ephemeralContainers[0].name: Duplicate value: "c"
            spec.ephemeralContainers[0].targetContainerName: Not found: "x"
            spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container
            spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container
            spec.ephemeralContainers: Forbidden: cannot be set on create
        "#]],
    );
}

#[test]
fn variables_come_from_one_place() {
    check(
        json!({"c": {"env": [
            {"name": "a=b"}, {"name": "", "value": "1"}, {"name": "A", "valueFrom": {}},
            {"name": "B", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.restartPolicy"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}},
            {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.bogus"}}},
            {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP['x']"}}},
            {"name": "G", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}},
            {"name": "H", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Ki"}}},
            {"name": "I", "valueFrom": {"secretKeyRef": {"name": "S", "key": "a/b"}, "configMapKeyRef": {"name": "c", "key": ""}}},
            {"name": "J", "valueFrom": {"resourceFieldRef": {"resource": "requests.hugepages-2Mi"}}},
        ], "envFrom": [{}, {"prefix": "a=", "configMapRef": {"name": ""}, "secretRef": {"name": "s"}}]}}),
        expect![[r#"
            spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[1].name: Required value
            spec.containers[0].env[2].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
            spec.containers[0].env[3].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[4].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.restartPolicy": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
            spec.containers[0].env[5].valueFrom.fieldRef: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.containers[0].env[6].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.bogus": error converting fieldPath: field label not supported: metadata.bogus
            spec.containers[0].env[7].valueFrom.fieldRef.fieldPath: Invalid value: "status.podIP['x']": error converting fieldPath: field label does not support subscript: status.podIP['x']
            spec.containers[0].env[8].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"
            spec.containers[0].env[9].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource
            spec.containers[0].env[10].valueFrom.configMapKeyRef.key: Required value
            spec.containers[0].env[10].valueFrom.secretKeyRef.name: Invalid value: "S": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.containers[0].env[10].valueFrom.secretKeyRef.key: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
            spec.containers[0].env[10].valueFrom: Invalid value: "": may not have more than one field specified at a time
            spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`
            spec.containers[0].envFrom[1].prefix: Invalid value: "a=": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].envFrom[1].configMapRef.name: Required value
            spec.containers[0].envFrom: Invalid value: "": may not have more than one field specified at a time
        "#]],
    );
}

#[test]
fn mounts_name_volumes_that_are_there_and_paths_once() {
    check(
        json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "pvc", "persistentVolumeClaim": {"claimName": "x"}}],
            "c": {"volumeMounts": [
                {"name": "v", "mountPath": "/a", "subPath": "../x"}, {"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": ""},
                {"name": "v", "mountPath": "/b", "mountPropagation": "Bidirectional", "recursiveReadOnly": "Enabled"},
                {"name": "pvc", "mountPath": "/c", "subPath": "/x", "subPathExpr": "y"},
            ], "volumeDevices": [{"name": "v", "devicePath": "/dev/../x"}, {"name": "pvc", "devicePath": "/c"}, {"name": "pvc", "devicePath": ""}]}}),
        expect![[r#"
            spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices
            spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain '..'
            spec.containers[0].volumeMounts[1].name: Not found: "w"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique
            spec.containers[0].volumeMounts[2].mountPath: Required value
            spec.containers[0].volumeMounts[2].name: Invalid value: "v": must not already exist in volumeDevices
            spec.containers[0].volumeMounts[2].mountPath: Invalid value: "": must not already exist as a path in volumeDevices
            spec.containers[0].volumeMounts[3].name: Invalid value: "v": must not already exist in volumeDevices
            spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers
            spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true
            spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified
            spec.containers[0].volumeMounts[4].name: Invalid value: "pvc": must not already exist in volumeDevices
            spec.containers[0].volumeMounts.subPath: Invalid value: "/x": must be a relative path
            spec.containers[0].volumeMounts[4].subPathExpr: Invalid value: "y": subPathExpr and subPath are mutually exclusive
            spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode
            spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/dev/../x": can not contain backsteps ('..')
            spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts
            spec.containers[0].volumeDevices[1].name: Invalid value: "pvc": must not already exist in volumeMounts
            spec.containers[0].volumeDevices[1].devicePath: Invalid value: "/c": must not already exist as a path in volumeMounts
            spec.containers[0].volumeDevices[2].name: Invalid value: "pvc": must be unique
            spec.containers[0].volumeDevices[2].devicePath: Required value
            spec.containers[0].volumeDevices[2].name: Invalid value: "pvc": must not already exist in volumeMounts
        "#]],
    );
}

#[test]
fn volumes_have_one_source_with_all_that_it_needs() {
    check(
        json!({"volumes": [
            {"name": "a", "hostPath": {"path": "", "type": "Tree"}}, {"name": "b", "hostPath": {"path": "/a/../b", "type": "Tree"}},
            {"name": "c", "emptyDir": {"sizeLimit": "-1"}, "secret": {"secretName": "s"}}, {"name": "D", "secret": {"defaultMode": 1000}},
            {"name": "e", "configMap": {"items": [{"key": "", "path": "..x", "mode": -1}]}}, {"name": "f", "nfs": {"path": "x"}},
            {"name": "g", "iscsi": {"targetPortal": "p", "iqn": "iqn.x", "lun": 300, "chapAuthSession": true}},
            {"name": "h", "downwardAPI": {"items": [{"path": "", "resourceFieldRef": {"resource": "limits.cpu"}}, {"path": "/x"}]}},
            {"name": "i", "csi": {"driver": "A_b"}}, {"name": "j", "fc": {}}, {"name": "k", "azureDisk": {"diskName": "d", "diskURI": "u"}},
            {"name": "l", "image": {}}, {"name": "m", "ephemeral": {}}, {"name": "n", "quobyte": {"registry": "a"}},
            {"name": "o", "flexVolume": {"driver": "x", "options": {"a.kubernetes.io/b": "c"}}}, {"name": "b", "emptyDir": {}}, {"name": "c", "emptyDir": {}}, {"name": "c", "emptyDir": {}},
        ]}),
        expect![[r#"
            spec.volumes[0].hostPath.path: Required value
            spec.volumes[1].hostPath.path: Invalid value: "/a/../b": must not contain '..'
            spec.volumes[1].hostPath.type: Unsupported value: "Tree": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
            spec.volumes[2].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity
            spec.volumes[2].secret: Forbidden: may not specify more than 1 volume type
            spec.volumes[3].secret.secretName: Required value
            spec.volumes[3].secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[3].name: Invalid value: "D": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.volumes[4].configMap.name: Required value
            spec.volumes[4].configMap.items[0].key: Required value
            spec.volumes[4].configMap.items[0].path: Invalid value: "..x": must not start with '..'
            spec.volumes[4].configMap.items[0].mode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[5].nfs.server: Required value
            spec.volumes[5].nfs.path: Invalid value: "x": must be an absolute path
            spec.volumes[6].iscsi.iqn: Invalid value: "iqn.x": must be valid format
            spec.volumes[6].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive
            spec.volumes[6].iscsi.secretRef: Required value
            spec.volumes[7].downwardAPI.path: Required value
            spec.volumes[7].downwardAPI.resourceFieldRef.containerName: Required value
            spec.volumes[7].downwardAPI.path: Invalid value: "/x": must be a relative path
            spec.volumes[7].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required
            spec.volumes[8].csi.driver: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.volumes[9].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both
            spec.volumes[10].azureDisk.diskURI: Unsupported value: "u": supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
            spec.volumes[11].image.reference: Required value
            spec.volumes[12].ephemeral.volumeClaimTemplate: Required value
            spec.volumes[13].quobyte.registry: Invalid value: "a": must be a host:port pair or multiple pairs separated by commas
            spec.volumes[13].quobyte.volume: Required value
            spec.volumes[14].flexVolume.options[a.kubernetes.io/b]: Invalid value: "a.kubernetes.io/b": kubernetes.io and k8s.io namespaces are reserved
            spec.volumes[17].name: Duplicate value: "c"
        "#]],
    );
}

#[test]
fn sources_of_a_projected_volume_write_each_file_once() {
    check(
        json!({"volumes": [{"name": "p", "projected": {"defaultMode": 512, "sources": [
            {"secret": {"name": "s", "items": [{"key": "a", "path": "x"}]}}, {"configMap": {"items": [{"key": "a", "path": "x"}]}},
            {"serviceAccountToken": {"expirationSeconds": 5, "path": ""}}, {"clusterTrustBundle": {"path": "../y"}},
            {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]}, "secret": {"name": "t"}},
        ]}}]}),
        expect![[r#"
            spec.volumes[0].projected.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[0].projected.sources[1].configMap.name: Required value
            spec.volumes[0].projected: Invalid value: "": conflicting duplicate paths
            spec.volumes[0].projected.sources[2].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes
            spec.volumes[0].projected.path: Required value
            spec.volumes[0].projected.sources[3].clusterTrustBundle: Required value: either name or signerName must be specified
            spec.volumes[0].projected.sources[3].clusterTrustBundle.path: Invalid value: "../y": must not contain '..'
            spec.volumes[0].projected.sources[4].downwardAPI.fieldRef.fieldPath: Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"
            spec.volumes[0].projected: Invalid value: "x": conflicting duplicate paths
            spec.volumes[0].projected.sources[4]: Forbidden: may not specify more than 1 volume type per source
        "#]],
    );
    check(
        json!({"serviceAccountName": "", "volumes": [{"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
        expect![[r#"
            spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set
        "#]],
    );
}

#[test]
fn probes_and_hooks_have_one_handler() {
    check(
        json!({"c": {
            "livenessProbe": {"exec": {}, "tcpSocket": {"port": 0}, "successThreshold": 2},
            "readinessProbe": {"httpGet": {"port": "A!", "scheme": "FTP", "httpHeaders": [{"name": "a b", "value": ""}]}, "terminationGracePeriodSeconds": 1},
            "startupProbe": {"grpc": {"port": 70000}, "periodSeconds": -1, "terminationGracePeriodSeconds": 0},
            "lifecycle": {"preStop": {"sleep": {"seconds": 31}}, "postStart": {}},
        }}),
        expect![[r#"
            spec.containers[0].lifecycle.postStart: Required value: must specify a handler type
            spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)
            spec.containers[0].livenessProbe.exec.command: Required value
            spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[0].readinessProbe.httpGet.port: Invalid value: "A!": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].readinessProbe.httpGet.port: Invalid value: "A!": must contain at least one letter (a-z)
            spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"
            spec.containers[0].readinessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')
            spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes
            spec.containers[0].startupProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.containers[0].startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0
        "#]],
    );
}

#[test]
fn resources_are_known_whole_and_within_their_limits() {
    check(
        json!({"c": {"resources": {
            "limits": {"cpu": "1", "memory": "-1", "example.com/gpu": "1500m", "hugepages-2Mi": "3Mi", "bogus": "1"},
            "requests": {"cpu": "2", "example.com/gpu": "1", "a.b/c": "1"}, "claims": [{"name": "x"}, {"name": ""}],
        }}, "overhead": {"pods": "1"}, "resourceClaims": [{"name": "y"}]}),
        expect![[r#"
            spec.resourceClaims[0]: Invalid value: {"Name":"y","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`
            spec.containers[0].resources.limits[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified
            spec.containers[0].resources.limits[bogus]: Invalid value: "bogus": must be a standard resource for containers
            spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer
            spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi
            spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources
            spec.containers[0].resources.requests[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified
            spec.containers[0].resources.requests[bogus]: Invalid value: "bogus": must be a standard resource for containers
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 1500m
            spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi
            spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims: y
            spec.containers[0].resources.claims[1]: Required value
            spec.overhead.limits[pods]: Invalid value: "pods": must be a standard resource for containers
        "#]],
    );
    check(
        json!({"c": {"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}}),
        expect![[r#"
        spec.containers[0].resources: Forbidden: HugePages require cpu or memory
    "#]],
    );
    check(
        json!({"resources": {"limits": {"cpu": "1", "example.com/gpu": "1"}, "requests": {"cpu": "100m"}},
            "c": {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2"}}}}),
        expect![[r#"
            spec.resources.limits[example.com/gpu]: Unsupported value: "example.com/gpu": supported values: "cpu", "hugepages-", "memory"
            spec.resources.requests[cpu]: Invalid value: "100m": must be greater than or equal to aggregate container requests of 500m
            spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1
        "#]],
    );
}

#[test]
fn security_contexts_do_not_contradict_themselves() {
    check(
        json!({"hostUsers": false, "hostPID": true, "shareProcessNamespace": true, "hostNetwork": true,
            "securityContext": {"fsGroup": -1, "supplementalGroups": [1, -2], "fsGroupChangePolicy": "Never", "seccompProfile": {"type": "Localhost"},
                "appArmorProfile": {"type": "Localhost", "localhostProfile": " x"}, "seLinuxChangePolicy": "No", "supplementalGroupsPolicy": "No",
                "sysctls": [{"name": "net.a", "value": "1"}, {"name": "A", "value": "1"}, {"name": "", "value": ""}]},
            "c": {"securityContext": {"privileged": true, "allowPrivilegeEscalation": false, "procMount": "Bare", "runAsGroup": -1,
                "seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}}}),
        expect![[r#"
            spec.containers[0].securityContext.runAsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.containers[0].securityContext.procMount: Unsupported value: "Bare": supported values: "Default", "Unmasked"
            spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"x"}: can only be set when seccomp type is Localhost
            spec.containers[0].securityContext: Invalid value: {"Capabilities":{"Add":["CAP_SYS_ADMIN"],"Drop":null},"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":-1,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":"Bare","SeccompProfile":{"Type":"Unconfined","LocalhostProfile":"x"},"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.containers[0].securityContext: Invalid value: {"Capabilities":{"Add":["CAP_SYS_ADMIN"],"Drop":null},"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":-1,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":"Bare","SeccompProfile":{"Type":"Unconfined","LocalhostProfile":"x"},"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN
            spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, inclusive
            spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled
            spec.securityContext.sysctls[0].name: Invalid value: "net.a": may not be specified when 'hostNetwork' is true
            spec.securityContext.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$
            spec.securityContext.sysctls[2].name: Required value
            spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"
            spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost
            spec.securityContext.appArmorProfile.localhostProfile: Invalid value: " x": must not be padded with whitespace
            spec.securityContext.supplementalGroupsPolicy: Unsupported value: "No": supported values: "Merge", "Strict"
            spec.securityContext.seLinuxChangePolicy: Unsupported value: "No": supported values: "MountOption", "Recursive"
            spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false
            spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false
        "#]],
    );
    check(
        json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"runAsUser": 1, "windowsOptions": {"runAsUserName": "a\\b\\c", "hostProcess": true}},
            "c": {"securityContext": {"privileged": false}}}),
        expect![[r#"
            spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\b\\c": runAsUserName cannot contain more than one backslash
            spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers
            spec.hostPID: Forbidden: cannot be set for a windows pod
            spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod
            spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod
        "#]],
    );
    check(
        json!({"os": {"name": "plan9"}}),
        expect![[r#"
        spec.os: Unsupported value: "plan9": supported values: "linux", "windows"
    "#]],
    );
}

#[test]
fn affinity_asks_for_what_can_be() {
    let term = json!({"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}, "namespaces": ["A"], "topologyKey": ""});
    check(
        json!({"affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "a b", "operator": "Gt"}, {"key": "a", "operator": "Exists", "values": ["x!"]}],
                        "matchFields": [{"key": "spec.x", "operator": "Exists"}]}]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {"matchExpressions": [{"key": "a", "operator": "No"}]}}]},
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm":
                {"topologyKey": "k", "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}}]},
        }}),
        expect![[r#"
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values[0]: Invalid value: "x!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator: Invalid value: "Exists": not a valid selector operator
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "spec.x": not a valid field selector key
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator: Invalid value: "No": not a valid selector operator
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must be non-empty
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys
        "#]],
    );
}

#[test]
fn placement_is_said_once_and_rightly() {
    check(
        json!({"tolerations": [{"operator": "Exists", "value": "x"}, {"key": "a", "operator": "Like"}, {"value": "y", "effect": "Never"},
                {"key": "a b", "tolerationSeconds": 1}],
            "topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Maybe", "minDomains": 0, "nodeTaintsPolicy": "x", "matchLabelKeys": ["a"]},
                {"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "Maybe"}],
            "readinessGates": [{"conditionType": "a b"}], "schedulingGates": [{"name": "g"}, {"name": "g"}], "nodeName": "n", "nodeSelector": {"a": "b!"}}),
        expect![[r#"
            spec.nodeSelector: Invalid value: "b!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.readinessGates[0].conditionType: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.schedulingGates[1]: Duplicate value: "g"
            spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty
            spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Maybe": supported values: "DoNotSchedule", "ScheduleAnyway"
            spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{, Maybe}"
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Maybe
            spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "x": supported values: "Honor", "Ignore"
            spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set
            spec.topologySpreadConstraints[1].topologyKey: Required value: can not be empty
            spec.topologySpreadConstraints[1].whenUnsatisfiable: Unsupported value: "Maybe": supported values: "DoNotSchedule", "ScheduleAnyway"
            spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is 'Exists'
            spec.tolerations[1].operator: Unsupported value: "Like": supported values: "Equal", "Exists"
            spec.tolerations[2].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[2].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.tolerations[3].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.tolerations[3].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set
            spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared
        "#]],
    );
}

#[test]
fn names_and_policies_of_the_pod_have_a_form() {
    check(
        json!({"restartPolicy": "Sometimes", "dnsPolicy": "None", "hostname": "A", "subdomain": "b.c", "activeDeadlineSeconds": 0,
            "serviceAccountName": "A", "priorityClassName": "B", "runtimeClassName": "C", "preemptionPolicy": "Maybe",
            "hostAliases": [{"ip": "x", "hostnames": ["A"]}]}),
        expect![[r#"
            spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"
            spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
            spec.serviceAccountName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
            spec.hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.subdomain: Invalid value: "b.c": must not contain dots
            spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.hostAliases[0].hostnames[0]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.priorityClassName: Invalid value: "B": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.runtimeClassName: Invalid value: "C": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"
        "#]],
    );
    check(
        json!({"dnsConfig": {"nameservers": ["1.1.1.1", "x", "1.1.1.2", "1.1.1.3"], "searches": ["a_b.", "A"], "options": [{"value": "x"}]}}),
        expect![[r#"
            spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","x","1.1.1.2","1.1.1.3"]: must not have more than 3 nameservers
            spec.dnsConfig.nameservers[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.dnsConfig.searches[1]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')
            spec.dnsConfig.options[0]: Required value: must not be empty
        "#]],
    );
}

fn check_warnings(spec: Value, annotations: Value, expected: Expect) {
    let mut pod = pod(spec);
    pod["metadata"]["annotations"] = annotations;
    expected.assert_eq(&super::warnings::pod(&pod, None).iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn what_is_going_out_of_use_is_warned_of() {
    check_warnings(json!({}), json!({}), expect![[""]]);
    check_warnings(
        json!({
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "node-role.kubernetes.io/master", "operator": "Exists"}]}]},
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference":
                        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c d"]}]}}],
                },
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "z"}}]},
            },
            "topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone", "maxSkew": 1}],
            "volumes": [
                {"name": "g", "gitRepo": {"repository": "r"}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1500m"}}}}}},
            ],
            "terminationGracePeriodSeconds": -1,
        }),
        json!({"security.alpha.kubernetes.io/sysctls": "a", "container.seccomp.security.alpha.kubernetes.io/c": "b", "seccomp.security.alpha.kubernetes.io/pod": "b"}),
        expect![[r#"
            spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[1]: c d is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead
            spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod
            metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" field instead
            spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+
            spec.volumes[1].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
            metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead
            metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the "seccompProfile" field instead
            spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod
        "#]],
    );
}

#[test]
fn what_gets_in_each_others_way_is_warned_of() {
    check_warnings(
        json!({
            "initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]}],
            "c": {
                "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}],
                "resources": {"limits": {"memory": "1500m"}},
                "ports": [
                    {"containerPort": 80, "name": "http"}, {"containerPort": 80, "hostPort": 8080},
                    {"containerPort": 80, "hostPort": 8080, "hostIP": "1.2.3.4"}, {"containerPort": 81, "hostIP": "1.2.3.4"},
                ],
            },
            "hostAliases": [{"ip": "2001:DB8::1", "hostnames": ["a"]}, {"ip": "2001:DB8::1", "hostnames": ["b"]}],
            "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}],
            "dnsConfig": {"nameservers": ["::ffff:1.2.3.4"]},
            "volumes": [
                {"name": "m", "configMap": {"name": "k", "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "x"}]}},
                {"name": "p", "projected": {"sources": [
                    {"secret": {"name": "s", "items": [{"key": "a", "path": "t/"}]}}, {"serviceAccountToken": {"path": "t"}}, {}]}},
            ],
        }),
        json!({}),
        expect![[r#"
            volume "m" (ConfigMap "k"): overlapping paths: "x" with "x/y"
            volume "p" (Projected) has no sources provided
            volume "p" (Projected): overlapping paths: "t" (ServiceAccountToken) with "t" (Secret "s")
            spec.hostAliases[1].ip: duplicate ip "2001:DB8::1"
            spec.imagePullSecrets[1].name: duplicate name "a"
            spec.imagePullSecrets[2].name: invalid empty name ""
            spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer
            spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is invalid, must be an integer
            spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply
            spec.containers[0].ports[0]: duplicate port definition with spec.initContainers[0].ports[0]
            spec.containers[0].ports[1]: overlapping port definition with spec.initContainers[0].ports[0]
            spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]
            spec.containers[0].ports[2]: overlapping port definition with spec.initContainers[0].ports[0]
            spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[0]
            spec.containers[0].ports[2]: dangerously ambiguous port definition with spec.containers[0].ports[1]
            spec.containers[0].ports[3]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.2.3.4}
            spec.containers[0].ports[0]: duplicate port name "http" with spec.initContainers[0].ports[0], services and probes that select ports by name will use spec.initContainers[0].ports[0]
            spec.dnsConfig.nameservers[0]: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future Kubernetes release: use "1.2.3.4"
            spec.hostAliases[0].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")
            spec.hostAliases[1].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")
        "#]],
    );
}
