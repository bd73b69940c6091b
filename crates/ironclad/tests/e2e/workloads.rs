//! Workloads of every kind with real containers: they roll, end, give way and are spared.

use crate::cluster::Cluster;

const WAIT: &str = "--timeout=90s";

/// A pod spec that runs a shell command.
fn spec(command: &str, more: &str) -> String {
    format!(
        "{{terminationGracePeriodSeconds: 0, {more} containers: [{{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, '{command}']}}]}}"
    )
}

/// An object of a kind with a selector and a template.
fn workload(kind: &str, name: &str, more: &str) -> String {
    let pod = spec("sleep 3600", "");
    format!(
        "\n---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}
spec: {{{more} selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {pod}}}}}"
    )
}

fn job(name: &str, more: &str, command: &str) -> String {
    let pod = spec(command, "restartPolicy: Never,");
    format!(
        "\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{{more} template: {{spec: {pod}}}}}"
    )
}

#[test]
fn workloads_of_every_kind_run_roll_and_end() {
    let Some(cluster) = Cluster::start("work", &["--nodes", "2"]) else { return };
    cluster.load_images();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {clusterIP: None, selector: {app: db}}";
    let all = service.to_owned()
        + &workload("StatefulSet", "db", "replicas: 2, serviceName: db,")
        + &workload("DaemonSet", "log", "")
        + &job("index", "completions: 3, parallelism: 3, completionMode: Indexed,", "echo $JOB_COMPLETION_INDEX")
        + &job("fails", "backoffLimit: 0,", "exit 3");
    cluster.kubectl_with(&["apply", "-f", "-"], &all);
    cluster.kubectl(&["rollout", "status", "statefulset/db", WAIT]);
    cluster.kubectl(&["rollout", "status", "daemonset/log", WAIT]);
    cluster.kubectl(&["wait", "--for=condition=complete", "job/index", WAIT]);
    cluster.kubectl(&["wait", "--for=condition=failed", "job/fails", WAIT]);
    let mut said: Vec<_> = cluster
        .kubectl(&["logs", "-l", "batch.kubernetes.io/job-name=index"])
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    said.sort();
    assert_eq!(said, ["0", "1", "2"]);
    let of = |app: &str, path: &str| {
        let path = format!("jsonpath={{range .items[*]}}{{{path}}} {{end}}");
        cluster.kubectl(&["get", "pods", "-l", &format!("app={app}"), "-o", &path])
    };
    assert_eq!(of("db", ".metadata.name").trim(), "db-0 db-1");
    assert_eq!(of("log", ".spec.nodeName").split_whitespace().collect::<std::collections::BTreeSet<_>>().len(), 2);
    let host = cluster.kubectl(&["exec", "db-1", "--", "nslookup", "db-0.db.default.svc.cluster.local"]);
    assert!(host.contains("Name:"), "{host}");

    cluster.kubectl(&["set", "env", "statefulset/db", "COLOR=blue"]);
    cluster.kubectl(&["set", "env", "daemonset/log", "COLOR=blue"]);
    cluster.kubectl(&["rollout", "status", "statefulset/db", WAIT]);
    cluster.kubectl(&["rollout", "status", "daemonset/log", WAIT]);
    cluster.kubectl(&["rollout", "undo", "statefulset/db"]);
    cluster.kubectl(&["rollout", "status", "statefulset/db", WAIT]);
    let env = cluster.kubectl(&["exec", "db-0", "--", "env"]);
    assert!(!env.contains("COLOR"), "{env}");
}

#[test]
fn a_drain_honours_budgets_and_a_pod_of_higher_priority_makes_room() {
    let Some(cluster) = Cluster::start("drain", &["--nodes", "2"]) else { return };
    cluster.load_images();
    let budget = "\n---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}";
    let spread = workload("Deployment", "web", "replicas: 3,").replace(
        "containers:",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
    labelSelector: {matchLabels: {app: web}}}], containers:",
    );
    cluster.kubectl_with(&["apply", "-f", "-"], &(spread + budget));
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    cluster.kubectl(&["wait", "--for=jsonpath={.status.disruptionsAllowed}=1", "pdb/web", WAIT]);
    let second = format!("{}-m02", cluster.name);
    cluster.kubectl(&["drain", &second, WAIT]);
    let left = cluster.kubectl(&[
        "get",
        "pods",
        "-o",
        &format!("jsonpath={{.items[?(@.spec.nodeName==\"{second}\")].metadata.name}}"),
    ]);
    assert_eq!(left, "");
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);

    // Nearly all of the one node's processors are asked for by a pod that matters less.
    let cpus = cluster.kubectl(&["get", "node", &cluster.name, "-o", "jsonpath={.status.allocatable.cpu}"]);
    let most: u32 = cpus.parse::<u32>().unwrap() * 1000 * 6 / 10;
    let pod = |name: &str, class: &str| {
        let spec = spec("sleep 3600", class)
            .replace("name: c,", &format!("name: c, resources: {{requests: {{cpu: {most}m}}}},"));
        format!("\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}")
    };
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 1000";
    cluster.kubectl_with(&["apply", "-f", "-"], &(class.to_owned() + &pod("low", "")));
    cluster.kubectl(&["wait", "--for=condition=ready", "pod/low", WAIT]);
    cluster.kubectl_with(&["apply", "-f", "-"], &pod("high", "priorityClassName: high,"));
    cluster.kubectl(&["wait", "--for=condition=ready", "pod/high", WAIT]);
    cluster.kubectl(&["wait", "--for=delete", "pod/low", WAIT]);
}
