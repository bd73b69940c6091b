//! kubectl's other verbs, on objects that need no containers.

use crate::cluster::Cluster;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: red}\n";

#[test]
fn objects_are_applied_compared_labelled_and_explained() {
    let Some(cluster) = Cluster::start("objects", &[]) else { return };
    assert!(cluster.kubectl_with(&["apply", "-f", "-"], CONFIG).contains("created"));
    assert!(cluster.kubectl_with(&["apply", "-f", "-"], CONFIG).contains("unchanged"));
    let changed = CONFIG.replace("red", "blue");
    assert!(
        cluster
            .kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &changed)
            .contains("serverside-applied")
    );
    assert_eq!(cluster.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.data.colour}"]), "blue");
    std::fs::write(cluster.home.join("new.yaml"), CONFIG).expect("writes");
    let output =
        cluster.kubectl_command(&["diff", "-f", cluster.home.join("new.yaml").to_str().expect("plain")]).output();
    let output = output.expect("kubectl runs");
    assert_eq!(output.status.code(), Some(1), "{}", crate::cluster::text(&output.stderr));
    assert!(crate::cluster::text(&output.stdout).contains("-  colour: blue"));
    cluster.kubectl(&["label", "configmap", "settings", "team=a"]);
    cluster.kubectl(&["annotate", "configmap", "settings", "note=b"]);
    assert!(cluster.kubectl(&["get", "configmap", "-l", "team=a"]).contains("settings"));
    let explained = cluster.kubectl(&["explain", "pod.spec.containers"]);
    assert!(explained.contains("KIND:       Pod") && explained.contains("imagePullPolicy"), "{explained}");
    let resources = cluster.kubectl(&["api-resources"]);
    for kind in ["Pod", "Deployment", "EndpointSlice", "ClusterRoleBinding", "Lease"] {
        assert!(resources.contains(kind), "no {kind} in {resources}");
    }
}

#[test]
fn the_cluster_answers_who_may_do_what_and_how_it_is() {
    let Some(cluster) = Cluster::start("access", &[]) else { return };
    assert_eq!(cluster.kubectl(&["auth", "can-i", "delete", "nodes"]).trim(), "yes");
    let as_default = ["auth", "can-i", "list", "secrets", "--as=system:serviceaccount:default:default"];
    let output = cluster.kubectl_command(&as_default).output().expect("kubectl runs");
    assert_eq!(crate::cluster::text(&output.stdout).trim(), "no");
    assert!(cluster.kubectl(&["cluster-info"]).contains("Kubernetes control plane"));
    assert!(cluster.kubectl(&["get", "--raw", "/readyz?verbose"]).contains("readyz check passed"));
    assert!(cluster.kubectl_fails(&["top", "nodes"]).contains("Metrics API not available"));
    let versions = cluster.kubectl(&["version"]);
    assert!(versions.contains("Server Version: v1.36"), "{versions}");
}
