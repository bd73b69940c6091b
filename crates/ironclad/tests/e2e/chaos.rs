//! kill -9 of anything at any time: nothing that was acknowledged is lost, untouched containers run on, and the cluster
//! mends itself.
//!
//! A few kills by default; `IRONCLAD_CHAOS=100` asks for more, `IRONCLAD_CHAOS_SEED` repeats a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::Cluster;

const KILLS: u64 = 8;
const WAIT: &str = "--timeout=120s";

/// A process of the cluster by what it is.
struct Victim {
    pid: u32,
    role: &'static str,
}

/// Servers, agents, shims and inits of the cluster, found by their arguments.
fn victims(cluster: &Cluster) -> Vec<Victim> {
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let role =
            ["server", "agent", "shim", "init"].into_iter().find(|role| line.contains(&format!("\0{role}\0")))?;
        line.contains(&format!("--profile\0{}\0", cluster.name)).then_some(Victim { pid, role })
    });
    found.collect()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    // It may have ended by itself since it was found.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Restart counts of all containers, by pod.
fn restarts(cluster: &Cluster) -> BTreeMap<String, u32> {
    let format = "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}";
    let text = cluster.kubectl(&["get", "pods", "-o", format]);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap_or(0))).collect()
}

/// Creates ConfigMaps until told to stop; gives the names of those that were acknowledged.
fn write_until(cluster: &Cluster, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("written-{number}");
        let args = ["create", "configmap", &name, "--from-literal=a=b", "--request-timeout=5s"];
        if cluster.kubectl_command(&args).output().is_ok_and(|output| output.status.success()) {
            acknowledged.push(name);
        }
    }
    acknowledged
}

#[test]
fn killed_at_random_it_loses_nothing_and_mends_itself() {
    let Some(cluster) = Cluster::start("chaos", &["--nodes", "2"]) else { return };
    cluster.load_images();
    cluster.kubectl(&["create", "deployment", "web", "--image=nginx:alpine", "--replicas=4"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("IRONCLAD_CHAOS").unwrap_or(KILLS);
    let seed = number("IRONCLAD_CHAOS_SEED").unwrap_or(1);
    let rng = stdx::Rng::seeded(seed);
    let stop = AtomicBool::new(false);
    let before = restarts(&cluster);
    let (acknowledged, inits_killed) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&cluster, &stop));
        let mut inits_killed = 0;
        for round in 0..kills {
            let all = victims(&cluster);
            let mut roles: Vec<&str> = all.iter().map(|victim| victim.role).collect();
            roles.sort_unstable();
            roles.dedup();
            // Each role is as likely as another, however many processes have it.
            let Some(role) = roles.get(usize::try_from(rng.below(roles.len() as u64)).expect("small")) else {
                continue;
            };
            let of_role: Vec<&Victim> = all.iter().filter(|victim| victim.role == *role).collect();
            let victim = of_role[usize::try_from(rng.below(of_role.len() as u64)).expect("small")];
            eprintln!("round {round} of seed {seed}: kill -9 {} {}", victim.role, victim.pid);
            inits_killed += u64::from(victim.role == "init");
            kill(victim.pid);
            // The API answers again: the next blow meets a cluster that stands.
            let ready = ["wait", "--for=condition=Ready", "node", "--all", WAIT];
            while !cluster.kubectl_command(&ready).output().is_ok_and(|output| output.status.success()) {}
        }
        stop.store(true, Ordering::Relaxed);
        (writer.join().expect("the writer lives"), inits_killed)
    });
    assert!(!acknowledged.is_empty(), "nothing was written");
    let kept = cluster.kubectl(&["get", "configmaps", "-o", "name"]);
    let kept: std::collections::BTreeSet<&str> =
        kept.lines().filter_map(|line| line.strip_prefix("configmap/")).collect();
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !kept.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acknowledged.len());
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod", "-l", "app=web", WAIT]);
    if inits_killed == 0 {
        assert_eq!(restarts(&cluster), before, "containers were restarted though nobody killed their node");
    }
    let page = cluster.kubectl(&["exec", "deploy/web", "--", "wget", "-qO-", "http://localhost/"]);
    assert!(page.contains("Welcome"), "{page}");
}
