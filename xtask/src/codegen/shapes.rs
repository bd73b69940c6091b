//! Facts about the Go structs that OpenAPI does not carry: which optional fields hold their zero value apart from absence
//! (pointers), and which structs are values, so that they are written even when empty.
//!
//! The API's answers show these facts; they matter because `replicas: 0` must stay while `hostNetwork: false` goes.
//! A name alone stands for the field wherever it appears, `Type.field` for one place.

use serde_json::Value;

/// Definitions that are no structs: how they are written.
pub fn opaque(package: &str, kind: &str) -> Option<&'static str> {
    let apiextensions = package.ends_with("apiextensions.v1");
    Some(match kind {
        "Quantity" => "Q",
        "IntOrString" => "X",
        "Time" => "T",
        "MicroTime" => "U",
        "FieldsV1" | "RawExtension" | "Patch" => "O",
        "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray"
            if apiextensions =>
        {
            "A"
        }
        _ => return None,
    })
}

/// The flag of an optional field: `*` where zero is not the same as absent, `.` for what is written even if empty.
pub fn flag(kind: &str, field: &str, ty: &str, definition: &Value) -> &'static str {
    let place = format!("{kind}.{field}");
    let has = |list: &str| list.split_whitespace().any(|entry| entry == field || entry == place);
    let short = ty.rsplit('.').next().unwrap_or(ty);
    match short {
        "s" if has(ALWAYS) => ".",
        "s" if has(STRING_POINTERS) => "*",
        "s" => "",
        "i" | "l" | "d" if has(ALWAYS) => ".",
        "i" | "l" | "d" if has(NUMBER_VALUES) && !has(NUMBER_POINTERS) => "",
        "b" if has(BOOL_VALUES) && !has(BOOL_POINTERS) => "",
        "i" | "l" | "d" | "b" => "*",
        "Time" | "MicroTime" if has(TIME_VALUES) => ".",
        "ObjectMeta" | "ListMeta" => ".",
        _ if ty.starts_with('[') => {
            if has(ALWAYS) {
                "."
            } else {
                ""
            }
        }
        _ if ty.starts_with('{') => "",
        _ if has(STRUCT_VALUES) => ".",
        _ => {
            let top = definition.get("x-kubernetes-group-version-kind").is_some() || kind.ends_with("TemplateSpec");
            if top && matches!(field, "spec" | "status") && kind != "Status" { "." } else { "*" }
        }
    }
}

const STRING_POINTERS: &str = "storageClassName ingressClassName runtimeClassName loadBalancerClass preemptionPolicy \
    GRPCAction.service volumeMode volumeAttributesClassName currentVolumeAttributesClassName ipFamilyPolicy \
    internalTrafficPolicy trafficDistribution appProtocol EndpointPort.name EndpointPort.protocol NetworkPolicyPort.protocol \
    Endpoint.nodeName EndpointAddress.nodeName Endpoint.hostname zone TypedLocalObjectReference.apiGroup \
    TypedObjectReference.apiGroup TypedObjectReference.namespace holderIdentity preferredHolder LeaseSpec.strategy timeZone \
    completionMode podReplacementPolicy managedBy failedIndexes JobStatus.failedIndexes HostPathVolumeSource.type \
    StorageClass.reclaimPolicy volumeBindingMode AzureDiskVolumeSource.fsType AzureDiskVolumeSource.kind cachingMode \
    fsGroupPolicy localhostProfile procMount mountPropagation recursiveReadOnly Container.restartPolicy \
    EphemeralContainer.restartPolicy fsGroupChangePolicy seLinuxChangePolicy supplementalGroupsPolicy resourceClaimName \
    resourceClaimTemplateName nodeAffinityPolicy nodeTaintsPolicy gmsaCredentialSpec gmsaCredentialSpecName runAsUserName \
    hostnameOverride failurePolicy matchPolicy sideEffects reinvocationPolicy Rule.scope RuleWithOperations.scope \
    NamedRuleWithOperations.scope IngressClassParametersReference.scope IngressClassParametersReference.namespace \
    IngressClassParametersReference.apiGroup ServiceReference.path pathType WebhookClientConfig.url unhealthyPodEvictionPolicy \
    ClusterTrustBundleProjection.name ClusterTrustBundleProjection.signerName ipMode PortStatus.error persistentVolumeName \
    selectPolicy parameterNotFoundAction stopSignal PodDNSConfigOption.value driverName.none ResourceSliceSpec.nodeName \
    JSONSchemaProps.x-kubernetes-list-type JSONSchemaProps.x-kubernetes-map-type ValidationRule.reason Validation.reason \
    CustomResourceDefinitionVersion.deprecationWarning labelSelectorPath ExternalDocumentation.none mountPath.none \
    DeviceAttribute.string DeviceAttribute.version shareID ParentReference.namespace.none \
    PodFailurePolicyOnExitCodesRequirement.containerName succeededIndexes Preconditions.resourceVersion Preconditions.uid \
    propagationPolicy fieldManager.none Variable.none workloadRef.none podGroupName";

