//! What objects are taken with, but warned of.

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::kit;

/// Creates the object and tells what it is warned of.
async fn warned(path: &str, object: Value) -> String {
    let (code, body, warnings) = kit().await.ask(&format!("POST {path}")).body(object).send_with_warnings().await;
    assert_eq!(code, 201, "{body}");
    warnings.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn odd_addresses_and_old_ways_are_taken_with_a_warning() {
    let service = |spec: Value| json!({"metadata": {"name": "s"}, "spec": spec});
    let cases = [
        (
            "/api/v1/namespaces/default/services",
            service(json!({
            "clusterIP": "None", "externalName": "x", "ports": [{"port": 1}], "externalIPs": ["2001:DB8::1"], "loadBalancerIP": "1.2.3.4",
            "sessionAffinity": "ClientIP", "trafficDistribution": "PreferClose"})),
        ),
        (
            "/api/v1/namespaces/default/services",
            service(json!({
            "type": "LoadBalancer", "ports": [{"port": 1}], "externalIPs": ["1.2.3.4"], "loadBalancerSourceRanges": ["10.0.0.1/8", "2001:DB8::/32"]})),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
            json!({"metadata": {"name": "n"}, "spec": {
            "podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.1.2.3/16", "except": ["10.1.3.1/24"]}}]}]}}),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            json!({"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}),
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            json!({"metadata": {"name": "e"}, "addressType": "IPv6",
            "endpoints": [{"addresses": ["2001:DB8::1"]}]}),
        ),
        (
            "/api/v1/persistentvolumes",
            json!({"metadata": {"name": "v", "annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {
            "capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "persistentVolumeReclaimPolicy": "Recycle",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}]}}}}),
        ),
        (
            "/api/v1/namespaces/default/persistentvolumeclaims",
            json!({"metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}}),
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            json!({"metadata": {"name": "c"}, "provisioner": "p",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone", "values": ["a"]}]}]}),
        ),
        (
            "/apis/node.k8s.io/v1/runtimeclasses",
            json!({"metadata": {"name": "r"}, "handler": "h",
            "scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}),
        ),
        (
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"metadata": {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}),
        ),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            json!({"metadata": {"name": "a.b"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"beta.kubernetes.io/os": "x"}, "containers": [{"name": "c", "image": "i"}]}}}}),
        ),
    ];
    let mut told = String::new();
    for (path, object) in cases {
        told.push_str(&warned(path, object).await);
    }
    expect![[r#"
        spec.loadBalancerIP is ignored for headless services
        spec.externalIPs is ignored for headless services
        spec.SessionAffinity is ignored for headless services
        spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")
        spec.externalName is ignored when spec.type is not "ExternalName"
        spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"
        spec.externalIPs is deprecated and may no longer be implemented in some clusters
        spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)
        spec.loadBalancerSourceRanges[1]: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")
        spec.ingress[0].from[0].ipBlock.cidr: CIDR value "10.1.2.3/16" is ambiguous in this context (should be "10.1.0.0/16" or "10.1.2.3/32"?)
        spec.ingress[0].from[0].ipBlock.except[0]: CIDR value "10.1.3.1/24" is ambiguous in this context (should be "10.1.3.0/24" or "10.1.3.1/32"?)
        annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead
        endpoints[0].addresses[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")
        metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead
        spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.
        spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead
        spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
        allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "topology.kubernetes.io/zone" instead
        scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead
        metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets
        metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]
        spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead
    "#]].assert_eq(&told);
}
