//! Whole clusters in simulated time.

use api::typed::{Deployment, Event, Node, Pod, Typed};
use api::{Gvr, Key, Object};
use client::{ListQuery, Patch};
use serde_json::{Value, json};
use sim::{Checker, Cluster, Faults, workload};

const STATEFUL_SETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
const DAEMON_SETS: Gvr = Gvr::new("apps", "v1", "daemonsets");
const JOBS: Gvr = Gvr::new("batch", "v1", "jobs");
const CRON_JOBS: Gvr = Gvr::new("batch", "v1", "cronjobs");
const NODES: [&str; 3] = ["a", "b", "c"];

async fn start(seed: u64) -> Cluster {
    let mut cluster = Cluster::start(seed).await;
    for node in NODES {
        cluster.start_node(node);
    }
    cluster.pass(20).await;
    cluster
}

/// Living pods by node.
fn placed(cluster: &Cluster) -> Vec<String> {
    let snapshot = cluster.truth.snapshot();
    let pods = snapshot.list(&Pod::GVR, None).filter(|pod| !pod.is_deleting());
    let mut nodes: Vec<_> =
        pods.map(|pod| cache::index::text_at(pod.json(), &["spec", "nodeName"]).unwrap_or("nowhere".into())).collect();
    nodes.sort();
    nodes
}

#[test]
fn the_pods_of_a_dead_node_move() {
    sim::run(async {
        let mut cluster = start(1).await;
        let web = workload::deployment("web", 6, "image:1");
        cluster.admin().create_object(&Deployment::GVR, "default", &web).await.unwrap();
        cluster.pass(30).await;
        let nodes = placed(&cluster);
        assert!(nodes.len() == 6 && nodes.contains(&"b".to_owned()), "{nodes:?}");
        assert_eq!(Checker::at_rest(&cluster), [""; 0]);

        cluster.kill_node("b");
        cluster.pass(90).await;
        let node = cluster.truth.snapshot().typed::<Node>("", "b").unwrap().unwrap().to_tree();
        assert_eq!(node["status"]["conditions"][0]["status"], "Unknown", "{node:#}");
        cluster.pass(320).await;
        let nodes = placed(&cluster);
        assert!(nodes.len() == 6 && !nodes.contains(&"b".to_owned()), "{nodes:?}");

        // The node comes back, finishes what was left to it, and is taken for new pods again.
        cluster.start_node("b");
        cluster.pass(60).await;
        assert_eq!(Checker::at_rest(&cluster), [""; 0]);
        let events = cluster.admin().list::<Event>("", &ListQuery::default()).await.unwrap();
        let reasons: std::collections::BTreeSet<_> = events.into_iter().filter_map(|event| event.reason).collect();
        for reason in ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "NodeNotReady", "TaintManagerEviction"] {
            assert!(reasons.contains(reason), "{reason} is missing in {reasons:?}");
        }
    });
}

/// Runs a random workload on a bad network and lets it come to rest. Returns the hash of the trace.
async fn random(seed: u64) -> (u64, Vec<String>) {
    let mut cluster = start(seed).await;
    let checker = tokio::spawn(Checker::follow(cluster.truth.clone()));
    cluster.set_faults(Faults::BAD);
    for _ in 0..60 {
        workload::step(&mut cluster, &NODES).await;
        cluster.pass(1 + cluster.env.rng.below(30)).await;
        assert!(!checker.is_finished(), "seed {seed}: {:?}", checker.await);
    }
    for node in NODES {
        if !cluster.is_running(node) {
            cluster.start_node(node);
        }
    }
    cluster.pass(120).await;
    cluster.set_faults(Faults::default());
    cluster.pass(600).await;
    assert_eq!(Checker::at_rest(&cluster), [""; 0], "seed {seed}");
    // Rest stays rest: only heartbeats are written.
    let start = cluster.trace.len();
    cluster.pass(900).await;
    let writes = cluster.trace.since(start);
    let writes: Vec<_> = writes.iter().filter(|line| !line.contains("/leases/")).collect();
    assert!(writes.is_empty(), "seed {seed}: {writes:#?}");
    assert!(!checker.is_finished(), "seed {seed}: {:?}", checker.await);
    checker.abort();
    (cluster.trace.hash(), cluster.trace.since(0))
}

