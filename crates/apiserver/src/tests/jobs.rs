//! Jobs and CronJobs: what is refused, what may change, and what their status may say.

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::kit;
use super::workloads::{changed, created, patch, told};

pub const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const CRON_JOBS: &str = "/apis/batch/v1/namespaces/default/cronjobs";

pub fn job() -> Value {
    let spec = json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] });
    json!({ "metadata": { "name": "j" }, "spec": { "template": { "spec": spec } } })
}

fn cron_job() -> Value {
    json!({ "metadata": { "name": "j" }, "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": job()["spec"] } } })
}

#[tokio::test]
async fn jobs_are_refused_in_upstreams_words() {
    let rows = [
        r#"{"spec":{"parallelism":-1,"completions":-1,"backoffLimit":-1,"ttlSecondsAfterFinished":-1,"activeDeadlineSeconds":-1}}"#,
        r#"{"spec":{"completionMode":"Some"}}"#,
        r#"{"spec":{"completionMode":"Indexed","parallelism":1}}"#,
        r#"{"spec":{"completionMode":"Indexed","completions":2,"parallelism":100001,"maxFailedIndexes":3}}"#,
        r#"{"spec":{"completionMode":"Indexed","completions":100001,"parallelism":10001,"backoffLimitPerIndex":1}}"#,
        r#"{"spec":{"backoffLimitPerIndex":1,"maxFailedIndexes":1}}"#,
        r#"{"spec":{"managedBy":"me"}}"#,
        r#"{"spec":{"managedBy":"Bad_/x y"}}"#,
        r#"{"spec":{"selector":{"matchLabels":{"x":"y"}}}}"#,
        r#"{"spec":{"manualSelector":true}}"#,
        r#"{"spec":{"template":{"metadata":{"labels":{"job-name":"other"}}}}}"#,
        r#"{"spec":{"template":{"spec":{"restartPolicy":"Always"}}}}"#,
        r#"{"spec":{"podReplacementPolicy":"Never"}}"#,
        r#"{"metadata":{"name":"a-name-of-some-sixty-characters-which-is-too-long-for-an-index"},"spec":{"completionMode":"Indexed","completions":200}}"#,
    ];
    // The labels that are shown hold a generated uid.
    created(JOBS, &job(), &rows, expect![[r#"
        {"spec":{"parallelism":-1,"completions":-1,"backoffLimit":-1,"ttlSecondsAfterFinished":-1,"activeDeadlineSeconds":-1}}
          422 Job.batch "j" is invalid: [spec.parallelism: Invalid value: -1: must be greater than or equal to 0, spec.completions: Invalid value: -1: must be greater than or equal to 0, spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0, spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0, spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0]
        {"spec":{"completionMode":"Some"}}
          422 Job.batch "j" is invalid: spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed"
        {"spec":{"completionMode":"Indexed","parallelism":1}}
          422 Job.batch "j" is invalid: spec.completions: Required value: when completion mode is Indexed
        {"spec":{"completionMode":"Indexed","completions":2,"parallelism":100001,"maxFailedIndexes":3}}
          422 Job.batch "j" is invalid: [spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified, spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed, spec.maxFailedIndexes: Invalid value: 3: must be less than or equal to completions]
        {"spec":{"completionMode":"Indexed","completions":100001,"parallelism":10001,"backoffLimitPerIndex":1}}
          422 Job.batch "j" is invalid: [spec.maxFailedIndexes: Required value: must be specified when completions is above 100000, spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index]
        {"spec":{"backoffLimitPerIndex":1,"maxFailedIndexes":1}}
          422 Job.batch "j" is invalid: [spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode, spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode]
        {"spec":{"managedBy":"me"}}
          422 Job.batch "j" is invalid: spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")
        {"spec":{"managedBy":"Bad_/x y"}}
          422 Job.batch "j" is invalid: [spec.managedBy: Invalid value: "Bad_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), spec.managedBy: Invalid value: "x y": Invalid path (e.g. 'acme.io/foo', regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')]
        {"spec":{"selector":{"matchLabels":{"x":"y"}}}}
          422 Job.batch "j" is invalid: [spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"65ace268-5a07-4c6d-b061-6f2f48dce01c","x":"y"}}: `selector` not auto-generated, spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"65ace268-5a07-4c6d-b061-6f2f48dce01c","batch.kubernetes.io/job-name":"j","controller-uid":"65ace268-5a07-4c6d-b061-6f2f48dce01c","job-name":"j"}: `selector` does not match template `labels`]
        {"spec":{"manualSelector":true}}
          422 Job.batch "j" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`]
        {"spec":{"template":{"metadata":{"labels":{"job-name":"other"}}}}}
          422 Job.batch "j" is invalid: spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"8b2e0244-5e4b-40f5-bf8c-59bb003553c1","batch.kubernetes.io/job-name":"j","controller-uid":"8b2e0244-5e4b-40f5-bf8c-59bb003553c1","job-name":"other"}: must be 'j'
        {"spec":{"template":{"spec":{"restartPolicy":"Always"}}}}
          422 Job.batch "j" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"
        {"spec":{"podReplacementPolicy":"Never"}}
          422 Job.batch "j" is invalid: spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"
        {"metadata":{"name":"a-name-of-some-sixty-characters-which-is-too-long-for-an-index"},"spec":{"completionMode":"Indexed","completions":200}}
          422 Job.batch "a-name-of-some-sixty-characters-which-is-too-long-for-an-index" is invalid: metadata.name: Invalid value: "a-name-of-some-sixty-characters-which-is-too-long-for-an-index": will not able to create pod with invalid DNS label: a-name-of-some-sixty-characters-which-is-too-long-for-an-index-199
    "#]]).await;
}

#[tokio::test]
async fn the_policies_of_jobs_are_refused_in_upstreams_words() {
    let failure = |rule: &str| format!(r#"{{"spec":{{"podFailurePolicy":{{"rules":[{rule}]}}}}}}"#);
    let success = |rule: &str| {
        format!(r#"{{"spec":{{"completionMode":"Indexed","completions":5,"successPolicy":{{"rules":[{rule}]}}}}}}"#)
    };
    let rows = [
        failure(r#"{"action":"FailJob"}"#),
        failure(r#"{"action":"","onExitCodes":{"operator":"In","values":[3,1,1,0],"containerName":"x"}}"#),
        failure(r#"{"action":"FailIndex","onExitCodes":{"operator":"","values":[]}}"#),
        failure(
            r#"{"action":"Bury","onPodConditions":[{"type":"a b","status":"Maybe"}],"onExitCodes":{"operator":"Is","values":[1]}}"#,
        ),
        r#"{"spec":{"podFailurePolicy":{"rules":[]},"podReplacementPolicy":"TerminatingOrFailed","template":{"spec":{"restartPolicy":"OnFailure"}}}}"#.to_owned(),
        success("{}"),
        success(r#"{"succeededCount":6,"succeededIndexes":"0-2,2"}"#),
        success(r#"{"succeededCount":3,"succeededIndexes":"0,1"},{"succeededCount":-1}"#),
        success(""),
        r#"{"spec":{"successPolicy":{"rules":[{"succeededCount":1}]}}}"#.to_owned(),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    created(JOBS, &job(), &rows, expect![[r#"
        {"spec":{"podFailurePolicy":{"rules":[{"action":"FailJob"}]}}}
          422 Job.batch "j" is invalid: spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required
        {"spec":{"podFailurePolicy":{"rules":[{"action":"","onExitCodes":{"operator":"In","values":[3,1,1,0],"containerName":"x"}}]}}}
          422 Job.batch "j" is invalid: [spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"], spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template, spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 1, spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Invalid value: 0: must not be 0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,1,1,0]: must be ordered]
        {"spec":{"podFailurePolicy":{"rules":[{"action":"FailIndex","onExitCodes":{"operator":"","values":[]}}]}}}
          422 Job.batch "j" is invalid: [spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set, spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"], spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: null: at least one value is required]
        {"spec":{"podFailurePolicy":{"rules":[{"action":"Bury","onPodConditions":[{"type":"a b","status":"Maybe"}],"onExitCodes":{"operator":"Is","values":[1]}}]}}}
          422 Job.batch "j" is invalid: [spec.podFailurePolicy.rules[0].action: Unsupported value: "Bury": supported values: "Count", "FailIndex", "FailJob", "Ignore", spec.podFailurePolicy.rules[0].onExitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn", spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown", spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported]
        {"spec":{"podFailurePolicy":{"rules":[]},"podReplacementPolicy":"TerminatingOrFailed","template":{"spec":{"restartPolicy":"OnFailure"}}}}
          422 Job.batch "j" is invalid: [spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed", spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified]
        {"spec":{"completionMode":"Indexed","completions":5,"successPolicy":{"rules":[{}]}}}
          422 Job.batch "j" is invalid: spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified
        {"spec":{"completionMode":"Indexed","completions":5,"successPolicy":{"rules":[{"succeededCount":6,"succeededIndexes":"0-2,2"}]}}}
          422 Job.batch "j" is invalid: [spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-2,2": error parsing succeededIndexes: non-increasing order, previous: 2, current: 2, spec.successPolicy.rules[0].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions), spec.successPolicy.rules[0].succeededCount: Invalid value: 6: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)]
        {"spec":{"completionMode":"Indexed","completions":5,"successPolicy":{"rules":[{"succeededCount":3,"succeededIndexes":"0,1"},{"succeededCount":-1}]}}}
          422 Job.batch "j" is invalid: [spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field), spec.successPolicy.rules[1].succeededCount: Invalid value: -1: must be greater than or equal to 0]
        {"spec":{"completionMode":"Indexed","completions":5,"successPolicy":{"rules":[]}}}
          422 Job.batch "j" is invalid: spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified
        {"spec":{"successPolicy":{"rules":[{"succeededCount":1}]}}}
          422 Job.batch "j" is invalid: spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires indexed completion mode
    "#]]).await;
}

#[tokio::test]
async fn jobs_change_little_and_suspended_ones_may_go_elsewhere() {
    let rows = [
        r#"{"spec":{"parallelism":3,"suspend":true,"backoffLimit":1}}"#,
        r#"{"spec":{"completions":3}}"#,
        r#"{"spec":{"completionMode":"Indexed"}}"#,
        r#"{"spec":{"managedBy":"a.io/b"}}"#,
    ];
    changed(
        JOBS,
        job(),
        &rows,
        expect![[r#"
        {"spec":{"parallelism":3,"suspend":true,"backoffLimit":1}}
          200 ok
        {"spec":{"completions":3}}
          422 Job.batch "j" is invalid: spec.completions: Invalid value: 3: field is immutable
        {"spec":{"completionMode":"Indexed"}}
          422 Job.batch "j" is invalid: spec.completionMode: Invalid value: "Indexed": field is immutable
        {"spec":{"managedBy":"a.io/b"}}
          422 Job.batch "j" is invalid: spec.managedBy: Invalid value: "a.io/b": field is immutable
    "#]],
    )
    .await;
    let mut suspended = job();
    suspended["spec"]["suspend"] = json!(true);
    let rows = [
        r#"{"spec":{"template":{"metadata":{"annotations":{"x":"y"}},"spec":{"nodeSelector":{"a":"b"},"schedulingGates":[{"name":"g"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"x","operator":"Exists"}]}]}}}}}}}"#,
    ];
    changed(JOBS, suspended, &rows, expect![[r#"
        {"spec":{"template":{"metadata":{"annotations":{"x":"y"}},"spec":{"nodeSelector":{"a":"b"},"schedulingGates":[{"name":"g"}]}}}}
          200 ok
        {"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"x","operator":"Exists"}]}]}}}}}}}
          200 ok
    "#]]).await;
    let mut indexed = job();
    indexed["spec"]["completionMode"] = json!("Indexed");
    indexed["spec"]["completions"] = json!(2);
    let rows = [r#"{"spec":{"completions":3,"parallelism":3}}"#, r#"{"spec":{"completions":4,"parallelism":3}}"#];
    changed(JOBS, indexed, &rows, expect![[r#"
        {"spec":{"completions":3,"parallelism":3}}
          200 ok
        {"spec":{"completions":4,"parallelism":3}}
          422 Job.batch "j" is invalid: spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism
    "#]]).await;
}

#[tokio::test]
async fn the_status_of_a_job_is_one_that_its_controller_could_have_written() {
    let condition = |kind: &&str| format!(r#"{{"type":"{kind}","status":"True"}}"#);
    let status = |fields: &str| format!(r#"status {{"status":{{{fields}}}}}"#);
    let times = r#""startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z""#;
    let conditions =
        |kinds: &[&str]| format!(r#""conditions":[{}]"#, kinds.iter().map(condition).collect::<Vec<_>>().join(","));
    let rows = [
        status(&format!("{},{times}", conditions(&["SuccessCriteriaMet", "Complete"]))),
        status(&conditions(&["Complete"])),
        status(&format!("{},{times}", conditions(&["Complete", "Failed", "FailureTarget"]))),
        status(&format!("{},{times},\"active\":1,\"terminating\":1", conditions(&["Failed", "FailureTarget"]))),
        status(r#""startTime":"2026-01-01T00:00:00Z","completionTime":"2025-01-01T00:00:00Z""#),
        status(r#""completedIndexes":"0","failedIndexes":"0","ready":1"#),
        status(r#""uncountedTerminatedPods":{"succeeded":["a","","a"],"failed":["a"]}"#),
        status(r#""active":-1,"failed":-1,"succeeded":-1,"terminating":-1"#),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    changed(JOBS, job(), &rows, expect![[r#"
        status {"status":{"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}],"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z"}}
          200 ok
        status {"status":{"conditions":[{"type":"Complete","status":"True"}]}}
          422 Job.batch "j" is invalid: [status.completionTime: Required value: completionTime is required for Complete jobs, status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition, status.startTime: Required value: startTime is required for finished job]
        status {"status":{"conditions":[{"type":"Complete","status":"True"},{"type":"Failed","status":"True"},{"type":"FailureTarget","status":"True"}],"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z"}}
          422 Job.batch "j" is invalid: [status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions, status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions, status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition]
        status {"status":{"conditions":[{"type":"Failed","status":"True"},{"type":"FailureTarget","status":"True"}],"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z","active":1,"terminating":1}}
          422 Job.batch "j" is invalid: [status.completionTime: Invalid value: "2026-01-01T00:01:00Z": cannot set completionTime when there is no Complete=True condition, status.active: Invalid value: 1: active>0 is invalid for finished job, status.terminating: Invalid value: 1: terminating>0 is invalid for finished job]
        status {"status":{"startTime":"2026-01-01T00:00:00Z","completionTime":"2025-01-01T00:00:00Z"}}
          422 Job.batch "j" is invalid: [status.completionTime: Invalid value: "2025-01-01T00:00:00Z": cannot set completionTime when there is no Complete=True condition, status.completionTime: Invalid value: "2025-01-01T00:00:00Z": must be equal to or after `startTime`]
        status {"status":{"completedIndexes":"0","failedIndexes":"0","ready":1}}
          422 Job.batch "j" is invalid: [status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode, status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null, status.failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0, status.ready: Invalid value: 1: cannot set more ready pods than active]
        status {"status":{"uncountedTerminatedPods":{"succeeded":["a","","a"],"failed":["a"]}}}
          422 Job.batch "j" is invalid: [status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty, status.uncountedTerminatedPods.succeeded[2]: Duplicate value: "a", status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"]
        status {"status":{"active":-1,"failed":-1,"succeeded":-1,"terminating":-1}}
          422 Job.batch "j" is invalid: [status.active: Invalid value: -1: must be greater than or equal to 0, status.succeeded: Invalid value: -1: must be greater than or equal to 0, status.failed: Invalid value: -1: must be greater than or equal to 0, status.terminating: Invalid value: -1: must be greater than or equal to 0, status.failed: Invalid value: -1: cannot decrease the failed counter, status.succeeded: Invalid value: -1: cannot decrease the succeeded counter]
    "#]]).await;
    let kit = kit().await;
    kit.create(JOBS, job()).await;
    let done = format!("{},{times},\"succeeded\":1", conditions(&["SuccessCriteriaMet", "Complete"]));
    let mut seen = String::new();
    for row in [status(&done), status(r#""conditions":[],"succeeded":0,"startTime":null"#)] {
        seen += &told(&row, patch(&kit, &format!("{JOBS}/j"), &row, "").await);
    }
    expect![[r#"
        status {"status":{"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}],"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z","succeeded":1}}
          200 ok
        status {"status":{"conditions":[],"succeeded":0,"startTime":null}}
          422 Job.batch "j" is invalid: [status.completionTime: Invalid value: "2026-01-01T00:01:00Z": cannot set completionTime when there is no Complete=True condition, status.conditions: Invalid value: cannot disable the terminal Complete=True condition, status.succeeded: Invalid value: 0: cannot decrease the succeeded counter, status.startTime: Required value: startTime cannot be removed for unsuspended job, status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition]
    "#]].assert_eq(&seen);
}

#[tokio::test]
async fn cron_jobs_are_refused_in_upstreams_words() {
    let rows = [
        r#"{"spec":{"schedule":""}}"#,
        r#"{"spec":{"schedule":"61 * * *"}}"#,
        r#"{"spec":{"schedule":"TZ=UTC 0 0 * * *"}}"#,
        r#"{"spec":{"timeZone":""}}"#,
        r#"{"spec":{"timeZone":"Local"}}"#,
        r#"{"spec":{"timeZone":"Europe/InvalidRome"}}"#,
        r#"{"spec":{"timeZone":"Europe/Rome "}}"#,
        r#"{"spec":{"timeZone":"Europe/Rome"}}"#,
        r#"{"spec":{"concurrencyPolicy":"Maybe","startingDeadlineSeconds":-1,"successfulJobsHistoryLimit":-1,"failedJobsHistoryLimit":-1}}"#,
        r#"{"spec":{"jobTemplate":{"spec":{"manualSelector":true,"selector":{"matchLabels":{"a":"b"}},"parallelism":-1}}}}"#,
        r#"{"metadata":{"name":"a-name-of-fifty-three-characters-is-too-long-for-this"}}"#,
    ];
    created(CRON_JOBS, &cron_job(), &rows, expect![[r#"
        {"spec":{"schedule":""}}
          422 CronJob.batch "j" is invalid: spec.schedule: Required value
        {"spec":{"schedule":"61 * * *"}}
          422 CronJob.batch "j" is invalid: spec.schedule: Invalid value: "61 * * *": expected exactly 5 fields, found 4: [61 * * *]
        {"spec":{"schedule":"TZ=UTC 0 0 * * *"}}
          422 CronJob.batch "j" is invalid: spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead
        {"spec":{"timeZone":""}}
          422 CronJob.batch "j" is invalid: spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string
        {"spec":{"timeZone":"Local"}}
          422 CronJob.batch "j" is invalid: spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones
        {"spec":{"timeZone":"Europe/InvalidRome"}}
          422 CronJob.batch "j" is invalid: spec.timeZone: Invalid value: "Europe/InvalidRome": unknown time zone Europe/InvalidRome
        {"spec":{"timeZone":"Europe/Rome "}}
          422 CronJob.batch "j" is invalid: spec.timeZone: Invalid value: "Europe/Rome ": unknown time zone Europe/Rome 
        {"spec":{"timeZone":"Europe/Rome"}}
          201 ok
        {"spec":{"concurrencyPolicy":"Maybe","startingDeadlineSeconds":-1,"successfulJobsHistoryLimit":-1,"failedJobsHistoryLimit":-1}}
          422 CronJob.batch "j" is invalid: [spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0, spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace", spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0, spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0]
        {"spec":{"jobTemplate":{"spec":{"manualSelector":true,"selector":{"matchLabels":{"a":"b"}},"parallelism":-1}}}}
          422 CronJob.batch "j" is invalid: [spec.jobTemplate.spec.parallelism: Invalid value: -1: must be greater than or equal to 0, spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated, spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"]
        {"metadata":{"name":"a-name-of-fifty-three-characters-is-too-long-for-this"}}
          422 CronJob.batch "a-name-of-fifty-three-characters-is-too-long-for-this" is invalid: metadata.name: Invalid value: "a-name-of-fifty-three-characters-is-too-long-for-this": must be no more than 52 characters
    "#]]).await;
    let rows = [r#"{"spec":{"schedule":"CRON_TZ=UTC 0 0 * * *"}}"#, r#"{"spec":{"timeZone":"UTC"}}"#];
    changed(CRON_JOBS, cron_job(), &rows, expect![[r#"
        {"spec":{"schedule":"CRON_TZ=UTC 0 0 * * *"}}
          422 CronJob.batch "j" is invalid: spec.schedule: Invalid value: "CRON_TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead
        {"spec":{"timeZone":"UTC"}}
          200 ok
    "#]]).await;
}
