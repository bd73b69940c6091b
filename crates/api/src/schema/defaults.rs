//! Defaults of the built-in kinds: a table of plain ones by (type, field), and the few that depend on other fields.
//!
//! [`apply_defaults`] walks an object with its schema and fills every struct that it meets. Values are upstream's
//! (<https://kubernetes.io/docs/reference/kubernetes-api/>); those that need the cluster (addresses, service accounts)
//! belong to the API server.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine as _;
use serde_json::{Map as Json, Value, json};

use super::{Schema, Type, pod_defaults};
use crate::quantity::Quantity;

type Rule = fn(&mut Json<String, Value>);

/// Plain defaults: `Type.field` and its JSON. The types are named by their last two parts (`core.v1.Probe` is `v1.Probe`
/// there, so the group comes first here).
const PLAIN: &[(&str, &str, &str)] = &[
    ("admissionregistration.v1.MatchResources", "matchPolicy", "\"Equivalent\""),
    ("admissionregistration.v1.MatchResources", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MatchResources", "objectSelector", "{}"),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", "failurePolicy", "\"Fail\""),
    ("admissionregistration.v1.MutatingWebhook", "failurePolicy", "\"Fail\""),
    ("admissionregistration.v1.MutatingWebhook", "matchPolicy", "\"Equivalent\""),
    ("admissionregistration.v1.MutatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "reinvocationPolicy", "\"Never\""),
    ("admissionregistration.v1.MutatingWebhook", "timeoutSeconds", "10"),
    ("admissionregistration.v1.NamedRuleWithOperations", "scope", "\"*\""),
    ("admissionregistration.v1.RuleWithOperations", "scope", "\"*\""),
    ("admissionregistration.v1.ServiceReference", "port", "443"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", "\"Fail\""),
    ("admissionregistration.v1.ValidatingWebhook", "failurePolicy", "\"Fail\""),
    ("admissionregistration.v1.ValidatingWebhook", "matchPolicy", "\"Equivalent\""),
    ("admissionregistration.v1.ValidatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds", "10"),
    ("apiextensions.v1.CustomResourceDefinitionSpec", "conversion", "{\"strategy\":\"None\"}"),
    ("apiextensions.v1.ServiceReference", "port", "443"),
    ("apiregistration.v1.ServiceReference", "port", "443"),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DaemonSetUpdateStrategy", "type", "\"RollingUpdate\""),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", "600"),
    ("apps.v1.DeploymentSpec", "replicas", "1"),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DeploymentStrategy", "type", "\"RollingUpdate\""),
    ("apps.v1.ReplicaSetSpec", "replicas", "1"),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", "\"Retain\""),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", "\"Retain\""),
    ("apps.v1.StatefulSetSpec", "persistentVolumeClaimRetentionPolicy", "{}"),
    ("apps.v1.StatefulSetSpec", "podManagementPolicy", "\"OrderedReady\""),
    ("apps.v1.StatefulSetSpec", "replicas", "1"),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.StatefulSetUpdateStrategy", "type", "\"RollingUpdate\""),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    ("batch.v1.CronJobSpec", "concurrencyPolicy", "\"Allow\""),
    ("batch.v1.CronJobSpec", "failedJobsHistoryLimit", "1"),
    ("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", "3"),
    ("batch.v1.CronJobSpec", "suspend", "false"),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status", "\"True\""),
    ("core.v1.AzureDiskVolumeSource", "cachingMode", "\"ReadWrite\""),
    ("core.v1.AzureDiskVolumeSource", "fsType", "\"ext4\""),
    ("core.v1.AzureDiskVolumeSource", "kind", "\"Shared\""),
    ("core.v1.AzureDiskVolumeSource", "readOnly", "false"),
    ("core.v1.ConfigMapVolumeSource", "defaultMode", "420"),
    ("core.v1.ContainerPort", "protocol", "\"TCP\""),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode", "420"),
    ("core.v1.EndpointPort", "protocol", "\"TCP\""),
    ("core.v1.GRPCAction", "service", "\"\""),
    ("core.v1.HTTPGetAction", "path", "\"/\""),
    ("core.v1.HTTPGetAction", "scheme", "\"HTTP\""),
    ("core.v1.HostPathVolumeSource", "type", "\"\""),
    ("core.v1.ISCSIPersistentVolumeSource", "iscsiInterface", "\"default\""),
    ("core.v1.ISCSIVolumeSource", "iscsiInterface", "\"default\""),
    ("core.v1.NamespaceStatus", "phase", "\"Active\""),
    ("core.v1.ObjectFieldSelector", "apiVersion", "\"v1\""),
    ("core.v1.PersistentVolumeClaimSpec", "volumeMode", "\"Filesystem\""),
    ("core.v1.PersistentVolumeClaimStatus", "phase", "\"Pending\""),
    ("core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy", "\"Retain\""),
    ("core.v1.PersistentVolumeSpec", "volumeMode", "\"Filesystem\""),
    ("core.v1.PersistentVolumeStatus", "phase", "\"Pending\""),
    ("core.v1.PodCertificateProjection", "maxExpirationSeconds", "86400"),
    ("core.v1.PodStatus", "phase", "\"Pending\""),
    ("core.v1.Probe", "failureThreshold", "3"),
    ("core.v1.Probe", "periodSeconds", "10"),
    ("core.v1.Probe", "successThreshold", "1"),
    ("core.v1.Probe", "timeoutSeconds", "1"),
    ("core.v1.ProjectedVolumeSource", "defaultMode", "420"),
    ("core.v1.RBDPersistentVolumeSource", "keyring", "\"/etc/ceph/keyring\""),
    ("core.v1.RBDPersistentVolumeSource", "pool", "\"rbd\""),
    ("core.v1.RBDPersistentVolumeSource", "user", "\"admin\""),
    ("core.v1.RBDVolumeSource", "keyring", "\"/etc/ceph/keyring\""),
    ("core.v1.RBDVolumeSource", "pool", "\"rbd\""),
    ("core.v1.RBDVolumeSource", "user", "\"admin\""),
    ("core.v1.ReplicationControllerSpec", "replicas", "1"),
    ("core.v1.ScaleIOPersistentVolumeSource", "fsType", "\"xfs\""),
    ("core.v1.ScaleIOPersistentVolumeSource", "storageMode", "\"ThinProvisioned\""),
    ("core.v1.ScaleIOVolumeSource", "fsType", "\"xfs\""),
    ("core.v1.ScaleIOVolumeSource", "storageMode", "\"ThinProvisioned\""),
    ("core.v1.Secret", "type", "\"Opaque\""),
    ("core.v1.SecretVolumeSource", "defaultMode", "420"),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds", "3600"),
    ("core.v1.ServicePort", "protocol", "\"TCP\""),
    ("core.v1.ServiceSpec", "sessionAffinity", "\"None\""),
    ("core.v1.ServiceSpec", "type", "\"ClusterIP\""),
    ("discovery.v1.EndpointPort", "name", "\"\""),
    ("discovery.v1.EndpointPort", "protocol", "\"TCP\""),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "nominalConcurrencyShares", "0"),
    ("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence", "1000"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares", "30"),
    ("flowcontrol.v1.QueuingConfiguration", "handSize", "8"),
    ("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit", "50"),
    ("flowcontrol.v1.QueuingConfiguration", "queues", "64"),
    ("networking.v1.IngressClassParametersReference", "scope", "\"Cluster\""),
    ("networking.v1.NetworkPolicyPort", "protocol", "\"TCP\""),
    ("rbac.v1.RoleRef", "apiGroup", "\"rbac.authorization.k8s.io\""),
    ("resource.v1.ExactDeviceRequest", "allocationMode", "\"ExactCount\""),
    ("resource.v1.DeviceSubRequest", "allocationMode", "\"ExactCount\""),
    ("scheduling.v1.PriorityClass", "preemptionPolicy", "\"PreemptLowerPriority\""),
    ("storage.v1.CSIDriverSpec", "attachRequired", "true"),
    ("storage.v1.CSIDriverSpec", "fsGroupPolicy", "\"ReadWriteOnceWithFSType\""),
    ("storage.v1.CSIDriverSpec", "podInfoOnMount", "false"),
    ("storage.v1.CSIDriverSpec", "requiresRepublish", "false"),
    ("storage.v1.CSIDriverSpec", "seLinuxMount", "false"),
    ("storage.v1.CSIDriverSpec", "storageCapacity", "false"),
    ("storage.v1.CSIDriverSpec", "volumeLifecycleModes", "[\"Persistent\"]"),
    ("storage.v1.StorageClass", "reclaimPolicy", "\"Delete\""),
    ("storage.v1.StorageClass", "volumeBindingMode", "\"Immediate\""),
];

