//! The roles of the controllers, as data in the form of `policy.rs`. Each is bound to the ServiceAccount that it is named by.
//!
//! A controller that watches what it writes through the shared cache may read it all; upstream's role for reading is the
//! controller manager's own.

use super::policy::{EVENTS, RolePolicy, role};

pub const ROLES: &[RolePolicy] = &[
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
        "system:controller:root-ca-cert-publisher",
        &[EVENTS, "create,get,list,patch,update,watch | core | configmaps", "get,list,watch | core | namespaces"],
    ),
    role(
        "system:controller:attachdetach-controller",
        &[
            EVENTS,
            "list,watch | core | persistentvolumes,persistentvolumeclaims",
            "get,list,watch | core | nodes",
            "patch,update | core | nodes/status",
            "list,watch | core | pods",
            "create,delete,get,list,watch | storage.k8s.io | volumeattachments",
            "get,list,watch | storage.k8s.io | csidrivers",
            "get,list,watch | storage.k8s.io | csinodes",
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &["escalate,get,list,patch,update,watch | rbac.authorization.k8s.io | clusterroles"],
    ),
    role(
        "system:controller:cronjob-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | batch | cronjobs",
            "create,delete,get,list,patch,update,watch | batch | jobs",
            "patch,update | batch | cronjobs/status,cronjobs/finalizers",
            "delete,list | core | pods",
        ],
    ),
    role(
        "system:controller:daemon-set-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | apps,extensions | daemonsets",
            "patch,update | apps,extensions | daemonsets/status,daemonsets/finalizers",
            "list,watch | core | nodes",
            "create,delete,get,list,patch,watch | core | pods",
            "create | core | pods/binding",
            "create,delete,get,list,patch,update,watch | apps | controllerrevisions",
        ],
    ),
    role(
        "system:controller:disruption-controller",
        &[
            EVENTS,
            "get,list,watch | apps,extensions | deployments",
            "get,list,watch | apps,extensions | replicasets",
            "get,list,watch | core | replicationcontrollers,pods",
            "get,list,watch | policy | poddisruptionbudgets",
            "get,list,watch | apps | statefulsets",
            "patch,update | policy | poddisruptionbudgets/status",
            "patch,update | core | pods/status",
            "get | * | */scale",
        ],
    ),
    role(
        "system:controller:endpointslicemirroring-controller",
        &[
            EVENTS,
            "get,list,watch | core | services,endpoints",
            "update | core | services/finalizers",
            "update | core | endpoints/finalizers",
            "create,delete,get,list,patch,update,watch | discovery.k8s.io | endpointslices",
            "create | discovery.k8s.io | endpointslices/restricted",
        ],
    ),
    role(
        "system:controller:expand-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | core | persistentvolumes",
            "patch,update | core | persistentvolumeclaims/status",
            "get,list,watch | core | persistentvolumeclaims",
        ],
    ),
    role(
        "system:controller:ephemeral-volume-controller",
        &[
            EVENTS,
            "get,list,watch | core | pods",
            "update | core | pods/finalizers",
            "create,get,list,watch | core | persistentvolumeclaims",
        ],
    ),
    role(
        "system:controller:resource-claim-controller",
        &[
            EVENTS,
            "get,list,watch | core | pods",
            "update | core | pods/finalizers",
            "create,delete,get,list,watch | resource.k8s.io | resourceclaims",
            "get,list,watch | resource.k8s.io | resourceclaimtemplates",
            "patch,update | resource.k8s.io | resourceclaims,resourceclaims/status",
            "patch,update | core | pods/status",
        ],
    ),
    role(
        "system:controller:device-taint-eviction-controller",
        &[
            EVENTS,
            "get,list,watch | core | pods",
            "delete | core | pods",
            "patch,update | core | pods/status",
            "get,list,watch | resource.k8s.io | resourceclaims,resourceslices,deviceclasses,devicetaintrules",
            "patch,update | resource.k8s.io | devicetaintrules/status",
        ],
    ),
    role(
        "system:controller:horizontal-pod-autoscaler",
        &[
            EVENTS,
            "get,list,watch | autoscaling | horizontalpodautoscalers",
            "patch,update | autoscaling | horizontalpodautoscalers/status",
            "get,update | * | */scale",
            "list,watch | core | pods",
            "list | metrics.k8s.io | pods",
            "get,list | custom.metrics.k8s.io | *",
            "get,list | external.metrics.k8s.io | *",
        ],
    ),
    role(
        "system:controller:job-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | batch | jobs",
            "patch,update | batch | jobs/status,jobs/finalizers",
            "create,delete,get,list,patch,watch | core | pods",
        ],
    ),
    role(
        "system:controller:persistent-volume-binder",
        &[
            EVENTS,
            "create,delete,get,list,patch,update,watch | core | persistentvolumes",
            "patch,update | core | persistentvolumes/status",
            "get,list,patch,update,watch | core | persistentvolumeclaims",
            "patch,update | core | persistentvolumeclaims/status",
            "create,delete,get,list,watch | core | pods",
            "get,list,watch | storage.k8s.io | storageclasses",
            "get,list,watch | storage.k8s.io | volumeattributesclasses",
            "get,list | core | nodes",
            "watch | core | events",
        ],
    ),
    role(
        "system:controller:replication-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | core | replicationcontrollers",
            "patch,update | core | replicationcontrollers/status,replicationcontrollers/finalizers",
            "create,delete,get,list,patch,watch | core | pods",
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &[EVENTS, "get,list,watch | * | *", "patch,update | core | resourcequotas/status"],
    ),
    role("system:controller:route-controller", &[EVENTS, "list,watch | core | nodes", "patch | core | nodes/status"]),
    role(
        "system:controller:service-controller",
        &[
            EVENTS,
            "get,list,watch | core | services",
            "patch,update | core | services/status",
            "list,watch | core | nodes",
        ],
    ),
    role(
        "system:controller:service-cidrs-controller",
        &[
            EVENTS,
            "get,list,patch,update,watch | networking.k8s.io | servicecidrs",
            "patch,update | networking.k8s.io | servicecidrs/finalizers",
            "patch,update | networking.k8s.io | servicecidrs/status",
            "get,list,watch | networking.k8s.io | ipaddresses",
        ],
    ),
    role(
        "system:controller:statefulset-controller",
        &[
            EVENTS,
            "get,list,watch | apps | statefulsets",
            "patch,update | apps | statefulsets/status,statefulsets/finalizers",
            "create,delete,get,list,patch,update,watch | core | pods",
            "create,delete,get,list,patch,update,watch | apps | controllerrevisions",
            "create,delete,get,list,patch,update,watch | core | persistentvolumeclaims",
        ],
    ),
    role("system:controller:ttl-controller", &[EVENTS, "list,patch,update,watch | core | nodes"]),
    role(
        "system:controller:certificate-controller",
        &[
            EVENTS,
            "delete,get,list,watch | certificates.k8s.io | certificatesigningrequests",
            "patch,update | certificates.k8s.io | certificatesigningrequests/approval,certificatesigningrequests/status",
            "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
            "sign | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client,\
             kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown",
            "create | authorization.k8s.io | subjectaccessreviews",
        ],
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
        "system:controller:volumeattributesclass-protection-controller",
        &[
            EVENTS,
            "get,list,watch | core | persistentvolumeclaims",
            "get,list,watch | core | persistentvolumes",
            "get,list,patch,update,watch | storage.k8s.io | volumeattributesclasses",
        ],
    ),
    role("system:controller:ttl-after-finished-controller", &[EVENTS, "delete,get,list,watch | batch | jobs"]),
    role(
        "system:controller:validatingadmissionpolicy-status-controller",
        &[
            EVENTS,
            "get,list,watch | admissionregistration.k8s.io | validatingadmissionpolicies",
            "get,patch,update | admissionregistration.k8s.io | validatingadmissionpolicies/status",
        ],
    ),
    role(
        "system:controller:legacy-service-account-token-cleaner",
        &[
            "get | core | configmaps | kube-apiserver-legacy-service-account-token-tracking",
            "delete,patch | core | secrets",
        ],
    ),
];
