//! Tables of plans: a pod and what was observed, in short; the steps that follow.

use cri::v1;
use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};

use super::{FailedProbe, Health, Input, plan};
use crate::crash::Waits;
use crate::observed::{Observed, Seen};
use crate::pod::label;
use crate::testing::pod;

const NOW: i64 = 1_000_000;

/// `c running`, `c exited 1 attempt 2`, each in sandbox `s1` unless `in s0` is said. Newest first.
fn seen(text: &str, at: usize) -> Seen {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|i| words.get(i + 1)).copied();
    let (state, code) = match words[1] {
        "running" => (v1::ContainerState::ContainerRunning, 0),
        "created" => (v1::ContainerState::ContainerCreated, 0),
        _ => (v1::ContainerState::ContainerExited, words[2].parse().unwrap()),
    };
    let attempt: u32 = after("attempt").map_or(0, |n| n.parse().unwrap());
    let mut annotations: std::collections::BTreeMap<_, _> =
        [(label::RESTART_COUNT.to_owned(), attempt.to_string())].into();
    if let Some(hash) = after("hash") {
        annotations.insert(label::CONTAINER_HASH.to_owned(), hash.to_owned());
    }
    let status = v1::ContainerStatus {
        id: format!("{}-{attempt}", words[0]),
        metadata: Some(v1::ContainerMetadata { name: words[0].to_owned(), attempt }),
        state: state as i32,
        created_at: i64::try_from(1000 - at).unwrap(),
        finished_at: (NOW - 1) * 1_000_000_000,
        exit_code: code,
        annotations,
        ..v1::ContainerStatus::default()
    };
    Seen { sandbox: after("in").unwrap_or("s1").to_owned(), status }
}

fn sandbox(id: &str, ready: bool, attempt: u32) -> v1::PodSandboxStatus {
    let state = if ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready };
    v1::PodSandboxStatus {
        id: id.to_owned(),
        metadata: Some(v1::PodSandboxMetadata { attempt, ..v1::PodSandboxMetadata::default() }),
        state: state as i32,
        network: Some(v1::PodSandboxNetworkStatus { ip: "10.0.0.9".to_owned(), additional_ips: Vec::new() }),
        ..v1::PodSandboxStatus::default()
    }
}

/// A pod of `a`, `b` with init `i`, `j` and sidecar `s` as the spec text names them.
struct Case {
    spec: &'static str,
    /// `ready`, `dead` or `none`.
    sandbox: &'static str,
    containers: &'static [&'static str],
    crashes: u32,
    unhealthy: &'static [(&'static str, FailedProbe)],
}

const AB: &str = r#""containers": [{"name": "a"}, {"name": "b"}]"#;
const INIT: &str = r#""initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}], "containers": [{"name": "a"}]"#;

fn case(spec: &'static str, sandbox: &'static str, containers: &'static [&'static str]) -> Case {
    Case { spec, sandbox, containers, crashes: 0, unhealthy: &[] }
}

