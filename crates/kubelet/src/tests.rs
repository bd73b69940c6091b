//! The whole kubelet on the fake runtime, in paused time: what a user of kubectl would see.

use std::sync::Arc;
use std::time::Duration;

use cri::fake::{Behaviour, FakeRuntime, Pull, Run};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::testing::{FakeApi, Stage, TempDir, TokioClock};
use crate::{Config, Deps, Kubelet};

const NODE: &str = "n1";

struct World {
    api: Arc<FakeApi>,
    runtime: FakeRuntime,
    clock: Arc<TokioClock>,
    dir: TempDir,
    kubelet: Option<AbortOnDropHandle<()>>,
}

impl World {
    fn new(name: &str) -> Self {
        let clock = TokioClock::new();
        let runtime = FakeRuntime::new(clock.clone());
        runtime.serve_every_image();
        let mut world = Self { api: FakeApi::new(), runtime, clock, dir: TempDir::new(name), kubelet: None };
        world.start_kubelet();
        world
    }

    fn start_kubelet(&mut self) {
        let mut config = Config::new(NODE, "10.0.0.1");
        config.root = self.dir.0.join("kubelet");
        config.logs = self.dir.0.join("logs");
        config.manifests = Some(self.dir.0.clone());
        let deps = Deps {
            runtime: Arc::new(self.runtime.clone()),
            transport: self.api.clone(),
            clock: self.clock.clone(),
            rng: stdx::Rng::seeded(1),
            cgroups: Arc::new(Stage),
            mounts: Arc::new(Stage),
            machine: Arc::new(Stage),
        };
        self.kubelet = None;
        let kubelet = Kubelet::new(config, deps).unwrap();
        self.kubelet = Some(AbortOnDropHandle::new(tokio::spawn(kubelet.run())));
    }

    fn pod(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!(NODE);
        for container in spec["containers"].as_array_mut().unwrap() {
            container["imagePullPolicy"] = json!("IfNotPresent");
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "d", "uid": format!("uid-{name}")}, "spec": spec});
        self.api.put(&path(name), pod);
    }

    fn delete(&self, name: &str, grace: i64) {
        let mut pod = self.api.get(&path(name)).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.api.put(&path(name), pod);
    }

    async fn until(&self, name: &str, wanted: &str) {
        self.api.until(&path(name), |pod| pod.is_some_and(|pod| describe(pod).contains(wanted))).await;
    }

    async fn until_gone(&self, name: &str) {
        self.api.until(&path(name), |pod| pod.is_none()).await;
    }

    /// Waits, in paused time, for what is under way to settle.
    async fn settle(&self, secs: u64) {
        tokio::time::sleep(Duration::from_secs(secs)).await;
    }

    fn check(&self, name: &str, expected: Expect) {
        let pod = self.api.get(&path(name)).unwrap();
        expected.assert_eq(&describe(&pod));
    }

    fn check_events(&self, name: &str, expected: Expect) {
        expected.assert_eq(&(self.api.events(name).join("\n") + "\n"));
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/d/pods/{name}")
}