/// Defaults that look at other fields of the same struct.
const RULES: &[(&str, Rule)] = &[
    ("apiextensions.v1.CustomResourceDefinitionSpec", crd_names),
    ("apps.v1.DaemonSetUpdateStrategy", daemon_set_strategy),
    ("apps.v1.DeploymentStrategy", deployment_strategy),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", metrics),
    ("batch.v1.Job", job),
    ("core.v1.Container", pod_defaults::container),
    ("core.v1.EphemeralContainer", pod_defaults::container),
    ("core.v1.LimitRangeItem", limit_range_item),
    ("core.v1.Namespace", namespace),
    ("core.v1.NodeSpec", node_spec),
    ("core.v1.NodeStatus", node_status),
    ("core.v1.Pod", pod_defaults::pod),
    ("core.v1.PodSpec", pod_defaults::template_spec),
    ("core.v1.PodStatus", pod_status),
    ("core.v1.ReplicationController", labels_from_template),
    ("core.v1.Secret", secret),
    ("core.v1.Service", load_balancer),
    ("core.v1.ServiceSpec", service),
    ("core.v1.Volume", volume),
    ("networking.v1.NetworkPolicySpec", network_policy),
    ("rbac.v1.Subject", subject),
    ("resource.v1.DeviceSubRequest", device_count),
    ("resource.v1.ExactDeviceRequest", device_count),
];

