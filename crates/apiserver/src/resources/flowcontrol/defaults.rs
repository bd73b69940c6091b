//! The flow schemas and priority levels that every cluster has: two pairs that are fixed, and suggestions.

use serde_json::{Value, json};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

/// All of them, levels before the schemas that name them.
pub fn all() -> Vec<Value> {
    let mut all = vec![level("exempt"), level("catch-all"), schema("exempt"), schema("catch-all")];
    all.extend(LEVELS.iter().map(|(name, ..)| level(name)));
    all.extend(SCHEMAS.iter().map(|one| schema(one.name)));
    all
}

/// The object of this name that must be as it is.
pub fn mandatory(kind: &str, name: &str) -> Option<Value> {
    let fixed = matches!(name, "exempt" | "catch-all");
    match kind {
        "FlowSchema" => fixed.then(|| schema(name)),
        _ => fixed.then(|| level(name)),
    }
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": { "name": name, "annotations": { "apf.kubernetes.io/autoupdate-spec": "true" } },
        "spec": spec,
    })
}

/// Name, shares, percent that may be lent, queues, hand size.
const LEVELS: &[(&str, i32, i32, i32, i32)] = &[
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];

fn level(name: &str) -> Value {
    let spec = match (name, LEVELS.iter().find(|(known, ..)| *known == name)) {
        ("exempt", _) => {
            json!({ "type": "Exempt", "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 } })
        }
        (_, Some((_, shares, lendable, queues, hand))) => json!({ "type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {
                "type": "Queue", "queuing": { "queues": queues, "handSize": hand, "queueLengthLimit": 50 },
            },
        } }),
        _ => json!({ "type": "Limited", "limited": {
            "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": { "type": "Reject" },
        } }),
    };
    object("PriorityLevelConfiguration", name, spec)
}

/// `verbs groups resources`, one word each with commas between; anywhere, and in namespaces only where so marked.
type ResourceRule = (&'static str, &'static str, &'static str, bool);

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i32,
    method: &'static str,
    /// `g:` a group, `u:` a user, `s:` a service account of kube-system.
    subjects: &'static [&'static str],
    resources: &'static [ResourceRule],
    /// Verbs and paths.
    paths: Option<(&'static str, &'static str)>,
}

const ALL_RESOURCES: &[ResourceRule] = &[("*", "*", "*", true)];
const ALL_PATHS: Option<(&str, &str)> = Some(("*", "*"));
const EVERYBODY: &[&str] = &["g:system:unauthenticated", "g:system:authenticated"];

const FIXED: &[Schema] = &[
    Schema {
        name: "exempt",
        level: "exempt",
        precedence: 1,
        method: "",
        subjects: &["g:system:masters"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "catch-all",
        level: "catch-all",
        precedence: 10_000,
        method: "ByUser",
        subjects: EVERYBODY,
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
];

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "system-nodes",
        level: "system",
        precedence: 500,
        method: "ByUser",
        subjects: &["g:system:nodes"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        method: "ByUser",
        subjects: &["g:system:nodes"],
        resources: &[("*", "", "nodes,nodes/status", true), ("*", "coordination.k8s.io", "leases", false)],
        paths: None,
    },
    Schema {
        name: "probes",
        level: "exempt",
        precedence: 2,
        method: "",
        subjects: EVERYBODY,
        resources: &[],
        paths: Some(("get", "/healthz,/readyz,/livez")),
    },
    Schema {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        method: "ByUser",
        subjects: &["u:system:kube-controller-manager", "u:system:kube-scheduler"],
        resources: &[("get,create,update", "coordination.k8s.io", "leases", false)],
        paths: None,
    },
    Schema {
        name: "endpoint-controller",
        level: "workload-high",
        precedence: 150,
        method: "ByUser",
        subjects: &["u:system:kube-controller-manager", "s:endpoint-controller", "s:endpointslicemirroring-controller"],
        resources: &[("get,create,update", "", "endpoints", false)],
        paths: None,
    },
    Schema {
        name: "workload-leader-election",
        level: "leader-election",
        precedence: 200,
        method: "ByUser",
        subjects: &["s:*"],
        resources: &[
            ("get,create,update", "", "endpoints,configmaps", false),
            ("get,create,update", "coordination.k8s.io", "leases", false),
        ],
        paths: None,
    },
    Schema {
        name: "kube-controller-manager",
        level: "workload-high",
        precedence: 800,
        method: "ByNamespace",
        subjects: &["u:system:kube-controller-manager"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "kube-scheduler",
        level: "workload-high",
        precedence: 800,
        method: "ByNamespace",
        subjects: &["u:system:kube-scheduler"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "kube-system-service-accounts",
        level: "workload-high",
        precedence: 900,
        method: "ByNamespace",
        subjects: &["s:*"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "service-accounts",
        level: "workload-low",
        precedence: 9000,
        method: "ByUser",
        subjects: &["g:system:serviceaccounts"],
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
    Schema {
        name: "global-default",
        level: "global-default",
        precedence: 9900,
        method: "ByUser",
        subjects: EVERYBODY,
        resources: ALL_RESOURCES,
        paths: ALL_PATHS,
    },
];

fn schema(name: &str) -> Value {
    let found = FIXED.iter().chain(SCHEMAS).find(|one| one.name == name);
    let one = found.expect("invariant: only names of the tables are asked for");
    let mut rule = json!({ "subjects": one.subjects.iter().map(|text| subject(text)).collect::<Vec<_>>() });
    if !one.resources.is_empty() {
        rule["resourceRules"] = one.resources.iter().map(resource_rule).collect();
    }
    if let Some((verbs, paths)) = one.paths {
        rule["nonResourceRules"] = json!([{ "verbs": words(verbs), "nonResourceURLs": words(paths) }]);
    }
    let mut spec = json!({
        "priorityLevelConfiguration": { "name": one.level }, "matchingPrecedence": one.precedence, "rules": [rule],
    });
    if !one.method.is_empty() {
        spec["distinguisherMethod"] = json!({ "type": one.method });
    }
    object("FlowSchema", name, spec)
}

fn words(text: &str) -> Vec<&str> {
    text.split(',').collect()
}

fn subject(text: &str) -> Value {
    match text.split_at(2) {
        ("g:", name) => json!({ "kind": "Group", "group": { "name": name } }),
        ("u:", name) => json!({ "kind": "User", "user": { "name": name } }),
        (_, name) => {
            json!({ "kind": "ServiceAccount", "serviceAccount": { "namespace": "kube-system", "name": name } })
        }
    }
}

fn resource_rule((verbs, groups, resources, anywhere): &ResourceRule) -> Value {
    let mut rule = json!({
        "verbs": words(verbs), "apiGroups": words(groups), "resources": words(resources), "namespaces": ["*"],
    });
    if *anywhere {
        rule["clusterScope"] = true.into();
    }
    rule
}
