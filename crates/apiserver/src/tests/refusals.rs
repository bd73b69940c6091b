//! Objects that are refused with all reasons at once.

use expect_test::expect;
use serde_json::{Value, json};

use super::infra::{causes, path_of};

#[tokio::test]
async fn slices_of_endpoints_and_bindings_are_refused_with_all_reasons() {
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned();
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings".to_owned();
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles".to_owned();
    let cluster_roles = path_of("rbac.authorization.k8s.io/clusterroles");
    let endpoint = json!({"addresses": ["x", "127.0.0.1", "::1"], "hostname": "A_", "nodeName": "A_",
        "hints": {"forZones": [{"name": "a b"}, {"name": "z"}, {"name": "z"}]}, "deprecatedTopology": {"a b": "c"}});
    let ports = json!([{"name": "A_", "protocol": "X"}, {"name": "b", "appProtocol": "a b"}, {"name": "b"}]);
    let slice = |kind: &str, endpoints: Value| json!({"metadata": {"name": "s"}, "addressType": kind, "endpoints": endpoints, "ports": ports});
    let subjects = json!([{"kind": "ServiceAccount", "name": "A_", "apiGroup": "x"}, {"kind": "User", "name": ""},
        {"kind": "Group", "name": "g", "apiGroup": "y"}, {"kind": "Z", "name": "z"}]);
    let rule = json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resourceNames": ["y"]});
    let cases = [
        (&slices, slice("IPv4", json!([{"addresses": []}, endpoint]))),
        (&slices, slice("FQDN", json!([{"addresses": ["a", "a.b", "A_"]}]))),
        (&slices, slice("IP", json!([]))),
        (
            &bindings,
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "a/b", "apiGroup": "x"}, "subjects": subjects}),
        ),
        (&roles, json!({"metadata": {"name": "r"}, "rules": [rule]})),
        (&cluster_roles, json!({"metadata": {"name": "r"}, "rules": [], "aggregationRule": {}})),
    ];
    let mut told = String::new();
    for (path, object) in cases {
        told.push_str(&causes(path, &[object]).await);
        told.push('\n');
    }
    expect![[r#"
        endpoints[0].addresses: Required value: must contain at least 1 address
        endpoints[1].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        endpoints[1].addresses[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
        endpoints[1].addresses[2]: Invalid value: "::1": must be an IPv4 address
        endpoints[1].addresses[2]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)
        endpoints[1].nodeName: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        endpoints[1].hostname: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        endpoints[1].hints.forZones[0].name: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        endpoints[1].hints.forZones[2].name: Duplicate value: "z"
        ports[0].name: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        ports[1].appProtocol: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        ports[2].name: Duplicate value: "b"
        --

        endpoints[0].addresses[0]: Invalid value: "a": should be a domain with at least two segments separated by dots
        endpoints[0].addresses[2]: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        ports[0].name: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        ports[1].appProtocol: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        ports[2].name: Duplicate value: "b"
        --

        addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"
        ports[0].name: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        ports[1].appProtocol: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        ports[2].name: Duplicate value: "b"
        --

        roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"
        roleRef.name: Invalid value: "a/b": may not contain '/'
        subjects[0].name: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        subjects[0].apiGroup: Unsupported value: "x": supported values: ""
        subjects[1].name: Required value
        subjects[1].name: Invalid value: "": user name cannot be empty
        subjects[2].apiGroup: Unsupported value: "y": supported values: "rbac.authorization.k8s.io"
        subjects[3].kind: Unsupported value: "Z": supported values: "ServiceAccount", "User", "Group"
        --

        rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs
        rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs
        --

        aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
        --

    "#]].assert_eq(&told);
}