fn check(case: &Case, expected: Expect) {
    let pod =
        pod(&format!(r#"{{"metadata": {{"name": "p", "namespace": "n", "uid": "u"}}, "spec": {{{}}}}}"#, case.spec));
    let observed = Observed {
        sandboxes: match case.sandbox {
            "ready" => vec![sandbox("s1", true, 1)],
            "dead" => vec![sandbox("s1", false, 1)],
            _ => Vec::new(),
        },
        containers: case.containers.iter().enumerate().map(|(at, text)| seen(text, at)).collect(),
    };
    let now = Timestamp::from_second(NOW).unwrap();
    let mut crash = Waits::default();
    for _ in 0..case.crashes {
        crash.next("a", now - SignedDuration::from_secs(2), now - SignedDuration::from_secs(2));
    }
    let failed = case.unhealthy.iter().map(|(id, probe)| ((*id).to_owned(), *probe)).collect();
    let health = Health { failed, ..Health::default() };
    let held = std::collections::BTreeMap::new();
    let plan = plan(&Input { pod: &pod, observed: &observed, health: &health, crash: &crash, held: &held, now });
    let mut lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    lines.extend(plan.waiting.iter().map(|(name, (reason, message))| format!("{name} waits: {reason}: {message}")));
    lines.extend(plan.wake_at.map(|at| format!("look again in {}s", at.duration_since(now).as_secs())));
    lines.extend(plan.done.then(|| "done".to_owned()));
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_new_pod_gets_a_sandbox_then_its_containers() {
    check(&case(AB, "none", &[]), expect!["create sandbox 0"]);
    check(
        &case(AB, "ready", &[]),
        expect![[r#"
        start App a 0
        start App b 0"#]],
    );
    check(&case(AB, "ready", &["a running"]), expect!["start App b 0"]);
    check(&case(AB, "ready", &["a running", "b running"]), expect![""]);
}

#[test]
fn a_dead_sandbox_is_replaced_unless_nothing_may_run_again() {
    check(
        &case(AB, "dead", &["a exited 137", "b exited 137"]),
        expect![[r#"
        clear pod
        create sandbox 2"#]],
    );
    check(
        &case(r#""restartPolicy": "Never", "containers": [{"name": "a"}]"#, "dead", &["a exited 137"]),
        expect!["done"],
    );
    check(
        &case(r#""restartPolicy": "OnFailure", "containers": [{"name": "a"}]"#, "dead", &["a exited 0"]),
        expect!["done"],
    );
}

#[test]
fn what_ended_is_restarted_by_its_policy_after_its_wait() {
    check(&case(AB, "ready", &["a exited 0", "b running"]), expect!["start App a 1"]);
    check(
        &Case { crashes: 2, ..case(AB, "ready", &["a exited 1 attempt 4", "b running"]) },
        expect![[r#"
        a waits: CrashLoopBackOff: back-off 20s restarting failed container=a pod=p_n(u)
        look again in 19s"#]],
    );
    check(
        &case(r#""restartPolicy": "OnFailure", "containers": [{"name": "a"}]"#, "ready", &["a exited 1"]),
        expect!["start App a 1"],
    );
    check(
        &case(r#""restartPolicy": "Never", "containers": [{"name": "a"}]"#, "ready", &["a exited 1"]),
        expect!["done"],
    );
}

#[test]
fn init_containers_go_one_by_one_and_sidecars_stay() {
    check(&case(INIT, "ready", &[]), expect!["start Init i 0"]);
    check(&case(INIT, "ready", &["i running"]), expect![""]);
    check(&case(INIT, "ready", &["i exited 0"]), expect!["start Sidecar s 0"]);
    check(&case(INIT, "ready", &["s running", "i exited 0"]), expect!["start Init j 0"]);
    check(&case(INIT, "ready", &["j exited 0", "s running", "i exited 0"]), expect!["start App a 0"]);
    check(&case(INIT, "ready", &["a running", "j exited 0", "s exited 3", "i exited 0"]), expect!["start Sidecar s 1"]);
    check(&case(INIT, "ready", &["i exited 2"]), expect!["start Init i 1"]);
    check(
        &case(
            r#""restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]"#,
            "ready",
            &["i exited 2"],
        ),
        expect!["done"],
    );
    // A new sandbox runs them anew.
    check(&case(INIT, "ready", &["i exited 0 in s0", "a exited 137 in s0"]), expect!["start Init i 1"]);
}

#[test]
fn unhealthy_and_changed_containers_are_stopped() {
    let unhealthy =
        Case { unhealthy: &[("a-0", FailedProbe::Liveness)], ..case(AB, "ready", &["a running", "b running"]) };
    check(&unhealthy, expect!["stop a: Container a failed liveness probe, will be restarted"]);
    check(
        &case(AB, "ready", &["a running hash 00", "b running"]),
        expect!["stop a: Container a definition changed, will be restarted"],
    );
}

#[test]
fn of_the_dead_the_last_two_are_kept() {
    let dead = ["a running attempt 3", "a exited 1 attempt 2", "a exited 1 attempt 1", "a exited 1", "b running"];
    check(
        &Case { containers: Box::leak(Box::new(dead)), ..case(AB, "ready", &[]) },
        expect![[r#"
        remove a-1
        remove a-0"#]],
    );
}