#[derive(Default)]
struct Table {
    plain: HashMap<&'static str, Vec<(&'static str, Value)>>,
    rules: HashMap<&'static str, Rule>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::default();
        for (ty, field, default) in PLAIN {
            let value = serde_json::from_str(default).expect("invariant: the table of defaults holds JSON");
            table.plain.entry(ty).or_default().push((field, value));
        }
        table.rules.extend(RULES.iter().copied());
        table
    })
}

/// Fills in what the client left out, through the whole object.
pub fn apply_defaults(value: &mut Value, schema: Schema<'_>) {
    match (schema.ty(), value) {
        (Type::Struct(of), Value::Object(fields)) => {
            let name = table_name(&of.name);
            for (field, default) in table().plain.get(name).into_iter().flatten() {
                let presence = schema.field(field).map(|field| field.presence).unwrap_or_default();
                set_default(fields, field, default, presence == super::Presence::Optional);
            }
            for field in &of.fields {
                if let (Some(default), false) = (&field.default, fields.contains_key(&*field.name)) {
                    fields.insert(field.name.to_string(), (**default).clone());
                }
                // A struct that is always there gets its defaults even when the client did not write it.
                if field.presence == super::Presence::Always
                    && matches!(schema.part(&field.ty).ty(), Type::Struct(_))
                    && fields.get(&*field.name).is_none_or(Value::is_null)
                {
                    fields.insert(field.name.to_string(), json!({}));
                }
                if let Some(child) = fields.get_mut(&*field.name) {
                    apply_defaults(child, schema.part(&field.ty));
                }
            }
            if let Some(rule) = table().rules.get(name) {
                rule(fields);
            }
        }
        (Type::Map(map), Value::Object(entries)) => {
            let part = schema.part(&map.value);
            // Amounts of resources are kept to a thousandth.
            if matches!(part.ty(), Type::Quantity) {
                entries.values_mut().for_each(round_up);
            }
            entries.values_mut().for_each(|entry| apply_defaults(entry, part));
        }
        (Type::List(list), Value::Array(items)) => {
            let part = schema.part(&list.item);
            items.iter_mut().for_each(|item| apply_defaults(item, part));
        }
        _ => {}
    }
}

fn round_up(amount: &mut Value) {
    if let Some(exact) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) {
        *amount = exact.rounded_up_to_milli().to_string().into();
    }
}

