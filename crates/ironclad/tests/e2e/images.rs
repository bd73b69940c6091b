//! Images come from files and standard input into every node, and go again.

use std::fs::File;

use crate::cluster::{Cluster, image};

#[test]
fn an_archive_is_loaded_listed_and_removed() {
    let Some(cluster) = Cluster::start("image", &["--nodes", "2"]) else { return };
    let path = image("busybox", "");
    cluster.ironclad(&["image", "load", path.to_str().expect("plain")]);
    let listed = cluster.ironclad(&["image", "list"]);
    let line = listed.lines().find(|line| line.contains("busybox:latest")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.ends_with(&format!("{0},{0}-m02", cluster.name)), "{line}");
    cluster.ironclad(&["image", "rm", "busybox:latest"]);
    assert!(!cluster.ironclad(&["image", "list"]).contains("busybox"));
    let piped =
        cluster.command(&["image", "load", "-"]).stdin(File::open(&path).expect("opens")).status().expect("runs");
    assert!(piped.success());
    assert!(cluster.ironclad(&["image", "list"]).contains("busybox:latest"));
}

#[test]
fn a_file_that_is_no_image_is_refused() {
    let Some(cluster) = Cluster::start("noarchive", &[]) else { return };
    let path = cluster.home.join("notes.txt");
    std::fs::write(&path, "no archive").expect("writes");
    let (_, said) = cluster.ironclad_fails(&["image", "load", path.to_str().expect("plain")]);
    assert!(said.starts_with(&format!("ironclad: cannot load {}: node {}: ", path.display(), cluster.name)), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}