const NUMBER_VALUES: &str = "observedGeneration minReadySeconds numberAvailable numberUnavailable updatedNumberScheduled \
    readyReplicas unavailableReplicas updatedReplicas replicas fullyLabeledReplicas currentReplicas availableReplicas \
    partition start active failed succeeded sizeBytes hostPort signal count priority timeoutSeconds failureThreshold \
    initialDelaySeconds periodSeconds successThreshold nodePort healthCheckNodePort deprecatedCount matchingPrecedence \
    handSize queueLengthLimit queues number generation code retryAfterSeconds restartCount";

const NUMBER_POINTERS: &str = "DeploymentSpec.replicas ReplicaSetSpec.replicas StatefulSetSpec.replicas \
    ReplicationControllerSpec.replicas RollingUpdateStatefulSetStrategy.partition PodSpec.priority ClientIPConfig.timeoutSeconds \
    MutatingWebhook.timeoutSeconds ValidatingWebhook.timeoutSeconds HorizontalPodAutoscalerStatus.observedGeneration";

const BOOL_VALUES: &str = "paused authenticated denied readOnly stdin stdinOnce tty chapAuthDiscovery chapAuthSession \
    unschedulable hostIPC hostNetwork hostPID sslEnabled publishNotReadyAddresses clusterScope globalDefault \
    preserveUnknownFields deprecated exclusiveMaximum exclusiveMinimum nullable uniqueItems x-kubernetes-embedded-resource \
    x-kubernetes-int-or-string insecureSkipTLSVerify";

const BOOL_POINTERS: &str = "AzureDiskVolumeSource.readOnly";

/// Written without `omitempty` although the API calls them optional.
const ALWAYS: &str = "StatefulSetStatus.availableReplicas CustomResourceDefinitionStatus.conditions ClusterRole.rules \
    Role.rules Event.reportingComponent Event.reportingInstance HorizontalPodAutoscalerStatus.currentMetrics \
    PodDisruptionBudgetStatus.currentHealthy PodDisruptionBudgetStatus.desiredHealthy \
    PodDisruptionBudgetStatus.disruptionsAllowed PodDisruptionBudgetStatus.expectedPods PriorityClass.value DeviceClaim.requests";

const TIME_VALUES: &str = "lastTransitionTime lastUpdateTime lastProbeTime lastHeartbeatTime startedAt finishedAt \
    Event.firstTimestamp Event.lastTimestamp Event.eventTime deprecatedFirstTimestamp deprecatedLastTimestamp \
    EventSeries.lastObservedTime";

const STRUCT_VALUES: &str = "Container.resources EphemeralContainer.resources DeploymentSpec.strategy \
    DaemonSetSpec.updateStrategy StatefulSetSpec.updateStrategy PersistentVolumeClaimSpec.resources ServiceStatus.loadBalancer \
    IngressStatus.loadBalancer NodeStatus.daemonEndpoints NodeStatus.nodeInfo NodeDaemonEndpoints.kubeletEndpoint \
    NetworkPolicySpec.podSelector ContainerStatus.state ContainerStatus.lastState Event.source Event.deprecatedSource \
    Endpoint.conditions TokenReviewStatus.user SelfSubjectReviewStatus.userInfo CustomResourceDefinitionStatus.acceptedNames \
    ResourceClaimSpec.devices AllocationResult.devices ReplicaSetSpec.template PodTemplate.template IngressServiceBackend.port";
