//! The roles and bindings that every cluster has, as data.
//!
//! A rule is one line: `verbs | groups | resources | names`, or `verbs | /paths`; lists have commas, `core` is the group
//! "". Names and rights are upstream's (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings>);
//! where upstream's controllers update, ours may patch too.

/// A ClusterRole, or a Role where `namespace` is not empty.
pub struct RolePolicy {
    pub namespace: &'static str,
    pub name: &'static str,
    /// The role that selects this one by the label `aggregate-to-<it>`.
    pub aggregates_to: &'static str,
    /// The short name by which this role selects others. Its own rules are all of theirs.
    pub aggregates: &'static str,
    pub rules: &'static [&'static str],
}

pub struct BindingPolicy {
    pub namespace: &'static str,
    pub name: &'static str,
    /// `ClusterRole/name` or `Role/name`.
    pub role: &'static str,
    /// `User/name`, `Group/name` or `ServiceAccount/namespace/name`.
    pub subjects: &'static [&'static str],
}

/// The namespaces that every cluster has.
pub const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

const fn role(name: &'static str, rules: &'static [&'static str]) -> RolePolicy {
    RolePolicy { namespace: "", name, aggregates_to: "", aggregates: "", rules }
}

const fn part(name: &'static str, aggregates_to: &'static str, rules: &'static [&'static str]) -> RolePolicy {
    RolePolicy { namespace: "", name, aggregates_to, aggregates: "", rules }
}

const fn sum(name: &'static str, aggregates_to: &'static str) -> RolePolicy {
    RolePolicy { namespace: "", name, aggregates_to, aggregates: name, rules: &[] }
}

const fn local(namespace: &'static str, name: &'static str, rules: &'static [&'static str]) -> RolePolicy {
    RolePolicy { namespace, name, aggregates_to: "", aggregates: "", rules }
}

const fn bind(name: &'static str, role: &'static str, subjects: &'static [&'static str]) -> BindingPolicy {
    BindingPolicy { namespace: "", name, role, subjects }
}

const EVENTS: &str = "create,patch,update | core,events.k8s.io | events";

