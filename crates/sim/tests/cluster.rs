//! Whole clusters in simulated time.

use api::Object;
use api::typed::{Deployment, Event, Node, Pod, Typed};
use client::ListQuery;
use sim::{Checker, Cluster, Faults, workload};

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