#[test]
fn random_workloads_on_a_bad_network_come_to_rest_and_never_overshoot() {
    for seed in 1..=3 {
        sim::run(random(seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, second) = (sim::run(random(7)), sim::run(random(7)));
    let differ = first.1.iter().zip(&second.1).position(|(a, b)| a != b);
    let around = differ.map(|at| (&first.1[at.saturating_sub(3)..=at], &second.1[at.saturating_sub(3)..=at]));
    assert_eq!(first.0, second.0, "line {differ:?}: {around:#?}");
}

#[test]
fn a_deleted_namespace_takes_everything_with_it() {
    sim::run(async {
        let cluster = start(5).await;
        let admin = cluster.admin();
        let shop = serde_json::json!({"metadata": {"name": "shop"}});
        admin.create_object(&api::typed::Namespace::GVR, "", &shop).await.unwrap();
        let mut web = workload::deployment("web", 3, "image:1");
        web["metadata"]["namespace"] = "shop".into();
        admin.create_object(&Deployment::GVR, "shop", &web).await.unwrap();
        cluster.pass(30).await;
        admin.delete::<api::typed::Namespace>("", "shop", &client::DeleteOptions::default()).await.unwrap();
        cluster.pass(60).await;
        let snapshot = cluster.truth.snapshot();
        let left: Vec<_> =
            snapshot.resources().flat_map(|resource| snapshot.list(resource, Some("shop"))).map(Object::key).collect();
        assert_eq!(left, []);
        assert!(snapshot.get(&api::typed::Namespace::GVR, &api::Key::cluster("shop")).is_none());
    });
}

#[test]
fn of_several_replicas_one_leads_and_another_takes_over_when_it_falls_silent() {
    sim::run(async {
        let cluster = Cluster::start(9).await;
        let leaders = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let replica = |name: &'static str| {
            let election = client::Election {
                client: cluster.user(name),
                lease: api::Key::new("kube-system", "the-lead"),
                identity: name.to_owned(),
                timing: client::election::Timing::USUAL,
                env: cluster.env.clone(),
            };
            let leaders = leaders.clone();
            tokio::spawn(async move {
                loop {
                    election.win().await;
                    leaders.lock().unwrap().push(name);
                    election.keep().await;
                    leaders.lock().unwrap().push("nobody");
                }
            })
        };
        let one = replica("one");
        cluster.pass(5).await;
        let _two = replica("two");
        cluster.pass(60).await;
        assert_eq!(*leaders.lock().unwrap(), ["one"]);
        one.abort();
        cluster.pass(12).await;
        assert_eq!(*leaders.lock().unwrap(), ["one"]);
        cluster.pass(10).await;
        assert_eq!(*leaders.lock().unwrap(), ["one", "two"]);
        // Whoever cannot reach the API stops leading.
        cluster.set_faults(Faults { request_lost: 1000, ..Faults::default() });
        cluster.pass(15).await;
        assert_eq!(*leaders.lock().unwrap(), ["one", "two", "nobody"]);
    });
}

#[test]
fn a_leader_that_stops_in_order_hands_over_at_once() {
    sim::run(async {
        let cluster = Cluster::start(10).await;
        let leaders = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let replica = |name: &'static str, stop: tokio_util::sync::CancellationToken| {
            let election = client::Election {
                client: cluster.user(name),
                lease: api::Key::new("kube-system", "the-lead"),
                identity: name.to_owned(),
                timing: client::election::Timing::USUAL,
                env: cluster.env.clone(),
            };
            let leaders = leaders.clone();
            tokio::spawn(async move {
                let work = || async {
                    leaders.lock().unwrap().push(name);
                    std::future::pending().await
                };
                election.lead(&stop, work).await;
            })
        };
        let (stop, never) = (tokio_util::sync::CancellationToken::new(), tokio_util::sync::CancellationToken::new());
        let _one = replica("one", stop.clone());
        cluster.pass(5).await;
        let _two = replica("two", never);
        cluster.pass(30).await;
        stop.cancel();
        cluster.pass(4).await;
        assert_eq!(*leaders.lock().unwrap(), ["one", "two"]);
    });
}

/// The pods of the default namespace whose name starts so: name, node and phase.
fn pods_of(cluster: &Cluster, prefix: &str) -> Vec<(String, String, String)> {
    let snapshot = cluster.truth.snapshot();
    let pods = snapshot.list(&Pod::GVR, Some("default")).filter(|pod| pod.name().starts_with(prefix));
    let text = |pod: &Object, path: &[&str]| cache::index::text_at(pod.json(), path).unwrap_or_default();
    pods.map(|pod| (pod.name().to_owned(), text(pod, &["spec", "nodeName"]), text(pod, &["status", "phase"]))).collect()
}

