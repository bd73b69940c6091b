//! Tables of the rules for updates: two pieces of a pod's spec, and what is said of going from one to the other.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::super::{part, validate_status, validate_update};
use super::{pod, told};
use crate::tree;

fn check_update(old: Value, new: Value, expected: Expect) {
    expected.assert_eq(&told(&validate_update(&pod(new), &pod(old))));
}

fn check_part(name: &str, old: Value, new: Value, expected: Expect) {
    expected.assert_eq(&told(&part(name, &pod(new), &pod(old))));
}

#[test]
fn of_a_running_pod_little_changes() {
    check_update(
        json!({"tolerations": [{"key": "a", "operator": "Exists"}], "activeDeadlineSeconds": 5}),
        json!({"c": {"image": "new"}, "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 3, "effect": ""}, {"key": "b", "operator": "Exists"}], "activeDeadlineSeconds": 4}),
        expect![[r#"
            spec.tolerations[0].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set
        "#]],
    );
    check_update(
        json!({"activeDeadlineSeconds": 5, "tolerations": [{"key": "a"}]}),
        json!({"hostname": "h"}),
        expect![[r#"
        spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value
        spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds
        spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
        @@ -64,7 +64,7 @@
           "SELinuxChangePolicy": null
          },
          "ImagePullSecrets": null,
        - "Hostname": "",
        + "Hostname": "h",
          "Subdomain": "",
          "SetHostnameAsFQDN": null,
          "Affinity": null,

    "#]],
    );
    check_update(
        json!({}),
        json!({"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}),
        expect![[r#"
        spec.containers: Forbidden: pod updates may not add or remove containers
    "#]],
    );
    check_update(
        json!({"terminationGracePeriodSeconds": -1}),
        json!({"terminationGracePeriodSeconds": 1}),
        expect![[""]],
    );
}

#[test]
fn a_gated_pod_may_ask_for_more_and_lose_gates() {
    let gated = |gates: Value, labels: Value| json!({"schedulingGates": gates, "nodeSelector": labels});
    check_update(
        gated(json!([{"name": "a"}]), json!({"x": "1"})),
        gated(json!([]), json!({"x": "1", "y": "2"})),
        expect![[""]],
    );
    check_update(
        gated(json!([{"name": "a"}]), json!({"x": "1"})),
        gated(json!([{"name": "b"}]), json!({"x": "2"})),
        expect![[r#"
        spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'
        spec.nodeSelector: Invalid value: {"x":"2"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)
    "#]],
    );
}

#[test]
fn a_resize_changes_cpu_and_memory_alone() {
    let asks =
        |cpu: &str, memory: &str| json!({"c": {"resources": {"requests": {"cpu": cpu}, "limits": {"memory": memory}}}});
    check_part("resize", asks("1", "1Gi"), asks("2", "2Gi"), expect![[""]]);
    check_part(
        "resize",
        asks("1", "1Gi"),
        json!({"c": {"resources": {"requests": {"cpu": "1"}}}}),
        expect![[r#"
        spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed
        spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed
    "#]],
    );
    check_part(
        "resize",
        json!({}),
        asks("1", "1Gi"),
        expect![[r#"
        spec: Invalid value: "": Pod QOS Class may not change as a result of resizing
        spec.containers[0].resources.limits[memory]: Forbidden: memory limits cannot be added unless resizePolicy is RestartContainer
    "#]],
    );
    check_part(
        "resize",
        asks("1", "1Gi"),
        json!({"c": {"resources": {"requests": {"cpu": "1", "ephemeral-storage": "1"}, "limits": {"memory": "1Gi"}}}}),
        expect![[r#"
        spec: Forbidden: only cpu and memory resources are mutable
    "#]],
    );
}

#[test]
fn ephemeral_containers_stay_as_they_are() {
    let with = |image: &str| json!({"ephemeralContainers": [{"name": "e", "image": image}]});
    check_part("ephemeralcontainers", json!({}), with("i"), expect![[""]]);
    check_part(
        "ephemeralcontainers",
        with("i"),
        json!({}),
        expect![[r#"
        spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed

    "#]],
    );
    check_part(
        "ephemeralcontainers",
        with("i"),
        with("j"),
        expect![[r#"
        spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed
        @@ -1,6 +1,6 @@
         {
          "Name": "e",
        - "Image": "i",
        + "Image": "j",
          "Command": null,
          "Args": null,
          "WorkingDir": "",

    "#]],
    );
}

#[test]
fn a_status_does_not_wake_what_has_ended() {
    let ended = |state: Value| {
        let mut pod = pod(json!({"restartPolicy": "Never"}));
        tree::set(
            &mut pod,
            "status",
            json!({"qosClass": "BestEffort", "containerStatuses": [{"name": "c", "state": state}],
            "podIPs": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}], "hostIP": "1.1.1.1", "hostIPs": [{"ip": "x"}],
            "conditions": [{"type": "a b"}]}),
        );
        pod
    };
    let (old, new) = (ended(json!({"terminated": {"exitCode": 0}})), ended(json!({"running": {}})));
    expect![[r#"
        metadata.conditions[0].Type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state
        status.podIPs: Invalid value: [{"IP":"1.2.3.4"},{"IP":"1.2.3.4"}]: may specify no more than one IP for each IP family
        status.podIPs[1]: Duplicate value: {"IP":"1.2.3.4"}
        status.hostIPs[0].ip: Invalid value: "x": must be equal to `hostIP`
        status.hostIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
    "#]].assert_eq(&told(&validate_status(&new, &old)));
}