pub const ROLES: &[RolePolicy] = &[
    role("cluster-admin", &["* | * | *", "* | *"]),
    role(
        "system:discovery",
        &["get | /livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*"],
    ),
    role(
        "system:basic-user",
        &[
            "create | authorization.k8s.io | selfsubjectaccessreviews,selfsubjectrulesreviews",
            "create | authentication.k8s.io | selfsubjectreviews",
        ],
    ),
    role("system:public-info-viewer", &["get | /healthz,/livez,/readyz,/version,/version/"]),
    role(
        "system:service-account-issuer-discovery",
        &[
            "get | /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/",
        ],
    ),
    role("system:monitoring", &["get | /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*"]),
    sum("admin", ""),
    sum("edit", "admin"),
    sum("view", "edit"),
    part(
        "system:aggregate-to-admin",
        "admin",
        &[
            "create | authorization.k8s.io | localsubjectaccessreviews",
            "create,delete,deletecollection,get,list,patch,update,watch | rbac.authorization.k8s.io | roles,rolebindings",
        ],
    ),
    part(
        "system:aggregate-to-edit",
        "edit",
        &[
            "get,list,watch | core | pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy",
            "impersonate | core | serviceaccounts",
            "create,delete,deletecollection,patch,update | core | pods,pods/attach,pods/proxy,pods/exec,pods/portforward",
            "create | core | pods/eviction",
            "create,delete,deletecollection,patch,update | core | replicationcontrollers,replicationcontrollers/scale,\
             serviceaccounts,services,services/proxy,persistentvolumeclaims,configmaps,secrets,events",
            "create | core | serviceaccounts/token",
            "create,delete,deletecollection,patch,update | apps | statefulsets,statefulsets/scale,daemonsets,deployments,\
             deployments/scale,deployments/rollback,replicasets,replicasets/scale",
            "create,delete,deletecollection,patch,update | autoscaling | horizontalpodautoscalers",
            "create,delete,deletecollection,patch,update | batch | jobs,cronjobs",
            "create,delete,deletecollection,patch,update | policy | poddisruptionbudgets",
            "create,delete,deletecollection,patch,update | networking.k8s.io | ingresses,networkpolicies",
            "create,delete,deletecollection,get,list,patch,update,watch | coordination.k8s.io | leases",
        ],
    ),
    part(
        "system:aggregate-to-view",
        "view",
        &[
            "get,list,watch | core | pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,\
             services/status,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,configmaps",
            "get,list,watch | core | limitranges,resourcequotas,bindings,events,pods/status,resourcequotas/status,\
             namespaces/status,replicationcontrollers/status,pods/log",
            "get,list,watch | core | namespaces",
            "get,list,watch | discovery.k8s.io | endpointslices",
            "get,list,watch | apps | controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,\
             daemonsets/status,deployments,deployments/status,deployments/scale,replicasets,replicasets/status,replicasets/scale",
            "get,list,watch | autoscaling | horizontalpodautoscalers,horizontalpodautoscalers/status",
            "get,list,watch | batch | jobs,cronjobs,cronjobs/status,jobs/status",
            "get,list,watch | policy | poddisruptionbudgets,poddisruptionbudgets/status",
            "get,list,watch | networking.k8s.io | ingresses,ingresses/status,networkpolicies",
        ],
    ),
    role(
        "system:auth-delegator",
        &["create | authentication.k8s.io | tokenreviews", "create | authorization.k8s.io | subjectaccessreviews"],
    ),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            "create | coordination.k8s.io | leases",
            "get,list,update,watch | coordination.k8s.io | leases | kube-scheduler",
            "get,list,watch | core | nodes,namespaces,replicationcontrollers,services,persistentvolumes",
            "delete,get,list,watch | core | pods",
            "create | core | bindings,pods/binding",
            "patch,update | core | pods/status",
            "get,list,watch | apps | replicasets,statefulsets",
            "get,list,watch | policy | poddisruptionbudgets",
            "get,list,patch,update,watch | core | persistentvolumeclaims",
            "get,list,watch | storage.k8s.io | csinodes,csidrivers,csistoragecapacities,storageclasses,volumeattachments",
            "create | authentication.k8s.io | tokenreviews",
            "create | authorization.k8s.io | subjectaccessreviews",
        ],
    ),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            "create | coordination.k8s.io | leases",
            "get,update | coordination.k8s.io | leases | kube-controller-manager",
            "create,delete,get,update | core | secrets",
            "create,get,update | core | serviceaccounts",
            "create | core | serviceaccounts/token",
            "create | authentication.k8s.io | tokenreviews",
            "create | authorization.k8s.io | subjectaccessreviews",
            "list,watch | * | *",
        ],
    ),
    role(
        "system:node",
        &[
            EVENTS,
            "create | authentication.k8s.io | tokenreviews",
            "create | authorization.k8s.io | localsubjectaccessreviews,subjectaccessreviews",
            "get,list,watch | core | services",
            "create,get,list,patch,update,watch | core | nodes",
            "patch,update | core | nodes/status",
            "create,delete,get,list,watch | core | pods",
            "patch,update | core | pods/status",
            "create | core | pods/eviction",
            "get,list,watch | core | configmaps,secrets,persistentvolumeclaims,persistentvolumes",
            "get | core | endpoints",
            "get,patch,update | core | persistentvolumeclaims/status",
            "create | core | serviceaccounts/token",
            "create,get,list,watch | certificates.k8s.io | certificatesigningrequests",
            "create,delete,get,patch,update | coordination.k8s.io | leases",
            "get | storage.k8s.io | volumeattachments",
            "get,list,watch | storage.k8s.io | csidrivers",
            "create,delete,get,patch,update | storage.k8s.io | csinodes",
            "get,list,watch | node.k8s.io | runtimeclasses",
        ],
    ),
    role(
        "system:node-proxier",
        &[
            EVENTS,
            "list,watch | core | services,endpoints",
            "get,list,watch | core | nodes",
            "list,watch | discovery.k8s.io | endpointslices",
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            "get,list,watch | core | nodes",
            "proxy | core | nodes",
            "* | core | nodes/proxy,nodes/log,nodes/metrics,nodes/stats,nodes/spec,nodes/checkpoint,nodes/configz,\
             nodes/healthz,nodes/pods",
        ],
    ),
    role(
        "system:kube-dns",
        &[
            "get,list,watch | core | services,endpoints,pods,namespaces",
            "get | core | nodes",
            "get,list,watch | discovery.k8s.io | endpointslices",
        ],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | apps | deployments",
            "patch,update | apps | deployments/status,deployments/finalizers",
            "create,delete,get,list,patch,update,watch | apps | replicasets",
            "get,list,patch,update,watch | core | pods",
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | apps | replicasets",
            "patch,update | apps | replicasets/status,replicasets/finalizers",
            "create,delete,get,list,patch,update,watch | core | pods",
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            EVENTS,
            "get,list,watch | core | services,pods,nodes",
            "create,delete,get,list,patch,update,watch | core | endpoints",
            "create | core | endpoints/restricted",
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            EVENTS,
            "get,list,watch | core | services,pods,nodes",
            "update | core | services/finalizers",
            "create,delete,get,list,patch,update,watch | discovery.k8s.io | endpointslices",
            "create | discovery.k8s.io | endpointslices/restricted",
        ],
    ),
    role(
        "system:controller:service-account-controller",
        &[EVENTS, "create,get,list,watch | core | serviceaccounts", "get,list,watch | core | namespaces"],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            "delete,get,list,patch,update,watch | core | namespaces",
            "patch,update | core | namespaces/finalize,namespaces/status",
            "delete,deletecollection,get,list,watch | * | *",
        ],
    ),
    role("system:controller:generic-garbage-collector", &[EVENTS, "delete,get,list,patch,update,watch | * | *"]),
    role(
        "system:controller:node-controller",
        &[
            EVENTS,
            "delete,get,list,patch,update,watch | core | nodes",
            "patch,update | core | nodes/status,pods/status",
            "delete,get,list,watch | core | pods",
            "create | core | pods/eviction",
            "get,list,watch | coordination.k8s.io | leases",
            "get,list,watch | apps | daemonsets",
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &["delete,get,list,watch | core | pods", "get,list,watch | core | nodes", "patch,update | core | pods/status"],
    ),
    role(
        "system:controller:taint-eviction-controller",
        &[
            EVENTS,
            "get,list,watch | core | nodes",
            "delete,get,list,watch | core | pods",
            "patch,update | core | pods/status",
            "create | core | pods/eviction",
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &[EVENTS, "get,list,watch | * | *", "patch,update | core | resourcequotas/status"],
    ),
    role(
        "system:controller:pvc-protection-controller",
        &[EVENTS, "get,list,patch,update,watch | core | persistentvolumeclaims", "get,list,watch | core | pods"],
    ),
    role(
        "system:controller:pv-protection-controller",
        &[EVENTS, "get,list,patch,update,watch | core | persistentvolumes"],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &[EVENTS, "create,get,list,patch,update,watch | core | configmaps", "get,list,watch | core | namespaces"],
    ),
    local(
        "kube-system",
        "extension-apiserver-authentication-reader",
        &["get,list,watch | core | configmaps | extension-apiserver-authentication"],
    ),
    local(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &["watch | core | configmaps", "get,update | core | configmaps | kube-controller-manager"],
    ),
    local(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &["watch | core | configmaps", "get,update | core | configmaps | kube-scheduler"],
    ),
];

const AUTHENTICATED: &[&str] = &["Group/system:authenticated"];

pub const BINDINGS: &[BindingPolicy] = &[
    bind("cluster-admin", "ClusterRole/cluster-admin", &["Group/system:masters"]),
    bind("system:discovery", "ClusterRole/system:discovery", AUTHENTICATED),
    bind("system:basic-user", "ClusterRole/system:basic-user", AUTHENTICATED),
    bind(
        "system:public-info-viewer",
        "ClusterRole/system:public-info-viewer",
        &["Group/system:authenticated", "Group/system:unauthenticated"],
    ),
    bind(
        "system:service-account-issuer-discovery",
        "ClusterRole/system:service-account-issuer-discovery",
        &["Group/system:serviceaccounts"],
    ),
    bind("system:monitoring", "ClusterRole/system:monitoring", &["Group/system:monitoring"]),
    bind("system:kube-scheduler", "ClusterRole/system:kube-scheduler", &["User/system:kube-scheduler"]),
    bind(
        "system:kube-controller-manager",
        "ClusterRole/system:kube-controller-manager",
        &["User/system:kube-controller-manager"],
    ),
    // Upstream binds nobody and lets its Node authorizer narrow the rights to a node's own pods.
    bind("system:node", "ClusterRole/system:node", &["Group/system:nodes"]),
    bind("system:node-proxier", "ClusterRole/system:node-proxier", &["User/system:kube-proxy"]),
    bind("system:kubelet-api-admin", "ClusterRole/system:kubelet-api-admin", &["User/kube-apiserver-kubelet-client"]),
    bind("system:kube-dns", "ClusterRole/system:kube-dns", &["ServiceAccount/kube-system/kube-dns"]),
    BindingPolicy {
        namespace: "kube-system",
        name: "system::extension-apiserver-authentication-reader",
        role: "Role/extension-apiserver-authentication-reader",
        subjects: &["User/system:kube-controller-manager", "User/system:kube-scheduler"],
    },
    BindingPolicy {
        namespace: "kube-system",
        name: "system::leader-locking-kube-controller-manager",
        role: "Role/system::leader-locking-kube-controller-manager",
        subjects: &["User/system:kube-controller-manager", "ServiceAccount/kube-system/kube-controller-manager"],
    },
    BindingPolicy {
        namespace: "kube-system",
        name: "system::leader-locking-kube-scheduler",
        role: "Role/system::leader-locking-kube-scheduler",
        subjects: &["User/system:kube-scheduler", "ServiceAccount/kube-system/kube-scheduler"],
    },
];

/// Every role of this prefix is bound to the ServiceAccount of the same name in kube-system.
pub const CONTROLLER_PREFIX: &str = "system:controller:";