/// A StatefulSet that rolls, a DaemonSet, Jobs that fail and succeed and a CronJob, while nodes die and the network loses
/// and delays: each ends as it says, every pod counted once.
async fn every_kind(seed: u64) {
    let mut cluster = start(seed).await;
    let admin = cluster.admin();
    let create = async |gvr: &Gvr, object: Value| {
        admin.create_object(gvr, "default", &object).await.expect("the object is created");
    };
    cluster.set_faults(Faults::BAD);
    let parallel = json!({"replicas": 4, "serviceName": "db", "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}});
    create(
        &STATEFUL_SETS,
        workload::workload("apps/v1", "StatefulSet", "db", "image:1", json!({"replicas": 3, "serviceName": "db"})),
    )
    .await;
    create(&STATEFUL_SETS, workload::workload("apps/v1", "StatefulSet", "kv", "image:1", parallel)).await;
    create(&DAEMON_SETS, workload::workload("apps/v1", "DaemonSet", "log", "image:1", json!({}))).await;
    let job = |name: &str, spec: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
    create(&JOBS, job("sum", workload::job_spec("exit:0", json!({"completions": 12, "parallelism": 4})))).await;
    create(
        &JOBS,
        job(
            "map",
            workload::job_spec("exit:0", json!({"completions": 7, "parallelism": 3, "completionMode": "Indexed"})),
        ),
    )
    .await;
    create(&JOBS, job("bad", workload::job_spec("exit:3", json!({"backoffLimit": 2})))).await;
    let template = json!({"spec": workload::job_spec("exit:0", json!({}))});
    let cron = json!({"schedule": "*/10 * * * *", "jobTemplate": template, "successfulJobsHistoryLimit": 2});
    create(
        &CRON_JOBS,
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": cron}),
    )
    .await;
    cluster.pass(60).await;
    for (gvr, name) in [(STATEFUL_SETS, "db"), (STATEFUL_SETS, "kv"), (DAEMON_SETS, "log")] {
        let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "image:2"}]}}}});
        let patched = admin.patch_object(&gvr, &Key::new("default", name), "", &Patch::Strategic(image)).await;
        patched.expect("the workload is patched");
    }
    cluster.pass(15).await;
    cluster.kill_node("c");
    cluster.pass(1800).await;
    cluster.start_node("c");
    cluster.pass(300).await;
    cluster.set_faults(Faults::default());
    cluster.pass(1800).await;

    assert_eq!(cluster.pending_plans(), [""; 0], "seed {seed}");
    let names = |prefix: &str| pods_of(&cluster, prefix).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names("db-"), ["db-0", "db-1", "db-2"], "seed {seed}");
    assert_eq!(names("kv-"), ["kv-0", "kv-1", "kv-2", "kv-3"], "seed {seed}");
    let mut nodes: Vec<_> = pods_of(&cluster, "log-").into_iter().map(|(_, node, _)| node).collect();
    nodes.sort();
    assert_eq!(nodes, NODES, "seed {seed}");
    let snapshot = cluster.truth.snapshot();
    let status = |gvr: &Gvr, name: &str| {
        let found = snapshot.get(gvr, &Key::new("default", name)).expect("it is there");
        found.tree().expect("it can be read")["status"].clone()
    };
    for (name, replicas) in [("db", 3), ("kv", 4)] {
        let status = status(&STATEFUL_SETS, name);
        assert_eq!(
            (&status["updatedReplicas"], &status["availableReplicas"]),
            (&json!(replicas), &json!(replicas)),
            "seed {seed}: {status}"
        );
        assert_eq!(status["currentRevision"], status["updateRevision"], "seed {seed}");
    }
    for (name, completions) in [("sum", 12), ("map", 7)] {
        let status = status(&JOBS, name);
        assert_eq!(status["succeeded"], completions, "seed {seed}: {name} {status}");
        assert!(status["conditions"].to_string().contains("Complete"), "seed {seed}: {name} {status}");
        let succeeded =
            pods_of(&cluster, &format!("{name}-")).iter().filter(|(.., phase)| phase == "Succeeded").count();
        assert!(succeeded <= completions, "seed {seed}: {name} ran {succeeded} times");
    }
    let bad = status(&JOBS, "bad");
    assert!(
        bad["failed"].as_i64() >= Some(3) && bad["conditions"].to_string().contains("BackoffLimitExceeded"),
        "seed {seed}: {bad}"
    );
    let ticks: Vec<_> = snapshot.list(&JOBS, Some("default")).filter(|job| job.name().starts_with("tick-")).collect();
    assert_eq!(ticks.len(), 2, "seed {seed}");
    assert!(status(&CRON_JOBS, "tick")["lastSuccessfulTime"].is_string(), "seed {seed}");
}

#[test]
fn workloads_of_every_kind_end_as_they_say_on_a_bad_network() {
    for seed in 1..=2 {
        sim::run(every_kind(seed));
    }
}
