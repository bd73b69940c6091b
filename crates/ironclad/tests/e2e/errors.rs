//! What goes wrong is said in one line, what to do in the next, and nothing half-made stays.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;

use crate::cluster::{Cluster, text};

fn nothing_is_left(cluster: &Cluster) {
    let state = cluster.home.join("profiles").join(&cluster.name);
    assert!(!state.exists(), "{} is left", state.display());
}

#[test]
fn a_port_in_use_is_named() {
    let Some(cluster) = Cluster::prepare("port") else { return };
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("has an address").port().to_string();
    let (code, said) = cluster.ironclad_fails(&["start", "--api-port", &port]);
    assert_eq!(code, 1);
    let expected = format!("ironclad: port {port} of 127.0.0.1 is in use by another program\nEnd that program");
    assert!(said.starts_with(&expected), "{said}");
    nothing_is_left(&cluster);
}

#[test]
fn a_wrong_flag_is_told_with_a_hint() {
    let Some(cluster) = Cluster::prepare("flag") else { return };
    let (code, said) = cluster.ironclad_fails(&["start", "--node", "3"]);
    assert_eq!(code, 2);
    assert!(said.starts_with("error: unexpected argument '--node' found"), "{said}");
    assert!(said.contains("--nodes"), "{said}");
    let (_, said) = cluster.ironclad_fails(&["start", "--nodes", "0"]);
    assert!(said.starts_with("ironclad: a cluster cannot have 0 nodes\n"), "{said}");
    nothing_is_left(&cluster);
}

#[test]
fn without_root_it_says_so() {
    let Some(cluster) = Cluster::prepare("root") else { return };
    // The build's directory may be closed to other users, /tmp is not.
    let binary = cluster.home.join("ironclad");
    std::fs::copy(env!("CARGO_BIN_EXE_ironclad"), &binary).expect("the binary can be copied");
    let mut command = std::process::Command::new(&binary);
    let output = command.arg("start").env("IRONCLAD_HOME", "/nonexistent").uid(65534).output().expect("it runs");
    assert_eq!(
        text(&output.stderr),
        "ironclad: ironclad needs root to make namespaces and mounts\nRun it again with sudo.\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_damaged_state_directory_is_told_and_can_be_deleted() {
    let Some(cluster) = Cluster::prepare("damaged") else { return };
    let state = cluster.home.join("profiles").join(&cluster.name);
    std::fs::create_dir_all(&state).expect("makes");
    std::fs::write(state.join("profile.json"), "{\"format\": 1,").expect("writes");
    let (code, said) = cluster.ironclad_fails(&["start"]);
    assert_eq!(code, 1);
    assert!(said.starts_with(&format!("ironclad: the state of cluster \"{}\" is damaged: ", cluster.name)), "{said}");
    assert!(said.contains(&format!("ironclad delete -p {}", cluster.name)), "{said}");
    cluster.ironclad(&["delete"]);
    nothing_is_left(&cluster);
}

#[test]
fn a_missing_program_is_named() {
    let Some(cluster) = Cluster::prepare("nft") else { return };
    // A mount namespace of its own in which nft is hidden.
    let script =
        "for f in /usr/sbin/nft /sbin/nft; do [ -e $f ] && mount --bind /dev/null $f 2>/dev/null; done; exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_ironclad"), "start", "-p", &cluster.name]);
    let output = command.env("IRONCLAD_HOME", &cluster.home).env("IRONCLAD_EGRESS", "none").output().expect("it runs");
    let said = text(&output.stderr);
    assert!(said.starts_with("ironclad: the program nft is missing\nInstall it"), "{said}");
    nothing_is_left(&cluster);
}

#[test]
fn a_full_disk_is_told_before_anything_is_made() {
    let Some(cluster) = Cluster::prepare("full") else { return };
    let script = "mount -t tmpfs -o size=1m none \"$IRONCLAD_HOME\" && exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_ironclad"), "start", "-p", &cluster.name]);
    let output = command.env("IRONCLAD_HOME", &cluster.home).env("IRONCLAD_EGRESS", "none").output().expect("it runs");
    let said = text(&output.stderr);
    assert!(said.starts_with("ironclad: only "), "{said}");
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("Free at least")), "{said}");
}

#[test]
fn verbs_on_a_cluster_that_does_not_exist_say_how_to_make_it() {
    let Some(cluster) = Cluster::prepare("missing") else { return };
    for verb in [&["status"][..], &["stop"], &["pause"], &["kubeconfig"], &["logs"], &["node", "list"]] {
        let (code, said) = cluster.ironclad_fails(verb);
        assert_eq!(code, 1, "{verb:?}");
        let expected =
            format!("ironclad: there is no cluster \"{0}\"\nType `ironclad start -p {0}` to make it.\n", cluster.name);
        assert_eq!(said, expected, "{verb:?}");
    }
}
