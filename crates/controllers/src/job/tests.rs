//! Jobs with their pods as YAML, and the plans made of them.

use expect_test::{Expect, expect};

use super::JobController;
use crate::testing::plan;

/// A Job with these lines in its spec.
fn job(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: sum, namespace: shop, generation: 1}}
spec:
  {}
  selector: {{matchLabels: {{job: sum}}}}
  template:
    metadata: {{labels: {{job: sum}}}}
    spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}
status: {{{status}}}",
        spec.replace("; ", "\n  ")
    )
}

const BASE: &str = "startTime: '2026-01-01T11:00:00Z', ready: 0, terminating: 0, uncountedTerminatedPods: {}";
const OWNED: &str = "ownerReferences: [{apiVersion: batch/v1, kind: Job, name: sum, uid: uid-sum, controller: true}]";
const TRACKED: &str = "finalizers: [batch.kubernetes.io/job-tracking]";

fn pod(name: &str, meta: &str, status: &str) -> String {
    format!(
        "\n---\napiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{job: sum}}, {OWNED}, {meta}}}
spec: {{nodeName: n1}}
status: {status}"
    )
}

fn indexed(name: &str, index: u8, more: &str, status: &str) -> String {
    let annotations = format!("annotations: {{batch.kubernetes.io/job-completion-index: '{index}'{more}}}");
    pod(name, &format!("{TRACKED}, {annotations}"), status)
}

/// A container that ended at `minute` of the hour before with this exit code.
fn ended(phase: &str, code: u8, minute: u8) -> String {
    format!(
        "{{phase: {phase}, containerStatuses: [{{name: c, state: {{terminated: {{exitCode: {code}, finishedAt: \
         '2026-01-01T11:{minute:02}:00Z'}}}}}}]}}"
    )
}

const RUNNING: &str = "{phase: Running, conditions: [{type: Ready, status: 'True'}]}";
const SIMPLE: &str = "parallelism: 2; completions: 3; backoffLimit: 6";

/// The plan; of a created pod only its metadata.
fn check(yaml: &str, expected: Expect) {
    let text = plan(&JobController, yaml, "shop/sum");
    let lines = text.lines().filter(|line| !line.contains("SuccessfulCreate") && !line.contains("FailedCreate"));
    let lines = lines.filter(|line| !line.contains("SuccessfulDelete") && !line.contains("FailedDelete"));
    let short = lines.map(|line| line.split(r#","ownerReferences""#).next().unwrap_or(line).to_owned() + "\n");
    expected.assert_eq(&short.collect::<String>());
}

#[test]
fn a_new_job_starts_as_many_pods_as_run_side_by_side() {
    expect![[r#"
        update jobs.batch shop/sum status
          status.ready: null -> 0
          status.startTime: null -> "2026-01-01T12:00:00Z"
          status.terminating: null -> 0
          status.uncountedTerminatedPods: null -> {}
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"},"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"uid-sum"}]},"spec":{"containers":[{"image":"i","name":"c"}],"restartPolicy":"Never"}}
          then SuccessfulCreate: Created pod: {name}
          else Warning FailedCreate: Error creating: {error}
    "#]].assert_eq(&plan(
        &JobController,
        &job("parallelism: 1; completions: 3; backoffLimit: 6", ""),
        "shop/sum",
    ));
}

