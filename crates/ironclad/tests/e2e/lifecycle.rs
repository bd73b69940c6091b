//! start, stop, start, pause, kill, delete: state stays where it should and goes where it should.

use std::net::TcpStream;

use crate::cluster::Cluster;

#[test]
fn a_stopped_cluster_comes_back_with_everything_in_it() {
    let Some(cluster) = Cluster::start("stop", &[]) else { return };
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=b"]);
    cluster.ironclad(&["stop"]);
    let (code, said) = cluster.ironclad_fails(&["status"]);
    assert_eq!(code, 1);
    assert!(said.contains("is stopped"), "{said}");
    cluster.ironclad(&["start"]);
    assert_eq!(cluster.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]), "b");
    cluster.ironclad(&["status"]);
}

#[test]
fn a_paused_cluster_stands_still_and_goes_on() {
    let Some(cluster) = Cluster::start("pause", &[]) else { return };
    cluster.ironclad(&["pause"]);
    let said = cluster.kubectl_fails(&["get", "nodes", "--request-timeout=1s"]);
    assert!(!said.is_empty());
    assert!(cluster.ironclad_fails(&["status"]).1.contains("is paused"));
    cluster.ironclad(&["unpause"]);
    cluster.kubectl(&["get", "nodes"]);
}

#[test]
fn delete_leaves_nothing() {
    let Some(cluster) = Cluster::start("delete", &["--nodes", "2"]) else { return };
    let port = cluster.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    let port: u16 = port.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    TcpStream::connect(("127.0.0.1", port)).expect("the API server listens");
    cluster.ironclad(&["delete"]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is open");
    assert!(!cluster.home.join("profiles").exists(), "files are left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    assert!(!mounts.contains(&cluster.name), "mounts are left");
    let groups: Vec<_> = mounts
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|mount| format!("{mount}/ironclad/{}", cluster.name))
        .filter(|group| std::path::Path::new(group).exists())
        .collect();
    assert!(groups.is_empty(), "control groups are left: {groups:?}");
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    let commands = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let left = commands.filter(|line| String::from_utf8_lossy(line).contains(&format!("--profile\0{}", cluster.name)));
    assert_eq!(left.count(), 0, "processes are left");
    let contexts = cluster.kubectl(&["config", "get-contexts", "-o", "name"]);
    assert!(!contexts.contains(&cluster.name), "{contexts}");
}

#[test]
fn killed_parts_come_back_by_themselves_or_by_start() {
    let Some(cluster) = Cluster::start("kill", &[]) else { return };
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=b"]);
    let node = cluster.name.clone();
    let kill = |pid: u32| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
    };
    // The node's init, and with it everything in the node: a machine losing its power.
    kill(cluster.init_pid(&node));
    cluster.ironclad(&["start"]);
    assert_eq!(cluster.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]), "b");
    // The supervisor: the node goes on without it, and start brings it back.
    let status = cluster.ironclad(&["status"]);
    let fabric = status.lines().find_map(|line| line.strip_prefix("supervisor: pid ")).expect("a pid");
    kill(fabric.parse().expect("a pid"));
    cluster.kubectl(&["get", "nodes"]);
    let before = cluster.ironclad_fails(&["status"]).1;
    assert!(before.contains("does not run as it should"), "{before}");
    cluster.ironclad(&["start"]);
    cluster.ironclad(&["status"]);
    cluster.kubectl(&["get", "nodes"]);
}

#[test]
fn a_node_has_a_shell_and_logs() {
    let Some(cluster) = Cluster::start("ssh", &[]) else { return };
    assert_eq!(cluster.ironclad(&["ssh", "--", "hostname"]).trim(), cluster.name);
    let (code, _) = cluster.ironclad_fails(&["ssh", "--", "sh", "-c", "exit 3"]);
    assert_eq!(code, 3);
    let routes = cluster.ironclad(&["ssh", "--", "cat", "/proc/net/route"]);
    assert!(!routes.lines().any(|line| line.split('\t').nth(1) == Some("00000000")), "a default route: {routes}");
    assert!(cluster.ironclad(&["logs"]).contains("serves"));
}
