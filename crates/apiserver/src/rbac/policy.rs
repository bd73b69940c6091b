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

pub(super) const fn role(name: &'static str, rules: &'static [&'static str]) -> RolePolicy {
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

const fn bind_local(
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    subjects: &'static [&'static str],
) -> BindingPolicy {
    BindingPolicy { namespace, name, role, subjects }
}

/// Every role, those of the controllers included.
pub fn roles() -> impl Iterator<Item = &'static RolePolicy> {
    ROLES.iter().chain(super::controller_policy::ROLES)
}

pub(super) const EVENTS: &str = "create,patch,update | core,events.k8s.io | events";

const ROLES: &[RolePolicy] = &[
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
            "create,delete,deletecollection,patch,update | extensions | daemonsets,deployments,deployments/scale,deployments/rollback,\
             ingresses,replicasets,replicasets/scale,replicationcontrollers/scale,networkpolicies",
            "create,delete,deletecollection,patch,update | policy | poddisruptionbudgets",
            "create,delete,deletecollection,patch,update | networking.k8s.io | ingresses,networkpolicies",
            "create,delete,deletecollection,get,list,patch,update,watch | coordination.k8s.io | leases",
            "create,delete,deletecollection,patch,update | resource.k8s.io | resourceclaims,resourceclaimtemplates",
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
            "get,list,watch | extensions | daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,\
             ingresses,ingresses/status,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale,networkpolicies",
            "get,list,watch | policy | poddisruptionbudgets,poddisruptionbudgets/status",
            "get,list,watch | networking.k8s.io | ingresses,ingresses/status,networkpolicies",
            "get,list,watch | resource.k8s.io | resourceclaims,resourceclaims/status,resourceclaimtemplates",
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
            "get,list,watch | apps | statefulsets",
            "get,list,watch | policy | poddisruptionbudgets",
            "get,list,patch,update,watch | core | persistentvolumeclaims",
            "get,list,watch | storage.k8s.io | csinodes,csidrivers,csistoragecapacities,storageclasses,volumeattachments",
            "get,list,watch | resource.k8s.io | deviceclasses,resourceslices,devicetaintrules",
            "get,list,patch,update,watch | resource.k8s.io | resourceclaims,resourceclaims/status",
            "get,list,watch | apps,extensions | replicasets",
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
            "get | resource.k8s.io | resourceclaims",
            "create,delete,deletecollection,get,list,patch,update,watch | resource.k8s.io | resourceslices",
            "get | core | serviceaccounts",
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
        "system:heapster",
        &["get,list,watch | core | events,pods,nodes,namespaces", "get,list,watch | extensions | deployments"],
    ),
    role("system:node-problem-detector", &["get | core | nodes", "patch | core | nodes/status", EVENTS]),
    role("system:node-bootstrapper", &["create,get,list,watch | certificates.k8s.io | certificatesigningrequests"]),
    role("system:kube-aggregator", &["get,list,watch | core | services,endpoints"]),
    role(
        "system:persistent-volume-provisioner",
        &[
            "create,delete,get,list,watch | core | persistentvolumes",
            "get,list,update,watch | core | persistentvolumeclaims",
            "get,list,watch | storage.k8s.io | storageclasses",
            "watch | core | events",
            EVENTS,
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            "get,list,patch,update,watch | core | persistentvolumes",
            "get,list,watch | storage.k8s.io | storageclasses",
            "get,list,patch,update,watch | core | persistentvolumeclaims",
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["create | certificates.k8s.io | certificatesigningrequests/nodeclient"],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["create | certificates.k8s.io | certificatesigningrequests/selfnodeclient"],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown"],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet"],
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
    local(
        "kube-public",
        "system:controller:bootstrap-signer",
        &["get,list,watch | core | configmaps", "update | core | configmaps | cluster-info", EVENTS],
    ),
    local("kube-system", "system:controller:bootstrap-signer", &["get,list,watch | core | secrets"]),
    local("kube-system", "system:controller:cloud-provider", &["create,get,list,watch | core | configmaps"]),
    local("kube-system", "system:controller:token-cleaner", &["delete,get,list,watch | core | secrets", EVENTS]),
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
    bind("system:volume-scheduler", "ClusterRole/system:volume-scheduler", &["User/system:kube-scheduler"]),
    // Upstream binds nobody and lets its Node authorizer narrow the rights to a node's own pods.
    bind("system:node", "ClusterRole/system:node", &["Group/system:nodes"]),
    bind("system:node-proxier", "ClusterRole/system:node-proxier", &["User/system:kube-proxy"]),
    bind("system:kubelet-api-admin", "ClusterRole/system:kubelet-api-admin", &["User/kube-apiserver-kubelet-client"]),
    bind("system:kube-dns", "ClusterRole/system:kube-dns", &["ServiceAccount/kube-system/kube-dns"]),
    bind_local(
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "Role/extension-apiserver-authentication-reader",
        &["User/system:kube-controller-manager", "User/system:kube-scheduler"],
    ),
    bind_local(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "Role/system::leader-locking-kube-controller-manager",
        &["User/system:kube-controller-manager", "ServiceAccount/kube-system/kube-controller-manager"],
    ),
    bind_local(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "Role/system::leader-locking-kube-scheduler",
        &["User/system:kube-scheduler", "ServiceAccount/kube-system/kube-scheduler"],
    ),
    bind_local(
        "kube-public",
        "system:controller:bootstrap-signer",
        "Role/system:controller:bootstrap-signer",
        &["ServiceAccount/kube-system/bootstrap-signer"],
    ),
    bind_local(
        "kube-system",
        "system:controller:bootstrap-signer",
        "Role/system:controller:bootstrap-signer",
        &["ServiceAccount/kube-system/bootstrap-signer"],
    ),
    bind_local(
        "kube-system",
        "system:controller:cloud-provider",
        "Role/system:controller:cloud-provider",
        &["ServiceAccount/kube-system/cloud-provider"],
    ),
    bind_local(
        "kube-system",
        "system:controller:token-cleaner",
        "Role/system:controller:token-cleaner",
        &["ServiceAccount/kube-system/token-cleaner"],
    ),
];

/// Every cluster role of this prefix is bound to the ServiceAccount of the same name in kube-system.
pub const CONTROLLER_PREFIX: &str = "system:controller:";