#[test]
fn a_pod_that_succeeded_is_counted_in_three_writes() {
    let running = pod("b", TRACKED, RUNNING);
    let done = ended("Succeeded", 0, 30);
    let active = BASE.replace("ready: 0", "ready: 1, active: 1");
    // Its uid goes to the status before its finalizer goes, and a successor comes.
    check(
        &(job(SIMPLE, &active) + &pod("a", TRACKED, &done) + &running),
        expect![[r#"
        update jobs.batch shop/sum status
          status.uncountedTerminatedPods.succeeded: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"}
    "#]],
    );
    // The finalizer is gone: to the counters.
    let waiting = active.replace("Pods: {}", "Pods: {succeeded: [uid-a]}");
    let two = running.clone() + &pod("c", TRACKED, RUNNING);
    check(
        &(job(SIMPLE, &waiting) + &pod("a", "", &done) + &two),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: 1 -> 2
          status.ready: 1 -> 2
          status.succeeded: null -> 1
          status.uncountedTerminatedPods.succeeded: ["uid-a"] -> null
    "#]],
    );
    // It was counted: nothing more is done about it.
    let counted = BASE.replace("ready: 0", "ready: 2, active: 2, succeeded: 1");
    check(
        &(job(SIMPLE, &counted) + &pod("a", "", &done) + &two),
        expect![[r#"
        nothing
    "#]],
    );
}

#[test]
fn a_job_is_complete_when_all_pods_have_ended_and_are_counted() {
    let spec = "parallelism: 1; completions: 1; backoffLimit: 6";
    check(
        &(job(spec, BASE) + &pod("a", TRACKED, &ended("Succeeded", 0, 30))),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"}]
          status.uncountedTerminatedPods.succeeded: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
    "#]],
    );
    let met = "conditions: [{type: SuccessCriteriaMet, status: 'True', reason: CompletionsReached, message: Reached expected number of succeeded pods}]";
    let waiting = BASE.replace("Pods: {}", "Pods: {succeeded: [uid-a]}") + ", " + met;
    check(
        &(job(spec, &waiting) + &pod("a", "", &ended("Succeeded", 0, 30))),
        expect![[r#"
        update jobs.batch shop/sum status
          status.completionTime: null -> "2026-01-01T12:00:00Z"
          status.conditions: [{"message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"}] -> [{"message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"Complete"}]
          status.succeeded: null -> 1
          status.uncountedTerminatedPods.succeeded: ["uid-a"] -> null
          then Completed: Job completed
    "#]],
    );
    let complete = "succeeded: 1, conditions: [{type: Complete, status: 'True'}]";
    check(
        &(job(spec, complete) + &pod("a", "", &ended("Succeeded", 0, 30))),
        expect![[r#"
        nothing
    "#]],
    );
}

#[test]
fn after_failures_the_next_pod_comes_after_a_pause() {
    let spec = "parallelism: 1; completions: 1; backoffLimit: 6";
    let failed = BASE.to_owned() + ", failed: 2";
    let pods = pod("a", "", &ended("Failed", 1, 10)) + &pod("b", "", &ended("Failed", 1, 59).replace("59:00", "59:50"));
    check(
        &(job(spec, &failed) + &pods),
        expect![[r#"
        wake at 2026-01-01T12:00:10Z
    "#]],
    );
}

#[test]
fn a_job_fails_beyond_its_backoff_limit_and_ends_its_other_pods() {
    let spec = "parallelism: 2; completions: 3; backoffLimit: 0";
    let pods = pod("a", TRACKED, &ended("Failed", 1, 30)) + &pod("b", TRACKED, RUNNING);
    check(
        &(job(spec, BASE) + &pods),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}]
          status.ready: 0 -> 1
          status.uncountedTerminatedPods.failed: null -> ["uid-a","uid-b"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
        patch pods shop/b {"metadata":{"finalizers":[]}}
        delete pods shop/b
    "#]],
    );
    let target = "conditions: [{type: FailureTarget, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]";
    let waiting = BASE.replace("Pods: {}", "Pods: {failed: [uid-a, uid-b]}") + ", " + target;
    check(
        &(job(spec, &waiting) + &pod("a", "", &ended("Failed", 1, 30))),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: [{"message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}] -> [{"message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"Failed"}]
          status.failed: null -> 2
          status.uncountedTerminatedPods.failed: ["uid-a","uid-b"] -> null
          then Warning BackoffLimitExceeded: Job has reached the specified backoff limit
    "#]],
    );
}

#[test]
fn restarts_in_place_count_against_the_limit() {
    let spec = "parallelism: 1; completions: 1; backoffLimit: 2";
    let restarted = "{phase: Running, containerStatuses: [{name: c, restartCount: 2, state: {running: {}}}]}";
    let yaml =
        job(spec, BASE).replace("restartPolicy: Never", "restartPolicy: OnFailure") + &pod("a", TRACKED, restarted);
    check(
        &yaml,
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}]
          status.uncountedTerminatedPods.failed: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
        delete pods shop/a
    "#]],
    );
}

#[test]
fn a_job_fails_at_its_deadline() {
    let late = "activeDeadlineSeconds: 3600; parallelism: 1; completions: 1; backoffLimit: 6";
    check(
        &job(late, BASE),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job was active longer than specified deadline","reason":"DeadlineExceeded","status":"True","type":"FailureTarget"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job was active longer than specified deadline","reason":"DeadlineExceeded","status":"True","type":"Failed"}]
          then Warning DeadlineExceeded: Job was active longer than specified deadline
    "#]],
    );
    let active = BASE.replace("ready: 0", "ready: 1, active: 1");
    check(
        &(job(&late.replace("3600", "4000"), &active) + &pod("a", TRACKED, RUNNING)),
        expect![[r#"
        wake at 2026-01-01T12:06:40Z
    "#]],
    );
}

#[test]
fn a_suspended_job_has_no_pods_and_starts_anew_when_it_goes_on() {
    let suspended = format!("suspend: true; {SIMPLE}");
    check(
        &(job(&suspended, BASE) + &pod("a", TRACKED, RUNNING)),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}]
          status.ready: 0 -> 1
          then Suspended: Job suspended
        patch pods shop/a {"metadata":{"finalizers":[]}}
        delete pods shop/a
    "#]],
    );
    let shown = BASE.to_owned()
        + ", conditions: [{type: Suspended, status: 'True', reason: JobSuspended, message: Job suspended}]";
    check(
        &job("parallelism: 1; completions: 1; backoffLimit: 6", &shown),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: [{"message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}] -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job resumed","reason":"JobResumed","status":"False","type":"Suspended"}]
          status.startTime: "2026-01-01T11:00:00Z" -> "2026-01-01T12:00:00Z"
          then Resumed: Job resumed
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"}
    "#]],
    );
}

#[test]
fn pods_that_are_too_many_go_uncounted() {
    let active = BASE.replace("ready: 0", "ready: 2, active: 2");
    let pods = pod("a", TRACKED, RUNNING) + &pod("b", TRACKED, RUNNING);
    check(
        &(job("parallelism: 1; completions: 3; backoffLimit: 6", &active) + &pods),
        expect![[r#"
        patch pods shop/a {"metadata":{"finalizers":[]}}
        delete pods shop/a
    "#]],
    );
}

#[test]
fn a_pod_that_is_deleted_is_replaced_at_once_or_when_it_has_ended() {
    let spec = "parallelism: 1; completions: 1; backoffLimit: 6";
    let going = pod("a", &format!("{TRACKED}, deletionTimestamp: '2026-01-01T11:59:00Z'"), "{phase: Running}");
    check(
        &(job(spec, BASE) + &going),
        expect![[r#"
        update jobs.batch shop/sum status
          status.terminating: 0 -> 1
          status.uncountedTerminatedPods.failed: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"}
    "#]],
    );
    check(
        &(job(&format!("podReplacementPolicy: Failed; {spec}"), BASE) + &going),
        expect![[r#"
        update jobs.batch shop/sum status
          status.terminating: 0 -> 1
    "#]],
    );
}

#[test]
fn indexed_pods_know_their_index_and_missing_ones_come() {
    let spec = "completionMode: Indexed; parallelism: 2; completions: 4; backoffLimit: 6";
    let pods =
        indexed("a", 0, "", &ended("Succeeded", 0, 30)) + &indexed("b", 1, "", RUNNING) + &indexed("c", 1, "", RUNNING);
    check(
        &(job(spec, BASE) + &pods),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 2
          status.completedIndexes: null -> "0"
          status.ready: 0 -> 2
          status.succeeded: null -> 1
        patch pods shop/a {"metadata":{"finalizers":[]}}
        patch pods shop/c {"metadata":{"finalizers":[]}}
        delete pods shop/c
    "#]],
    );
    let yaml = job("completionMode: Indexed; parallelism: 1; completions: 1; backoffLimit: 6", "");
    expect![[r#"
        pods in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"0"},"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-0-","labels":{"batch.kubernetes.io/job-completion-index":"0","job":"sum"},"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"uid-sum"}]},"spec":{"containers":[{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['batch.kubernetes.io/job-completion-index']"}}}],"image":"i","name":"c"}],"hostname":"sum-0","restartPolicy":"Never"}}
          then SuccessfulCreate: Created pod: {name}
          else Warning FailedCreate: Error creating: {error}
    "#]].assert_eq(plan(&JobController, &yaml, "shop/sum").split("create ").nth(1).unwrap());
}

#[test]
fn an_index_fails_alone_where_it_has_a_limit_of_its_own() {
    let spec = "completionMode: Indexed; parallelism: 2; completions: 2; backoffLimit: 100; backoffLimitPerIndex: 1";
    let count = |n: u8| format!(", batch.kubernetes.io/job-index-failure-count: '{n}'");
    let running = indexed("b", 1, &count(0), RUNNING);
    // The first failure: the next pod of the index carries the count; the failed one waits for it.
    check(
        &(job(spec, BASE) + &indexed("a", 0, &count(0), &ended("Failed", 1, 30)) + &running),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.failedIndexes: null -> ""
          status.ready: 0 -> 1
        create pods in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"0","batch.kubernetes.io/job-index-failure-count":"1"},"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-0-","labels":{"batch.kubernetes.io/job-completion-index":"0","job":"sum"}
    "#]],
    );
    // The second: the index has failed, and the job goes on with the other.
    check(
        &(job(spec, BASE) + &indexed("a", 0, &count(1), &ended("Failed", 1, 30)) + &running),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.failedIndexes: null -> "0"
          status.ready: 0 -> 1
          status.uncountedTerminatedPods.failed: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
    "#]],
    );
    // The other is done: the job has failed indexes.
    let most = BASE.to_owned() + ", failed: 2, failedIndexes: '0', completedIndexes: '1', succeeded: 1";
    check(
        &job(spec, &most),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has failed indexes","reason":"FailedIndexes","status":"True","type":"FailureTarget"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has failed indexes","reason":"FailedIndexes","status":"True","type":"Failed"}]
          then Warning FailedIndexes: Job has failed indexes
    "#]],
    );
}

#[test]
fn the_first_rule_that_a_failed_pod_matches_decides_about_it() {
    let rule = |rule: &str| format!("podFailurePolicy: {{rules: [{rule}]}}; {SIMPLE}");
    let failed = pod("a", TRACKED, &ended("Failed", 42, 59));
    let codes = "onExitCodes: {operator: In, values: [42]}";
    check(
        &(job(&rule(&format!("{{action: FailJob, {codes}}}")), BASE) + &failed),
        expect![[r#"
        update jobs.batch shop/sum status
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Container c for pod shop/a failed with exit code 42 matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}]
          status.uncountedTerminatedPods.failed: null -> ["uid-a"]
        patch pods shop/a {"metadata":{"finalizers":[]}}
    "#]],
    );
    check(
        &(job(&rule(&format!("{{action: Ignore, {codes}}}")), BASE) + &failed),
        expect![[r#"
        patch pods shop/a {"metadata":{"finalizers":[]}}
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"}
        create pods in "shop": {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"}
    "#]],
    );
    let evicted = pod("a", TRACKED, "{phase: Failed, conditions: [{type: DisruptionTarget, status: 'True'}]}");
    check(
        &(job(&rule("{action: FailJob, onPodConditions: [{type: DisruptionTarget}]}"), BASE) + &evicted),
        expect![[r#"
            update jobs.batch shop/sum status
              status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Pod shop/a has condition DisruptionTarget matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}]
              status.uncountedTerminatedPods.failed: null -> ["uid-a"]
            patch pods shop/a {"metadata":{"finalizers":[]}}
        "#]],
    );
}

#[test]
fn a_success_policy_ends_the_job_early() {
    let spec = "completionMode: Indexed; parallelism: 2; completions: 2; backoffLimit: 6; successPolicy: {rules: [{succeededIndexes: '0'}]}";
    let pods = indexed("a", 0, "", &ended("Succeeded", 0, 30)) + &indexed("b", 1, "", RUNNING);
    check(
        &(job(spec, BASE) + &pods),
        expect![[r#"
        update jobs.batch shop/sum status
          status.active: null -> 1
          status.completedIndexes: null -> "0"
          status.conditions: null -> [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Matched rules at index 0","reason":"SuccessPolicy","status":"True","type":"SuccessCriteriaMet"}]
          status.ready: 0 -> 1
          status.succeeded: null -> 1
        patch pods shop/a {"metadata":{"finalizers":[]}}
        patch pods shop/b {"metadata":{"finalizers":[]}}
        delete pods shop/b
    "#]],
    );
}

#[test]
fn a_job_of_another_controller_is_left_alone() {
    check(
        &job(&format!("managedBy: example.com/queue; {SIMPLE}"), ""),
        expect![[r#"
        nothing
    "#]],
    );
}

#[test]
fn pods_of_a_job_that_is_gone_lose_their_finalizer() {
    check(
        pod("a", TRACKED, RUNNING).trim_start_matches("\n---\n"),
        expect![[r#"
        patch pods shop/a {"metadata":{"finalizers":[]}}
    "#]],
    );
}
