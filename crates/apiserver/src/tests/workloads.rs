//! apps, autoscaling, policy and ReplicationController: what is refused, filled in, kept and told.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::kit::{Kit, MERGE, PODS, kit, pod};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const SCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const SCALERS_V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn workload() -> Value {
    let containers = json!([{ "name": "c", "image": "i" }]);
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": containers } });
    json!({ "metadata": { "name": "w" }, "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template } })
}

fn controller() -> Value {
    let mut controller = workload();
    controller["spec"]["selector"] = json!({ "a": "b" });
    controller
}

fn scaler() -> Value {
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" });
    json!({ "metadata": { "name": "h" }, "spec": { "scaleTargetRef": target, "maxReplicas": 3 } })
}

fn budget() -> Value {
    let selector = json!({ "matchLabels": { "app": "x" } });
    json!({ "metadata": { "name": "b" }, "spec": { "minAvailable": 1, "selector": selector } })
}

pub fn told(row: &str, answer: (u16, Value)) -> String {
    let (code, body) = answer;
    let text = if code >= 400 { body["message"].as_str().unwrap().to_owned() } else { "ok".to_owned() };
    format!("{row}\n  {code} {text}\n")
}

/// Creates `base` with each change, as a dry run.
pub async fn created(path: &str, base: &Value, rows: &[&str], wanted: Expect) {
    let kit = kit().await;
    let mut out = String::new();
    for row in rows {
        let object = api::patch::merge(base, row.as_bytes()).unwrap().value;
        out += &told(row, kit.ask(&format!("POST {path}?dryRun=All")).body(object).send().await);
    }
    wanted.assert_eq(&out);
}

/// Creates `base` and patches it with each change, as a dry run; a row may begin with a subresource (`status `).
pub async fn changed(path: &str, base: Value, rows: &[&str], wanted: Expect) {
    let kit = kit().await;
    let name = base["metadata"]["name"].as_str().unwrap().to_owned();
    kit.create(path, base).await;
    let mut out = String::new();
    for row in rows {
        out += &told(row, patch(&kit, &format!("{path}/{name}"), row, "?dryRun=All").await);
    }
    wanted.assert_eq(&out);
}

pub async fn patch(kit: &Kit, path: &str, row: &str, query: &str) -> (u16, Value) {
    let (part, change) = row.split_once(' ').filter(|(part, _)| !part.starts_with('{')).unwrap_or(("", row));
    let slash = if part.is_empty() { "" } else { "/" };
    let change: Value = serde_json::from_str(change).unwrap();
    kit.ask(&format!("PATCH {path}{slash}{part}{query}")).content_type(MERGE).body(change).send().await
}

#[tokio::test]
async fn deployments_are_refused_in_upstreams_words() {
    let rows = [
        r#"{"spec":{"replicas":-1,"minReadySeconds":-2,"revisionHistoryLimit":-3,"progressDeadlineSeconds":-4}}"#,
        r#"{"spec":{"selector":{"matchLabels":{"a":"c"}}}}"#,
        r#"{"spec":{"selector":{"matchLabels":null}}}"#,
        r#"{"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"In"},{"key":"b","operator":"Near"}]}}}"#,
        r#"{"spec":{"strategy":{"type":"Recreate","rollingUpdate":{"maxSurge":1}}}}"#,
        r#"{"spec":{"strategy":{"type":"Slowly"}}}"#,
        r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":"0%"}}}}"#,
        r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"x","maxUnavailable":"101%"}}}}"#,
        r#"{"spec":{"minReadySeconds":600}}"#,
        r#"{"spec":{"template":{"spec":{"restartPolicy":"Never","activeDeadlineSeconds":5}}}}"#,
    ];
    created(DEPLOYMENTS, &workload(), &rows, expect![[r#"
        {"spec":{"replicas":-1,"minReadySeconds":-2,"revisionHistoryLimit":-3,"progressDeadlineSeconds":-4}}
          422 Deployment.apps "w" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0, spec.revisionHistoryLimit: Invalid value: -3: must be greater than or equal to 0, spec.progressDeadlineSeconds: Invalid value: -4: must be greater than or equal to 0, spec.progressDeadlineSeconds: Invalid value: -4: must be greater than minReadySeconds]
        {"spec":{"selector":{"matchLabels":{"a":"c"}}}}
          422 Deployment.apps "w" is invalid: spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`
        {"spec":{"selector":{"matchLabels":null}}}
          422 Deployment.apps "w" is invalid: spec.selector: Invalid value: {}: empty selector is invalid for deployment
        {"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"In"},{"key":"b","operator":"Near"}]}}}
          422 Deployment.apps "w" is invalid: [spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.selector.matchExpressions[1].operator: Invalid value: "Near": not a valid selector operator, spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"In"},{"key":"b","operator":"Near"}],"matchLabels":{"a":"b"}}: invalid label selector]
        {"spec":{"strategy":{"type":"Recreate","rollingUpdate":{"maxSurge":1}}}}
          422 Deployment.apps "w" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'
        {"spec":{"strategy":{"type":"Slowly"}}}
          422 Deployment.apps "w" is invalid: spec.strategy: Unsupported value: {"Type":"Slowly","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"
        {"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":"0%"}}}}
          422 Deployment.apps "w" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0
        {"spec":{"strategy":{"rollingUpdate":{"maxSurge":"x","maxUnavailable":"101%"}}}}
          422 Deployment.apps "w" is invalid: [spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%]
        {"spec":{"minReadySeconds":600}}
          422 Deployment.apps "w" is invalid: spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds
        {"spec":{"template":{"spec":{"restartPolicy":"Never","activeDeadlineSeconds":5}}}}
          422 Deployment.apps "w" is invalid: [spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always", spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported]
    "#]]).await;
}

#[tokio::test]
async fn deployments_change_but_for_their_selector_and_their_status_adds_up() {
    let rows = [
        r#"{"spec":{"replicas":5}}"#,
        r#"{"spec":{"selector":{"matchLabels":{"a":null,"b":"c"}},"template":{"metadata":{"labels":{"b":"c"}}}}}"#,
        r#"status {"status":{"replicas":2,"readyReplicas":1,"availableReplicas":1,"updatedReplicas":2}}"#,
        r#"status {"status":{"replicas":-1,"collisionCount":-1}}"#,
        r#"status {"status":{"replicas":1,"readyReplicas":2,"availableReplicas":3,"updatedReplicas":4}}"#,
    ];
    changed(DEPLOYMENTS, workload(), &rows, expect![[r#"
        {"spec":{"replicas":5}}
          200 ok
        {"spec":{"selector":{"matchLabels":{"a":null,"b":"c"}},"template":{"metadata":{"labels":{"b":"c"}}}}}
          422 Deployment.apps "w" is invalid: spec.selector: Invalid value: {"matchLabels":{"b":"c"}}: field is immutable
        status {"status":{"replicas":2,"readyReplicas":1,"availableReplicas":1,"updatedReplicas":2}}
          200 ok
        status {"status":{"replicas":-1,"collisionCount":-1}}
          422 Deployment.apps "w" is invalid: [status.replicas: Invalid value: -1: must be greater than or equal to 0, status.collisionCount: Invalid value: -1: must be greater than or equal to 0, status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas, status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas]
        status {"status":{"replicas":1,"readyReplicas":2,"availableReplicas":3,"updatedReplicas":4}}
          422 Deployment.apps "w" is invalid: [status.updatedReplicas: Invalid value: 4: cannot be greater than status.replicas, status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas]
    "#]]).await;
}

#[tokio::test]
async fn stateful_sets_are_refused_in_upstreams_words() {
    let rows = [
        r#"{"metadata":{"name":"a.b"}}"#,
        r#"{"spec":{"podManagementPolicy":"Any","serviceName":"Bad_Name"}}"#,
        r#"{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":{"partition":1}}}}"#,
        r#"{"spec":{"updateStrategy":{"type":"Never"}}}"#,
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":-1,"maxUnavailable":0}}}}"#,
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"200%"}}}}"#,
        r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Keep"}}}"#,
        r#"{"spec":{"replicas":-1,"minReadySeconds":-1,"ordinals":{"start":-1}}}"#,
        r#"{"spec":{"selector":{"matchLabels":null}}}"#,
    ];
    created(STATEFUL_SETS, &workload(), &rows, expect![[r#"
        {"metadata":{"name":"a.b"}}
          422 StatefulSet.apps "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots
        {"spec":{"podManagementPolicy":"Any","serviceName":"Bad_Name"}}
          422 StatefulSet.apps "w" is invalid: [spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel', spec.serviceName: Invalid value: "Bad_Name": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]
        {"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":{"partition":1}}}}
          422 StatefulSet.apps "w" is invalid: spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for updateStrategy 'RollingUpdate'
        {"spec":{"updateStrategy":{"type":"Never"}}}
          422 StatefulSet.apps "w" is invalid: spec.updateStrategy: Invalid value: {"Type":"Never","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'
        {"spec":{"updateStrategy":{"rollingUpdate":{"partition":-1,"maxUnavailable":0}}}}
          422 StatefulSet.apps "w" is invalid: [spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0, spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0]
        {"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"200%"}}}}
          422 StatefulSet.apps "w" is invalid: spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "200%": must not be greater than 100%
        {"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Keep"}}}
          422 StatefulSet.apps "w" is invalid: spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: "Retain", "Delete"
        {"spec":{"replicas":-1,"minReadySeconds":-1,"ordinals":{"start":-1}}}
          422 StatefulSet.apps "w" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0, spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0]
        {"spec":{"selector":{"matchLabels":null}}}
          422 StatefulSet.apps "w" is invalid: spec.selector: Invalid value: {}: empty selector is invalid for statefulset
    "#]]).await;
}

#[tokio::test]
async fn stateful_sets_keep_what_their_pods_are_named_and_stored_by() {
    let rows = [
        r#"{"spec":{"replicas":2,"ordinals":{"start":3},"revisionHistoryLimit":4,"minReadySeconds":5}}"#,
        r#"{"spec":{"serviceName":"other"}}"#,
        r#"{"spec":{"podManagementPolicy":"Parallel"}}"#,
        r#"{"spec":{"volumeClaimTemplates":[]}}"#,
        r#"status {"status":{"replicas":1,"currentReplicas":2,"availableReplicas":2,"readyReplicas":1}}"#,
    ];
    let claim = json!({ "metadata": { "name": "v" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    let mut set = workload();
    set["spec"]["volumeClaimTemplates"] = json!([claim]);
    changed(STATEFUL_SETS, set.clone(), &rows, expect![[r#"
        {"spec":{"replicas":2,"ordinals":{"start":3},"revisionHistoryLimit":4,"minReadySeconds":5}}
          200 ok
        {"spec":{"serviceName":"other"}}
          422 StatefulSet.apps "w" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden
        {"spec":{"podManagementPolicy":"Parallel"}}
          422 StatefulSet.apps "w" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden
        {"spec":{"volumeClaimTemplates":[]}}
          422 StatefulSet.apps "w" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden
        status {"status":{"replicas":1,"currentReplicas":2,"availableReplicas":2,"readyReplicas":1}}
          422 StatefulSet.apps "w" is invalid: [status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas, status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas]
    "#]]).await;
    let made = kit().await.create(STATEFUL_SETS, set).await;
    expect![[r#"[{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"v"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"volumeMode":"Filesystem"},"status":{"phase":"Pending"}}]"#]].assert_eq(&made["spec"]["volumeClaimTemplates"].to_string());
}

#[tokio::test]
async fn daemon_sets_are_refused_in_upstreams_words_and_count_their_templates() {
    let rows = [
        r#"{"spec":{"selector":null}}"#,
        r#"{"spec":{"selector":{"matchLabels":null}}}"#,
        r#"{"spec":{"updateStrategy":{"type":"Never"}}}"#,
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1}}}}"#,
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":0}}}}"#,
        r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"101%","maxSurge":"-1%"}}}}"#,
        r#"{"spec":{"minReadySeconds":-1,"revisionHistoryLimit":-1}}"#,
        r#"{"spec":{"template":{"spec":{"restartPolicy":"OnFailure"}}}}"#,
    ];
    created(DAEMON_SETS, &workload(), &rows, expect![[r#"
        {"spec":{"selector":null}}
          422 DaemonSet.apps "w" is invalid: spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`
        {"spec":{"selector":{"matchLabels":null}}}
          422 DaemonSet.apps "w" is invalid: spec.selector: Invalid value: {}: empty selector is invalid for daemonset
        {"spec":{"updateStrategy":{"type":"Never"}}}
          422 DaemonSet.apps "w" is invalid: spec.updateStrategy: Unsupported value: {"Type":"Never","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete"
        {"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1}}}}
          422 DaemonSet.apps "w" is invalid: spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero
        {"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":0}}}}
          422 DaemonSet.apps "w" is invalid: spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0
        {"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"101%","maxSurge":"-1%"}}}}
          422 DaemonSet.apps "w" is invalid: [spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "-1%": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%]
        {"spec":{"minReadySeconds":-1,"revisionHistoryLimit":-1}}
          422 DaemonSet.apps "w" is invalid: [spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0, spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0]
        {"spec":{"template":{"spec":{"restartPolicy":"OnFailure"}}}}
          422 DaemonSet.apps "w" is invalid: spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"
    "#]]).await;
    let kit = kit().await;
    kit.create(DAEMON_SETS, workload()).await;
    let rows = [
        r#"{"spec":{"template":{"spec":{"nodeSelector":{"x":"y"}}}}}"#,
        r#"{"spec":{"revisionHistoryLimit":3}}"#,
        r#"{"metadata":{"annotations":{"deprecated.daemonset.template.generation":"9"}}}"#,
    ];
    let mut seen = String::new();
    for row in rows {
        let (_, set) = patch(&kit, &format!("{DAEMON_SETS}/w"), row, "").await;
        let _ = writeln!(seen, "{} {}", set["metadata"]["generation"], set["metadata"]["annotations"]);
    }
    expect![[r#"
        2 {"deprecated.daemonset.template.generation":"2"}
        3 {"deprecated.daemonset.template.generation":"2"}
        3 {"deprecated.daemonset.template.generation":"2"}
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn revisions_and_replication_controllers_keep_to_their_rules() {
    let revision = json!({ "metadata": { "name": "r" }, "revision": 1, "data": { "a": 1 } });
    let rows = [r#"{"revision":-1}"#, r#"{"data":null}"#];
    created(
        REVISIONS,
        &revision,
        &rows,
        expect![[r#"
        {"revision":-1}
          422 ControllerRevision.apps "r" is invalid: revision: Invalid value: -1: must be greater than or equal to 0
        {"data":null}
          422 ControllerRevision.apps "r" is invalid: data: Required value: data is mandatory
    "#]],
    )
    .await;
    let rows = [r#"{"revision":2}"#, r#"{"data":{"a":2}}"#];
    changed(
        REVISIONS,
        revision,
        &rows,
        expect![[r#"
        {"revision":2}
          200 ok
        {"data":{"a":2}}
          422 ControllerRevision.apps "r" is invalid: data: Invalid value: {"a":2}: field is immutable
    "#]],
    )
    .await;
    let rows = [
        r#"{"spec":{"selector":{"a":"c"},"replicas":-1,"minReadySeconds":-1}}"#,
        r#"{"spec":{"selector":null}}"#,
        r#"{"spec":{"template":null}}"#,
        r#"{"spec":{"template":{"spec":{"restartPolicy":"Never","activeDeadlineSeconds":1}}}}"#,
    ];
    created(CONTROLLERS, &controller(), &rows, expect![[r#"
        {"spec":{"selector":{"a":"c"},"replicas":-1,"minReadySeconds":-1}}
          422 ReplicationController "w" is invalid: [spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0, spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`]
        {"spec":{"selector":null}}
          201 ok
        {"spec":{"template":null}}
          422 ReplicationController "w" is invalid: spec.template: Required value
        {"spec":{"template":{"spec":{"restartPolicy":"Never","activeDeadlineSeconds":1}}}}
          422 ReplicationController "w" is invalid: [spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always", spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported]
    "#]]).await;
}

#[tokio::test]
async fn autoscalers_are_refused_in_upstreams_words() {
    let metric = |metric: &str| format!(r#"{{"spec":{{"metrics":[{metric}]}}}}"#);
    let rows = [
        r#"{"spec":{"minReplicas":0,"maxReplicas":-1}}"#.to_owned(),
        r#"{"spec":{"minReplicas":5}}"#.to_owned(),
        r#"{"spec":{"scaleTargetRef":{"apiVersion":"v1","name":"a/b"}}}"#.to_owned(),
        r#"{"spec":{"scaleTargetRef":{"apiVersion":"v1","kind":"ReplicationController"}}}"#.to_owned(),
        r#"{"spec":{"scaleTargetRef":{"apiVersion":"a/b/c"}}}"#.to_owned(),
        metric(r#"{"type":"Bogus"}"#),
        metric(r#"{"type":""}"#),
        metric(r#"{"type":"Pods","resource":{"name":"cpu","target":{"type":"Utilization"}}}"#),
        metric(
            r#"{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":0}},"pods":{"metric":{"name":"q"},"target":{"type":"AverageValue","averageValue":"1"}}}"#,
        ),
        metric(r#"{"type":"Pods","pods":{"metric":{"name":""},"target":{"type":"Some","averageValue":"-1"}}}"#),
        metric(
            r#"{"type":"External","external":{"metric":{"name":"a/b"},"target":{"type":"Value","value":"1","averageValue":"0"}}}"#,
        ),
        metric(
            r#"{"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"r"},"target":{"type":"Value"}}}"#,
        ),
        metric(
            r#"{"type":"ContainerResource","containerResource":{"name":"gpu","container":"A","target":{"type":"Utilization","averageUtilization":1,"averageValue":"1"}}}"#,
        ),
        r#"{"spec":{"behavior":{"scaleUp":{"stabilizationWindowSeconds":3601,"selectPolicy":"All","policies":[{"type":"Few","value":0,"periodSeconds":1801}]}}}}"#.to_owned(),
        r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":-1,"policies":[],"tolerance":"-1"}}}}"#.to_owned(),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    created(SCALERS, &scaler(), &rows, expect![[r#"
        {"spec":{"minReplicas":0,"maxReplicas":-1}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.minReplicas: Invalid value: 0: must be greater than or equal to 1, spec.maxReplicas: Invalid value: -1: must be greater than 0, spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`, spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas]
        {"spec":{"minReplicas":5}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`
        {"spec":{"scaleTargetRef":{"apiVersion":"v1","name":"a/b"}}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/', spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group]
        {"spec":{"scaleTargetRef":{"apiVersion":"v1","kind":"ReplicationController"}}}
          201 ok
        {"spec":{"scaleTargetRef":{"apiVersion":"a/b/c"}}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
        {"spec":{"metrics":[{"type":"Bogus"}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: spec.metrics[0].type: Unsupported value: "Bogus": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
        {"spec":{"metrics":[{"type":""}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.metrics[0].type: Required value: must specify a metric source type, spec.metrics[0].type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"]
        {"spec":{"metrics":[{"type":"Pods","resource":{"name":"cpu","target":{"type":"Utilization"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization, spec.metrics[0].pods: Required value: must populate information for the given metric source]
        {"spec":{"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":0}},"pods":{"metric":{"name":"q"},"target":{"type":"AverageValue","averageValue":"1"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: spec.metrics[0].pods: Forbidden: must populate the given metric source only
        {"spec":{"metrics":[{"type":"Pods","pods":{"metric":{"name":""},"target":{"type":"Some","averageValue":"-1"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.metrics[0].pods.metric.name: Required value: must specify a metric name, spec.metrics[0].pods.target.type: Invalid value: "Some": must be either Utilization, Value, or AverageValue, spec.metrics[0].pods.target.averageValue: Invalid value: "-1": must be positive]
        {"spec":{"metrics":[{"type":"External","external":{"metric":{"name":"a/b"},"target":{"type":"Value","value":"1","averageValue":"0"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.metrics[0].external.metric.name: Invalid value: "a/b": may not contain '/', spec.metrics[0].external.target.averageValue: Invalid value: "0": must be positive, spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target]
        {"spec":{"metrics":[{"type":"Object","object":{"describedObject":{"kind":"Service","name":"s","apiVersion":"v1"},"metric":{"name":"r"},"target":{"type":"Value"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue
        {"spec":{"metrics":[{"type":"ContainerResource","containerResource":{"name":"gpu","container":"A","target":{"type":"Utilization","averageUtilization":1,"averageValue":"1"}}}]}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.metrics[0].containerResource.name: Invalid value: "gpu": must be a standard resource for containers, spec.metrics[0].containerResource.container: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.metrics[0].containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization]
        {"spec":{"behavior":{"scaleUp":{"stabilizationWindowSeconds":3601,"selectPolicy":"All","policies":[{"type":"Few","value":0,"periodSeconds":1801}]}}}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600, spec.behavior.scaleUp.selectPolicy: Unsupported value: "All": supported values: "Disabled", "Max", "Min", spec.behavior.scaleUp.policies[0].type: Unsupported value: "Few": supported values: "Percent", "Pods", spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800]
        {"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":-1,"policies":[],"tolerance":"-1"}}}}
          422 HorizontalPodAutoscaler.autoscaling "h" is invalid: [spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero, spec.behavior.scaleDown.tolerance: Invalid value: "-1": must be greater than or equal to 0]
    "#]]).await;
}

#[tokio::test]
async fn an_autoscaler_is_the_same_in_both_versions() {
    let kit = kit().await;
    let mut wanted = scaler();
    wanted["spec"]["metrics"] = json!([
        { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } },
        { "type": "Pods", "pods": { "metric": { "name": "q" }, "target": { "type": "AverageValue", "averageValue": "10" } } },
        { "type": "Object", "object": { "describedObject": { "kind": "Service", "name": "s", "apiVersion": "v1" },
            "metric": { "name": "r" }, "target": { "type": "Value", "value": "2k" } } },
    ]);
    wanted["spec"]["behavior"] = json!({ "scaleUp": { "stabilizationWindowSeconds": 5 } });
    let made = kit.create(SCALERS, wanted).await;
    let (_, old) = kit.ask(&format!("GET {SCALERS_V1}/h")).send().await;
    expect![[r#"
        {
          "autoscaling.alpha.kubernetes.io/behavior": "{\"ScaleUp\":{\"StabilizationWindowSeconds\":5,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Pods\",\"Value\":4,\"PeriodSeconds\":15},{\"Type\":\"Percent\",\"Value\":100,\"PeriodSeconds\":15}],\"Tolerance\":null},\"ScaleDown\":{\"StabilizationWindowSeconds\":null,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Percent\",\"Value\":100,\"PeriodSeconds\":15}],\"Tolerance\":null}}",
          "autoscaling.alpha.kubernetes.io/metrics": "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"q\",\"targetAverageValue\":\"10\"}},{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\",\"apiVersion\":\"v1\"},\"metricName\":\"r\",\"targetValue\":\"2k\"}}]"
        } {
          "maxReplicas": 3,
          "minReplicas": 1,
          "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "d"
          },
          "targetCPUUtilizationPercentage": 50
        }
    "#]].assert_eq(&format!("{:#} {:#}\n", old["metadata"]["annotations"], old["spec"]));
    // Who knows v1 alone changes one thing, and loses nothing.
    let mut changed = old.clone();
    changed["spec"]["maxReplicas"] = json!(7);
    let (code, answer) = kit.ask(&format!("PUT {SCALERS_V1}/h")).body(changed).send().await;
    assert_eq!(code, 200, "{answer}");
    let (_, new) = kit.ask(&format!("GET {SCALERS}/h")).send().await;
    let mut expected = made["spec"].clone();
    expected["maxReplicas"] = json!(7);
    assert_eq!(new["spec"], expected);
    assert_eq!(new["metadata"]["annotations"], Value::Null);
    let list = kit.ask(&format!("GET {SCALERS_V1}")).accept("application/json;as=Table;g=meta.k8s.io;v=v1");
    let (_, table) = list.send().await;
    expect![[r#"["h","Deployment/d","cpu: <unknown>/50%, <unknown>/10 + 1 more...","1",7,0,"0s"]"#]]
        .assert_eq(&table["rows"][0]["cells"].to_string());
}

#[tokio::test]
async fn budgets_are_refused_in_upstreams_words() {
    let rows = [
        r#"{"spec":{"maxUnavailable":1}}"#,
        r#"{"spec":{"minAvailable":"150%"}}"#,
        r#"{"spec":{"minAvailable":-1}}"#,
        r#"{"spec":{"minAvailable":"many"}}"#,
        r#"{"spec":{"unhealthyPodEvictionPolicy":"Never","selector":{"matchExpressions":[{"key":"","operator":"Exists","values":["x"]}]}}}"#,
    ];
    created(BUDGETS, &budget(), &rows, expect![[r#"
        {"spec":{"maxUnavailable":1}}
          422 PodDisruptionBudget.policy "b" is invalid: spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"app":"x"}},"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set
        {"spec":{"minAvailable":"150%"}}
          422 PodDisruptionBudget.policy "b" is invalid: spec.minAvailable: Invalid value: "150%": must not be greater than 100%
        {"spec":{"minAvailable":-1}}
          422 PodDisruptionBudget.policy "b" is invalid: spec.minAvailable: Invalid value: -1: must be greater than or equal to 0
        {"spec":{"minAvailable":"many"}}
          422 PodDisruptionBudget.policy "b" is invalid: spec.minAvailable: Invalid value: "many": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')
        {"spec":{"unhealthyPodEvictionPolicy":"Never","selector":{"matchExpressions":[{"key":"","operator":"Exists","values":["x"]}]}}}
          422 PodDisruptionBudget.policy "b" is invalid: [spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', spec.selector.matchExpressions[0].key: Invalid value: "": name part must be non-empty, spec.selector.matchExpressions[0].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"]
    "#]]).await;
    let rows = [
        r#"{"spec":{"minAvailable":2}}"#,
        r#"status {"status":{"disruptionsAllowed":-1,"currentHealthy":-1}}"#,
        r#"status {"status":{"conditions":[{"type":"","status":"Yes","reason":"","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#,
    ];
    changed(BUDGETS, budget(), &rows, expect![[r#"
        {"spec":{"minAvailable":2}}
          200 ok
        status {"status":{"disruptionsAllowed":-1,"currentHealthy":-1}}
          422 PodDisruptionBudget.policy "b" is invalid: [status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0, status.currentHealthy: Invalid value: -1: must be greater than or equal to 0]
        status {"status":{"conditions":[{"type":"","status":"Yes","reason":"","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}
          422 PodDisruptionBudget.policy "b" is invalid: [status.conditions[0].type: Required value: must be set, status.conditions[0].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown", status.conditions[0].reason: Required value: must be set]
    "#]]).await;
}

/// A running pod that the budget `b` selects.
async fn guarded(kit: &Kit, name: &str, ready: bool) {
    let mut wanted = pod(name);
    wanted["metadata"]["labels"] = json!({ "app": "x" });
    kit.create(PODS, wanted).await;
    let ready = if ready { "True" } else { "False" };
    let conditions = format!(r#"[{{"type":"Ready","status":"{ready}"}}]"#);
    let status = format!(r#"status {{"status":{{"phase":"Running","conditions":{conditions}}}}}"#);
    let (code, answer) = patch(kit, &format!("{PODS}/{name}"), &status, "").await;
    assert_eq!(code, 200, "{answer}");
}

async fn evict(kit: &Kit, name: &str, query: &str) -> String {
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
    let (code, answer) = kit.ask(&format!("POST {PODS}/{name}/eviction{query}")).body(eviction).send().await;
    format!("{code} {} {} {}\n", answer["reason"], answer["message"], answer["details"])
}

async fn set_budget(kit: &Kit, status: &str) {
    let row = format!(r#"status {{"status":{status}}}"#);
    let (code, answer) = patch(kit, &format!("{BUDGETS}/b"), &row, "").await;
    assert_eq!(code, 200, "{answer}");
}

const ALLOWS_ONE: &str =
    r#"{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":3,"desiredHealthy":2,"expectedPods":3}"#;

#[tokio::test]
async fn a_budget_lets_pods_go_one_by_one_and_counts_them() {
    let kit = kit().await;
    kit.create(BUDGETS, budget()).await;
    for name in ["p1", "p2"] {
        guarded(&kit, name, true).await;
    }
    let mut told = evict(&kit, "p1", "").await;
    set_budget(&kit, ALLOWS_ONE).await;
    told += &evict(&kit, "p1", "?dryRun=All").await;
    told += &evict(&kit, "p1", "").await;
    told += &evict(&kit, "p2", "").await;
    expect![[r#"
        429 "TooManyRequests" "Cannot evict pod as it would violate the pod's disruption budget." {"causes":[{"message":"The disruption budget b is still being processed by the server.","reason":"DisruptionBudget"}],"retryAfterSeconds":10}
        201 null null null
        201 null null null
        429 "TooManyRequests" "Cannot evict pod as it would violate the pod's disruption budget." {"causes":[{"message":"The disruption budget b needs 2 healthy pods and has 3 currently","reason":"DisruptionBudget"}]}
    "#]].assert_eq(&told);
    let (_, budget) = kit.ask(&format!("GET {BUDGETS}/b")).send().await;
    expect![[r#"
        {
          "conditions": [
            {
              "lastTransitionTime": "2026-01-01T00:00:00Z",
              "message": "",
              "observedGeneration": 1,
              "reason": "InsufficientPods",
              "status": "False",
              "type": "DisruptionAllowed"
            }
          ],
          "currentHealthy": 3,
          "desiredHealthy": 2,
          "disruptedPods": {
            "p1": "2026-01-01T00:00:00Z"
          },
          "disruptionsAllowed": 0,
          "expectedPods": 3,
          "observedGeneration": 1
        }"#]]
    .assert_eq(&format!("{:#}", budget["status"]));
    assert_eq!(kit.ask(&format!("GET {PODS}/p1")).send().await.0, 404);
}

#[tokio::test]
async fn pods_that_are_not_ready_go_where_the_budget_lets_them() {
    let kit = kit().await;
    kit.create(BUDGETS, budget()).await;
    for name in ["p1", "p2"] {
        guarded(&kit, name, false).await;
    }
    set_budget(&kit, ALLOWS_ONE).await;
    set_budget(&kit, r#"{"disruptionsAllowed":0,"currentHealthy":1}"#).await;
    let mut told = evict(&kit, "p1", "").await;
    set_budget(&kit, r#"{"currentHealthy":2}"#).await;
    told += &evict(&kit, "p1", "").await;
    set_budget(&kit, r#"{"currentHealthy":0}"#).await;
    let always = r#"{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}"#;
    patch(&kit, &format!("{BUDGETS}/b"), always, "").await;
    told += &evict(&kit, "p2", "").await;
    guarded(&kit, "p3", true).await;
    let mut second = budget();
    second["metadata"]["name"] = json!("b2");
    kit.create(BUDGETS, second).await;
    told += &evict(&kit, "p3", "").await;
    expect![[r#"
        429 "TooManyRequests" "Cannot evict pod as it would violate the pod's disruption budget." {"causes":[{"message":"The disruption budget b needs 2 healthy pods and has 1 currently","reason":"DisruptionBudget"}]}
        201 null null null
        201 null null null
        500 null "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." null
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn jobs_and_replication_controllers_leave_their_pods_unless_told_otherwise() {
    let kit = kit().await;
    kit.create(CONTROLLERS, controller()).await;
    kit.create(super::jobs::JOBS, super::jobs::job()).await;
    kit.create(DEPLOYMENTS, workload()).await;
    let mut seen = String::new();
    for path in [format!("{CONTROLLERS}/w"), format!("{}/j", super::jobs::JOBS), format!("{DEPLOYMENTS}/w")] {
        kit.ask(&format!("DELETE {path}")).send().await;
        let (code, left) = kit.ask(&format!("GET {path}")).send().await;
        let _ = writeln!(seen, "{code} {}", left["metadata"]["finalizers"]);
    }
    expect![[r#"
        200 ["orphan"]
        200 ["orphan"]
        404 null
    "#]]
    .assert_eq(&seen);
}
