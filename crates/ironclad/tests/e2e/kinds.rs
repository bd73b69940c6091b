//! One object of every kind through kubectl's verbs and back: what was applied is what is there, and stays.

use crate::cluster::{Cluster, text};

const CUSTOM: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.sample.example.com}
spec:
  group: sample.example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object,
      properties: {size: {type: integer, default: 3}}}}}}}
";
const WIDGET: &str = "
---
apiVersion: sample.example.com/v1
kind: Widget
metadata: {name: s-widget}
spec: {size: 4}
";

/// Kinds with a list that is one value to a patch and gets defaults: kubectl sends it each time, as it does upstream.
const SENT_ANEW: &[&str] = &[
    "endpoints/",
    "endpointslice.",
    "ipaddress.",
    "mutatingadmissionpolicy.",
    "mutatingwebhookconfiguration.",
    "pod/",
    "resourceclaim.",
    "resourceclaimtemplate.",
    "statefulset.",
    "validatingadmissionpolicy.",
    "validatingwebhookconfiguration.",
];

#[test]
fn an_object_of_every_kind_goes_through_every_verb_and_stays_as_it_was_applied() {
    let Some(cluster) = Cluster::start("kinds", &[]) else { return };
    cluster.kubectl_with(&["apply", "-f", "-"], CUSTOM);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/widgets.sample.example.com", "--timeout=60s"]);
    let file = cluster.home.join("kinds.yaml");
    std::fs::write(&file, format!("{}{WIDGET}", include_str!("kinds.yaml"))).expect("writes");
    let file = file.to_str().expect("plain");
    let with = |args: &[&str]| cluster.kubectl(&[args, &["-f", file]].concat());

    let tried = with(&["create", "--dry-run=server"]);
    let count = tried.lines().count();
    assert!(count >= 60 && tried.lines().all(|line| line.ends_with("created (server dry run)")), "{tried}");
    assert_all(&with(&["apply"]), count, "created");
    let again = with(&["apply"]);
    let anew = |line: &&str| SENT_ANEW.iter().any(|kind| line.starts_with(kind));
    let changed: Vec<_> = again.lines().filter(|line| !line.ends_with("unchanged") && !anew(line)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    no_difference(&cluster, &["diff", "-f", file]);
    assert!(with(&["get", "-o", "wide"]).contains("s-widget"));
    assert_all(&with(&["label", "l=1"]), count, "labeled");
    let change = r#"[{"op":"replace","path":"/metadata/labels/l","value":"2"}]"#;
    assert_all(&with(&["patch", "--type=json", "-p", change]), count, "patched");
    assert_all(&with(&["apply", "--server-side"]), count, "serverside-applied");
    no_difference(&cluster, &["diff", "--server-side", "-f", file]);
    let live = with(&["get", "-o", "yaml"]);
    let replaced = cluster.kubectl_with(&["replace", "-f", "-"], &live);
    assert_all(&replaced, count, "replaced");
    assert_all(&with(&["delete", "--wait=false"]), count, "deleted");
}

#[track_caller]
fn assert_all(printed: &str, count: usize, end: &str) {
    // Newer clients say from which namespace something was deleted.
    let said = |line: &str| line.ends_with(end) || line.contains(&format!("{end} from "));
    let others: Vec<_> = printed.lines().filter(|line| !said(line)).collect();
    assert!(others.is_empty() && printed.lines().count() == count, "not {end:?}: {others:?}");
}

#[track_caller]
fn no_difference(cluster: &Cluster, args: &[&str]) {
    let output = cluster.kubectl_command(args).output().expect("kubectl runs");
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}