/// The plain default of a struct's field, for keys of lists that a client may leave out.
pub fn default_of<'a>(schema: Schema<'a>, field: &str) -> Option<&'a Value> {
    let of = schema.as_struct()?;
    if let Some(default) = schema.field(field).and_then(|field| field.default.as_deref()) {
        return Some(default);
    }
    let plain = table().plain.get(table_name(&of.name))?;
    plain.iter().find(|(name, _)| *name == field).map(|(_, default)| default)
}

/// `io.k8s.api.core.v1.Probe` -> `core.v1.Probe`.
fn table_name(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    dots.nth(2).map_or(name, |at| &name[at + 1..])
}

/// Sets a field that is absent or null, or zero where zero means absent.
fn set_default(fields: &mut Json<String, Value>, field: &str, default: &Value, zero_is_absent: bool) {
    let absent = match fields.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => zero_is_absent && text.is_empty(),
        Some(Value::Number(number)) => zero_is_absent && number.as_f64() == Some(0.0),
        Some(_) => false,
    };
    if absent {
        fields.insert(field.to_owned(), default.clone());
    }
}

/// Sets a field that is absent or null.
pub(super) fn set(fields: &mut Json<String, Value>, field: &str, default: impl Into<Value>) {
    if fields.get(field).is_none_or(Value::is_null) {
        fields.insert(field.to_owned(), default.into());
    }
}

pub(super) fn text<'a>(fields: &'a Json<String, Value>, field: &str) -> &'a str {
    fields.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn sub<'a>(fields: &'a mut Json<String, Value>, field: &str) -> Option<&'a mut Json<String, Value>> {
    set(fields, field, json!({}));
    fields.get_mut(field).and_then(Value::as_object_mut)
}

fn deployment_strategy(strategy: &mut Json<String, Value>) {
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = sub(strategy, "rollingUpdate")
    {
        set(rolling, "maxSurge", "25%");
        set(rolling, "maxUnavailable", "25%");
    }
}

fn daemon_set_strategy(strategy: &mut Json<String, Value>) {
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = sub(strategy, "rollingUpdate")
    {
        set(rolling, "maxSurge", 0);
        set(rolling, "maxUnavailable", 1);
    }
}

fn stateful_set_strategy(strategy: &mut Json<String, Value>) {
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = sub(strategy, "rollingUpdate")
    {
        set(rolling, "partition", 0);
    }
}

fn job(job: &mut Json<String, Value>) {
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        if spec.get("completions").is_none_or(Value::is_null) && spec.get("parallelism").is_none_or(Value::is_null) {
            set(spec, "completions", 1);
        }
        set(spec, "parallelism", 1);
        let per_index = spec.get("backoffLimitPerIndex").is_some_and(|limit| !limit.is_null());
        set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
        set(spec, "completionMode", "NonIndexed");
        set(spec, "suspend", false);
        set(spec, "manualSelector", false);
        let failure_policy = spec.get("podFailurePolicy").is_some_and(|policy| !policy.is_null());
        set(spec, "podReplacementPolicy", if failure_policy { "Failed" } else { "TerminatingOrFailed" });
    }
    metadata_labels_from_template(job);
}

fn template_labels(object: &Json<String, Value>) -> Option<Value> {
    let labels = object.get("spec")?.get("template")?.get("metadata")?.get("labels")?;
    labels.as_object().filter(|labels| !labels.is_empty()).map(|labels| Value::Object(labels.clone()))
}

fn metadata_labels_from_template(object: &mut Json<String, Value>) {
    let Some(labels) = template_labels(object) else { return };
    if let Some(metadata) = sub(object, "metadata")
        && metadata.get("labels").and_then(Value::as_object).is_none_or(Json::is_empty)
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

fn labels_from_template(object: &mut Json<String, Value>) {
    if let Some(labels) = template_labels(object)
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("selector").and_then(Value::as_object).is_none_or(Json::is_empty)
    {
        spec.insert("selector".to_owned(), labels);
    }
    metadata_labels_from_template(object);
}

fn crd_names(spec: &mut Json<String, Value>) {
    if text(spec, "scope").is_empty() && spec.contains_key("scope") {
        spec.insert("scope".to_owned(), "Namespaced".into());
    }
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() && text(names, "singular").is_empty() {
            names.insert("singular".to_owned(), kind.to_lowercase().into());
        }
        if !kind.is_empty() && text(names, "listKind").is_empty() {
            names.insert("listKind".to_owned(), format!("{kind}List").into());
        }
    }
}

