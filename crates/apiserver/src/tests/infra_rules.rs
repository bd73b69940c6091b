//! Quotas, limits, priorities and the other rules of the server: what is refused and in which words, what the plug-ins
//! fill in and forbid.

use expect_test::expect;
use serde_json::{Value, json};

use super::infra::{CLAIMS, causes, check, path_of, said};
use super::kit::{Kit, PODS, SERVICES, kit, pod};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const LIMITS: &str = "/api/v1/namespaces/default/limitranges";

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