/// A pod's status as kubectl's columns would tell it, and its containers.
fn describe(pod: &Value) -> String {
    let status = &pod["status"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let condition = |kind: &str| {
        let found = status["conditions"].as_array().and_then(|list| list.iter().find(|c| c["type"] == kind).cloned());
        found.map_or("-".to_owned(), |c| text(&c["status"]))
    };
    let mut lines = format!(
        "{} ip={} Ready={} Initialized={}\n",
        text(&status["phase"]),
        text(&status["podIP"]),
        condition("Ready"),
        condition("Initialized")
    );
    if status["reason"].is_string() {
        lines += &format!("{}: {}\n", text(&status["reason"]), text(&status["message"]));
    }
    for list in ["initContainerStatuses", "containerStatuses"] {
        for c in status[list].as_array().into_iter().flatten() {
            let state = |state: &Value| {
                if let Some(w) = state.get("waiting") {
                    return format!("{} {}", text(&w["reason"]), w["message"].as_str().unwrap_or_default());
                }
                if let Some(t) = state.get("terminated") {
                    return format!("{}({})", text(&t["reason"]), t["exitCode"]);
                }
                if state.get("running").is_some() { "running".to_owned() } else { "-".to_owned() }
            };
            lines += &format!(
                "  {} {} ready={} restarts={} last={}\n",
                text(&c["name"]),
                state(&c["state"]),
                c["ready"],
                c["restartCount"],
                state(&c["lastState"])
            );
        }
    }
    lines
}

fn one(image: &str) -> Value {
    json!({"containers": [{"name": "c", "image": image}]})
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_started_told_ready_and_deleted_when_its_containers_are_gone() {
    let world = World::new("life");
    world.pod("p", one("nginx"));
    world.until("p", "Ready=True").await;
    world.check(
        "p",
        expect![[r#"
            Running ip=10.88.0.2 Ready=True Initialized=True
              c running ready=true restarts=0 last=-
        "#]],
    );
    world.delete("p", 30);
    world.until_gone("p").await;
    world.settle(1).await;
    world.check_events(
        "p",
        expect![[r#"
        Pulling: Pulling image "nginx"
        Pulled: Successfully pulled image "nginx" in 0ms (0ms including waiting). Image size: 1048576 bytes.
        Created: Container created
        Started: Container started
        Killing: Stopping container c
    "#]],
    );
    assert!(!world.dir.0.join("kubelet/pods/uid-p").exists());
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_restarted_with_growing_waits() {
    let world = World::new("crash");
    world.runtime.script("crash", Behaviour::of(vec![Run::exits(Duration::from_secs(1), 2)]));
    world.pod("p", one("crash"));
    world.until("p", "back-off 20s").await;
    world.check("p", expect![[r#"
        Running ip=10.88.0.2 Ready=False Initialized=True
          c CrashLoopBackOff back-off 20s restarting failed container=c pod=p_d(uid-p) ready=false restarts=2 last=Error(2)
    "#]]);
    world.check_events(
        "p",
        expect![[r#"
        Pulling: Pulling image "crash"
        Pulled: Successfully pulled image "crash" in 0ms (0ms including waiting). Image size: 1048576 bytes.
        Pulled: Container image "crash" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        BackOff: Back-off restarting failed container c in pod p_d(uid-p)
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_names_image_and_cause() {
    let world = World::new("pull");
    let fails = Pull::Fails { after: Duration::ZERO, message: "docker.io/library/none:1: not found".to_owned() };
    world.runtime.set_pull("none:1", fails);
    world.pod("p", one("none:1"));
    world.until("p", "ErrImagePull").await;
    world.check("p", expect![[r#"
        Pending ip=10.88.0.2 Ready=False Initialized=True
          c ErrImagePull rpc error: code = NotFound desc = docker.io/library/none:1: not found ready=false restarts=0 last=-
    "#]]);
    world.until("p", "ImagePullBackOff").await;
    world.check("p", expect![[r#"
        Pending ip=10.88.0.2 Ready=False Initialized=True
          c ImagePullBackOff Back-off pulling image "none:1": ErrImagePull: rpc error: code = NotFound desc = docker.io/library/none:1: not found ready=false restarts=0 last=-
    "#]]);
    world.runtime.set_pull("none:1", Pull::Succeeds { after: Duration::from_secs(1), size: 7 });
    world.until("p", "Ready=True").await;
    world.check_events(
        "p",
        expect![[r#"
        Failed: Failed to pull image "none:1": rpc error: code = NotFound desc = docker.io/library/none:1: not found
        Failed: Error: ErrImagePull
        BackOff: Back-off pulling image "none:1"
        Failed: Error: ImagePullBackOff
        Pulling: Pulling image "none:1"
        Pulled: Successfully pulled image "none:1" in 1s (1s including waiting). Image size: 7 bytes.
        Created: Container created
        Started: Container started
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_one_after_another_before_the_others() {
    let world = World::new("init");
    world.runtime.script("short", Behaviour::of(vec![Run::exits(Duration::from_secs(5), 0)]));
    let mut spec = one("nginx");
    spec["initContainers"] = json!([{"name": "i1", "image": "short"}, {"name": "s", "image": "nginx", "restartPolicy": "Always"},
        {"name": "i2", "image": "short"}]);
    world.pod("p", spec);
    world.until("p", "i1 running").await;
    world.check(
        "p",
        expect![[r#"
        Pending ip=10.88.0.2 Ready=False Initialized=False
          i1 running ready=false restarts=0 last=-
          s PodInitializing  ready=false restarts=0 last=-
          i2 PodInitializing  ready=false restarts=0 last=-
          c PodInitializing  ready=false restarts=0 last=-
    "#]],
    );
    world.until("p", "Ready=True").await;
    world.check(
        "p",
        expect![[r#"
        Running ip=10.88.0.2 Ready=True Initialized=True
          i1 Completed(0) ready=true restarts=0 last=-
          s running ready=true restarts=0 last=-
          i2 Completed(0) ready=true restarts=0 last=-
          c running ready=true restarts=0 last=-
    "#]],
    );
    world.delete("p", 30);
    world.until_gone("p").await;
    let stops: Vec<String> = world.runtime.trace().into_iter().filter(|line| line.starts_with("stop_")).collect();
    assert_eq!(stops, ["stop_container c 30", "stop_container s 30"]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_pod_stays_finished_and_a_deadline_fails_it() {
    let world = World::new("done");
    world.runtime.script("job", Behaviour::of(vec![Run::exits(Duration::from_secs(3), 0)]));
    let mut spec = one("job");
    spec["restartPolicy"] = json!("Never");
    world.pod("ok", spec);
    world.until("ok", "Succeeded").await;
    world.check(
        "ok",
        expect![[r#"
        Succeeded ip=10.88.0.2 Ready=False Initialized=True
          c Completed(0) ready=false restarts=0 last=-
    "#]],
    );
    let mut spec = one("nginx");
    spec["activeDeadlineSeconds"] = json!(5);
    world.pod("late", spec);
    world.until("late", "Failed").await;
    world.settle(5).await;
    world.check(
        "late",
        expect![[r#"
        Failed ip=10.88.0.3 Ready=False Initialized=True
        DeadlineExceeded: Pod was active on the node longer than the specified deadline
          c Error(143) ready=false restarts=0 last=-
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_told_and_the_pod_starts_when_it_appears() {
    let world = World::new("config");
    let spec = json!({"containers": [{"name": "c", "image": "nginx",
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}]}]});
    world.pod("p", spec);
    world.until("p", "CreateContainerConfigError").await;
    world.check(
        "p",
        expect![[r#"
        Pending ip=10.88.0.2 Ready=False Initialized=True
          c CreateContainerConfigError configmap "m" not found ready=false restarts=0 last=-
    "#]],
    );
    world.api.put(
        "/api/v1/namespaces/d/configmaps/m",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "d"}, "data": {"a": "1"}}),
    );
    let appeared = tokio::time::Instant::now();
    world.until("p", "Ready=True").await;
    assert!(appeared.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_kubelet_adopts_what_runs_and_stops_what_nobody_knows() {
    let mut world = World::new("adopt");
    world.pod("stays", one("nginx"));
    world.pod("goes", one("nginx"));
    world.until("stays", "Ready=True").await;
    world.until("goes", "Ready=True").await;
    let before = world.api.get(&path("stays")).unwrap();
    world.kubelet = None;
    world.api.remove(&path("goes"));
    let calls = world.runtime.trace().len();
    world.start_kubelet();
    world.settle(60).await;
    let after = world.api.get(&path("stays")).unwrap();
    assert_eq!(before["status"], after["status"]);
    assert_eq!(world.runtime.trace()[calls..], ["stop_container c 30"]);
}

#[tokio::test(start_paused = true)]
async fn failing_probes_take_a_pod_out_of_service_and_restart_it() {
    let world = World::new("probe");
    let healthy = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = healthy.clone();
    let answer = move |_: &[String]| {
        if asked.load(std::sync::atomic::Ordering::Relaxed) { (0, String::new()) } else { (1, "sick".to_owned()) }
    };
    world.runtime.script("web", Behaviour::runs_forever().with_exec(answer));
    let probe = json!({"exec": {"command": ["check"]}, "periodSeconds": 5, "failureThreshold": 2});
    let spec = json!({"containers": [{"name": "c", "image": "web", "readinessProbe": probe, "livenessProbe": probe}]});
    world.pod("p", spec);
    world.until("p", "Ready=True").await;
    healthy.store(false, std::sync::atomic::Ordering::Relaxed);
    world.until("p", "Ready=False").await;
    world.until("p", "restarts=1").await;
    healthy.store(true, std::sync::atomic::Ordering::Relaxed);
    world.until("p", "Ready=True").await;
    world.check(
        "p",
        expect![[r#"
        Running ip=10.88.0.2 Ready=True Initialized=True
          c running ready=true restarts=1 last=Error(143)
    "#]],
    );
    world.check_events(
        "p",
        expect![[r#"
        Pulling: Pulling image "web"
        Pulled: Successfully pulled image "web" in 0ms (0ms including waiting). Image size: 1048576 bytes.
        Killing: Container c failed liveness probe, will be restarted
        Pulled: Container image "web" already present on machine and can be accessed by the pod
        Created: Container created
        Started: Container started
        Unhealthy: Liveness probe failed: sick
        Unhealthy: Readiness probe failed: sick
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_sandbox_is_replaced() {
    let world = World::new("sandbox");
    world.pod("p", one("nginx"));
    world.until("p", "Ready=True").await;
    world.runtime.kill_sandboxes("d", "p");
    world.until("p", "restarts=1").await;
    world.until("p", "Ready=True").await;
    world.check(
        "p",
        expect![[r#"
        Running ip=10.88.0.3 Ready=True Initialized=True
          c running ready=true restarts=1 last=Error(137)
    "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn the_node_registers_becomes_ready_and_keeps_its_lease() {
    let world = World::new("node");
    let node = "/api/v1/nodes/n1";
    world.api.until(node, |node| node.is_some_and(|node| node["status"]["conditions"].is_array())).await;
    let found = world.api.get(node).unwrap();
    let ready =
        found["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!(ready["reason"], "KubeletReady");
    assert_eq!(found["status"]["allocatable"]["memory"], "4194304Ki");
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    world.settle(1).await;
    let first = world.api.get(lease).unwrap();
    world.settle(21).await;
    let later = world.api.get(lease).unwrap();
    assert_ne!(first["spec"]["renewTime"], later["spec"]["renewTime"]);
    assert_eq!(later["spec"]["leaseDurationSeconds"], 40);
}

#[tokio::test]
async fn a_manifest_runs_as_a_static_pod_and_the_api_shows_its_mirror() {
    let world = World::new("static");
    world.api.until("/api/v1/nodes/n1", |node| node.is_some()).await;
    let manifest = world.dir.0.join("web.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: d}\nspec: {containers: [{name: c, image: nginx}]}\n";
    std::fs::write(&manifest, text).unwrap();
    world.until("web-n1", "Ready=True").await;
    let mirror = world.api.get(&path("web-n1")).unwrap();
    assert_eq!(mirror["metadata"]["annotations"]["kubernetes.io/config.source"], "file");
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["kind"], "Node");
    // Deleting the mirror does not stop the pod: it is shown again.
    world.api.remove(&path("web-n1"));
    world.until("web-n1", "Ready=True").await;
    assert!(!world.runtime.trace().iter().any(|call| call.starts_with("stop_container")));
    std::fs::remove_file(&manifest).unwrap();
    world.until_gone("web-n1").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_called_unready_behind_the_kubelets_back_is_ready_again() {
    let world = World::new("contradicted");
    world.pod("web", one("nginx"));
    world.until("web", "Ready=True").await;
    world.settle(60).await;
    let mut pod = world.api.get(&path("web")).unwrap();
    for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Ready" {
            condition["status"] = json!("False");
        }
    }
    world.api.put(&path("web"), pod);
    world.until("web", "Ready=False").await;
    world.until("web", "Ready=True").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_held_for_dead_says_that_it_is_ready() {
    let world = World::new("revived");
    let node = format!("/api/v1/nodes/{NODE}");
    let is = |status: &'static str| {
        move |node: Option<&Value>| {
            let conditions = node.and_then(|node| node["status"]["conditions"].as_array());
            conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == status))
        }
    };
    let mut ready = world.api.until(&node, is("True")).await.unwrap();
    world.settle(60).await;
    for condition in ready["status"]["conditions"].as_array_mut().unwrap() {
        condition["status"] = json!("Unknown");
        condition["reason"] = json!("NodeStatusUnknown");
    }
    world.api.put(&node, ready);
    assert!(is("Unknown")(world.api.get(&node).as_ref()));
    world.api.until(&node, is("True")).await;
}