fn limit_range_item(item: &mut Json<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    for (field, sources) in [("default", ["max", ""]), ("defaultRequest", ["default", "min"])] {
        for source in sources {
            let Some(amounts) = item.get(source).and_then(Value::as_object).cloned() else { continue };
            if let Some(target) = sub(item, field) {
                for (resource, amount) in amounts {
                    target.entry(resource).or_insert(amount);
                }
            }
        }
    }
}

fn namespace(namespace: &mut Json<String, Value>) {
    let Some(metadata) = sub(namespace, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = sub(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

/// The older, single fields are kept equal to the first of the newer lists.
fn node_spec(spec: &mut Json<String, Value>) {
    let first = text(spec, "podCIDR").to_owned();
    if !first.is_empty() && spec.get("podCIDRs").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("podCIDRs".to_owned(), json!([first]));
    }
}

fn pod_status(status: &mut Json<String, Value>) {
    let first = text(status, "podIP").to_owned();
    if !first.is_empty() && status.get("podIPs").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        status.insert("podIPs".to_owned(), json!([{ "ip": first }]));
    }
}

fn node_status(status: &mut Json<String, Value>) {
    if let Some(capacity) = status.get("capacity").filter(|capacity| capacity.is_object()).cloned() {
        set(status, "allocatable", capacity);
    }
}

/// `stringData` is how clients write what is read as `data`.
fn secret(secret: &mut Json<String, Value>) {
    let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
    if let Some(data) = sub(secret, "data") {
        for (key, text) in texts {
            let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}

fn metrics(spec: &mut Json<String, Value>) {
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        spec.insert("metrics".to_owned(), json!([cpu]));
    }
}

/// Addresses that a load balancer has given are virtual ones unless it says otherwise.
fn load_balancer(service: &mut Json<String, Value>) {
    let kind = service.get("spec").and_then(|spec| spec.get("type")).and_then(Value::as_str);
    if kind != Some("LoadBalancer") {
        return;
    }
    let ingress = service.get_mut("status").and_then(|status| status.get_mut("loadBalancer")?.get_mut("ingress"));
    for entry in ingress.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(entry) = entry.as_object_mut() else { continue };
        if !text(entry, "ip").is_empty() {
            set(entry, "ipMode", "VIP");
        }
    }
}

fn service(spec: &mut Json<String, Value>) {
    if text(spec, "sessionAffinity") == "ClientIP" {
        let config = spec.get("sessionAffinityConfig");
        let timeout = config.and_then(|config| config.get("clientIP")?.get("timeoutSeconds"));
        if timeout.is_none_or(Value::is_null) {
            spec.insert("sessionAffinityConfig".to_owned(), json!({"clientIP": {"timeoutSeconds": 10_800}}));
        }
    } else if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        let unset =
            port.get("targetPort").is_none_or(|target| target.is_null() || *target == json!(0) || *target == json!(""));
        if unset && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    let external = kind == "NodePort" || kind == "LoadBalancer" || kind == "ClusterIP" && external_ips;
    if external && text(spec, "externalTrafficPolicy").is_empty() {
        spec.insert("externalTrafficPolicy".to_owned(), "Cluster".into());
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn volume(volume: &mut Json<String, Value>) {
    if !volume.iter().any(|(field, source)| field != "name" && !source.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = volume.get_mut("image").and_then(Value::as_object_mut)
        && text(image, "pullPolicy").is_empty()
    {
        let policy = if pod_defaults::is_latest(text(image, "reference")) { "Always" } else { "IfNotPresent" };
        image.insert("pullPolicy".to_owned(), policy.into());
    }
}

fn network_policy(spec: &mut Json<String, Value>) {
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

fn subject(subject: &mut Json<String, Value>) {
    if text(subject, "apiGroup").is_empty() && matches!(text(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".to_owned(), "rbac.authorization.k8s.io".into());
    }
}

fn device_count(request: &mut Json<String, Value>) {
    let unset = request.get("count").is_none_or(|count| count.is_null() || *count == json!(0));
    if text(request, "allocationMode") == "ExactCount" && unset {
        request.insert("count".to_owned(), 1.into());
    }
}
