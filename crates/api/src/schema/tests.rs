//! Tests of schemas: the table is whole, decoding tells what upstream tells, defaults and normal form are upstream's.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn kind(name: &str) -> Schema<'static> {
    builtin().lookup(name).unwrap()
}

#[test]
fn every_built_in_kind_is_found_by_name_and_by_kind() {
    assert_eq!(kind("io.k8s.api.core.v1.Pod").go_name(), "v1.Pod");
    assert_eq!(kind("io.k8s.api.core.v1.Pod").path("spec.containers.ports").unwrap().go_name(), "[]v1.ContainerPort");
    let deployment = Gvk::new("apps", "v1", "Deployment");
    assert_eq!(builtin().lookup_kind(&deployment).unwrap().go_name(), "v1.Deployment");
    assert!(builtin().kinds().count() > 150);
}

fn check_decode(json: &str, validation: Validation, wanted: Expect) {
    let text = match decode(json.as_bytes(), kind("io.k8s.api.core.v1.Pod"), validation) {
        Ok(decoded) => format!("{} {:?}", decoded.value, decoded.warnings),
        Err(why) => why,
    };
    wanted.assert_eq(&text);
}

#[test]
fn unknown_and_duplicate_fields_are_found_with_their_paths() {
    let json = r#"{"metadata":{"name":"a","name":"b"},"spec":{"foo":1,"containers":[{"name":"c"},{"imag":"x"}]}}"#;
    check_decode(
        json,
        Validation::Strict,
        expect![[
            r#"strict decoding error: duplicate field "metadata.name", unknown field "spec.foo", unknown field "spec.containers[1].imag""#
        ]],
    );
    check_decode(
        json,
        Validation::Ignore,
        expect![[r#"{"metadata":{"name":"b"},"spec":{"containers":[{"name":"c"},{}]}} []"#]],
    );
    check_decode(r#"{"dat":{}}"#, Validation::Warn, expect![[r#"{} ["unknown field \"dat\""]"#]]);
}

#[test]
fn wrong_types_are_told_as_go_tells_them() {
    let cases = [
        (
            r#"{"metadata":{"labels":[]},"spec":[]}"#,
            expect![
                "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"
            ],
        ),
        (
            r#"{"spec":{"containers":[{"image":1}]}}"#,
            expect![
                "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"
            ],
        ),
        (
            r#"{"spec":{"priority":"x"}}"#,
            expect!["json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32"],
        ),
        (
            r#"{"spec":{"priority":1.5}}"#,
            expect!["json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"],
        ),
        (
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
            expect!["quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"],
        ),
        (
            r#"{"metadata":{"creationTimestamp":"now"}}"#,
            expect![[r#"parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#]],
        ),
        (r#"{"spec":"#, expect!["unexpected end of JSON input"]),
        (r#"not json"#, expect!["invalid character 'o' in literal null (expecting 'u')"]),
        (r#"{"a":x}"#, expect!["invalid character 'x' looking for beginning of value"]),
    ];
    for (json, wanted) in cases {
        check_decode(json, Validation::Ignore, wanted);
    }
}

fn check_default(name: &str, mut object: Value, wanted: Expect) {
    apply_defaults(&mut object, kind(name));
    normalize(&mut object, kind(name));
    wanted.assert_eq(&object.to_string());
}

#[test]
fn a_deployment_gets_its_strategy_and_its_template_no_service_links() {
    check_default(
        "io.k8s.api.apps.v1.Deployment",
        json!({"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"spec":{"hostNetwork":false,"containers":[{"name":"c","image":"r:5000/n","ports":[{"containerPort":80}]}]}}}}),
        expect![[
            r#"{"metadata":{},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{},"spec":{"containers":[{"image":"r:5000/n","imagePullPolicy":"Always","name":"c","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}"#
        ]],
    );
}

#[test]
fn a_pod_gets_requests_from_limits_and_canonical_quantities() {
    let mut spec = json!({"hostNetwork":true,"containers":[{"name":"c","image":"n:1","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"0.5","memory":"1024Mi"}}}]});
    pod_defaults::pod_spec(&mut spec);
    normalize(&mut spec, kind("io.k8s.api.core.v1.PodSpec"));
    let container = &spec["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu":"500m","memory":"1Gi"}));
    assert_eq!(
        (&container["ports"][0]["hostPort"], &container["imagePullPolicy"]),
        (&json!(80), &json!("IfNotPresent"))
    );
    assert_eq!(spec["enableServiceLinks"], json!(true));
}

#[test]
fn zero_values_stay_where_they_mean_something() {
    check_default(
        "io.k8s.api.apps.v1.ReplicaSet",
        json!({"metadata":{"labels":{},"annotations":null,"creationTimestamp":null},"spec":{"replicas":0,"minReadySeconds":0}}),
        expect![[
            r#"{"metadata":{},"spec":{"replicas":0,"template":{"metadata":{},"spec":{"containers":null,"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{"replicas":0}}"#
        ]],
    );
}

#[test]
fn a_secret_takes_texts_and_a_service_its_target_ports() {
    check_default(
        "io.k8s.api.core.v1.Secret",
        json!({"stringData":{"k":"v"}}),
        expect![[r#"{"data":{"k":"dg=="},"metadata":{},"type":"Opaque"}"#]],
    );
    check_default(
        "io.k8s.api.core.v1.Service",
        json!({"spec":{"type":"NodePort","sessionAffinity":"ClientIP","ports":[{"port":80}]}}),
        expect![[
            r#"{"metadata":{},"spec":{"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"type":"NodePort"},"status":{"loadBalancer":{}}}"#
        ]],
    );
}

#[test]
fn a_custom_type_is_made_at_run_time_and_keeps_what_it_is_given() {
    let meta = builtin().position("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
    let field = |name: &'static str, ty, default| Field {
        name: name.into(),
        ty,
        presence: Presence::Verbatim,
        atomic: false,
        patch: Patch::default(),
        default,
        nullable: false,
    };
    let spec = Struct {
        fields: vec![field("n", Type::Int64, Some(Box::new(json!(3)))), field("s", Type::String, None)],
        ..Struct::default()
    };
    let root = Struct {
        fields: vec![field("metadata", Type::Builtin(meta), None), field("spec", Type::Struct(spec), None)],
        ..Struct::default()
    };
    let mut types = Types::default();
    let at = types.insert("example.com.v1.W".into(), Type::Struct(root));
    let decoded =
        decode(br#"{"metadata":{"name":"w","labels":{}},"spec":{"s":"","junk":1}}"#, types.at(at), Validation::Warn)
            .unwrap();
    let mut value = decoded.value;
    apply_defaults(&mut value, types.at(at));
    normalize(&mut value, types.at(at));
    assert_eq!(value, json!({"metadata":{"name":"w"},"spec":{"n":3,"s":""}}));
    assert_eq!(decoded.warnings, ["unknown field \"spec.junk\""]);
}
