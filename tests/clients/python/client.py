"""Uses a cluster as programs in Python do: with the official client, in a namespace of its own that it deletes.

Prints a line for each thing that works; the first that does not ends the script with its reason.
"""

import threading

from kubernetes import client, config, dynamic, stream, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward

NAMESPACE = "client-python"
SERVES = "mkdir /www; echo served > /www/page; echo started; exec httpd -f -p 8080 -h /www"


def check(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, not {expected!r}")


def refused(code, call, *args, **kwargs):
    """The message with which a call is refused."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        check(error.status, code)
        return error.body
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def config_map(name, data, **meta):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, **meta), data=data)


def objects_come_and_go(core):
    made = core.create_namespaced_config_map(NAMESPACE, config_map("a", {"k": "1"}))
    made.data["k"] = "2"
    core.replace_namespaced_config_map("a", NAMESPACE, made)
    check(core.read_namespaced_config_map("a", NAMESPACE).data, {"k": "2"})
    message = refused(409, core.replace_namespaced_config_map, "a", NAMESPACE, made)
    assert "the object has been modified" in message, message
    message = refused(409, core.create_namespaced_config_map, NAMESPACE, config_map("a", {}))
    assert "already exists" in message, message
    message = refused(422, core.create_namespaced_config_map, NAMESPACE, config_map("A_", {}))
    assert "RFC 1123" in message, message
    dry = core.delete_namespaced_config_map("a", NAMESPACE, dry_run="All")
    # The client gives this answer as a plain tree.
    check(dry["status"], "Success")
    core.delete_namespaced_config_map("a", NAMESPACE, body=client.V1DeleteOptions(propagation_policy="Background"))
    refused(404, core.read_namespaced_config_map, "a", NAMESPACE)


def lists_come_in_pages(core):
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}", {}, labels={"of": "pages"}))
    names, token, pages = [], None, 0
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="of=pages", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token, pages = page.metadata._continue or "", pages + 1
    check((names, pages), ([f"page-{number}" for number in range(7)], 3))
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="of in (pages, books)")
    check(core.list_namespaced_config_map(NAMESPACE, label_selector="of=pages").items, [])
    found = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=kube-root-ca.crt")
    check(len(found.items), 1)


def changes_are_watched(core):
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NAMESPACE, config_map("w", {"k": "1"}))
        core.patch_namespaced_config_map("w", NAMESPACE, {"data": {"k": "2"}})
        core.delete_namespaced_config_map("w", NAMESPACE)

    changing = threading.Thread(target=change)
    changing.start()
    seen = []
    source = watch.Watch()
    for event in source.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=20
    ):
        seen.append((event["type"], event["object"].data))
        if event["type"] == "DELETED":
            source.stop()
    changing.join()
    check(seen, [("ADDED", {"k": "1"}), ("MODIFIED", {"k": "2"}), ("DELETED", {"k": "2"})])
    try:
        next(watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version="1", timeout_seconds=5))
    except (ApiException, StopIteration) as error:
        # Compacted, or not yet, as the server keeps its history.
        check(getattr(error, "status", 410), 410)


def every_kind_of_patch_works(core, apps):
    container = client.V1Container(name="c", image="busybox:latest", env=[client.V1EnvVar(name="A", value="1")])
    labels = {"app": "patched"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="d"), spec=spec)
    apps.create_namespaced_deployment(NAMESPACE, deployment)

    def env(found):
        return {var.name: var.value for var in found.spec.template.spec.containers[0].env}

    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}]}]}}}}
    found = apps.patch_namespaced_deployment("d", NAMESPACE, strategic)
    check(env(found), {"A": "1", "B": "2"})
    # The list itself tells the client to send a JSON patch.
    json_patch = [{"op": "remove", "path": "/spec/template/spec/containers/0/env/0"}]
    found = apps.patch_namespaced_deployment("d", NAMESPACE, json_patch)
    check(len(env(found)), 1)
    merge = {"metadata": {"annotations": {"x": "y", "gone": None}}}
    found = apps.patch_namespaced_deployment("d", NAMESPACE, merge, _content_type="application/merge-patch+json")
    check(found.metadata.annotations["x"], "y")
    scale = apps.read_namespaced_deployment_scale("d", NAMESPACE)
    check((scale.spec.replicas or 0, scale.status.selector), (0, "app=patched"))
    apps.patch_namespaced_deployment_scale("d", NAMESPACE, {"spec": {"replicas": 1}})
    check(apps.read_namespaced_deployment("d", NAMESPACE).spec.replicas, 1)
    apps.delete_namespaced_deployment("d", NAMESPACE)


def objects_are_applied(api):
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": "1"}}

    def apply(value, manager, **options):
        body["data"]["k"] = value
        return maps.server_side_apply(body=body, namespace=NAMESPACE, field_manager=manager, **options)

    apply("1", "one")
    message = refused(409, apply, "2", "two")
    assert "conflict with \\\"one\\\": .data.k" in message, message
    check(apply("2", "two", force_conflicts=True).data.k, "2")
    managers = maps.get(name="applied", namespace=NAMESPACE).metadata.managedFields
    check([(entry.manager, entry.operation) for entry in managers], [("two", "Apply")])


def pod(core):
    container = client.V1Container(
        name="c", image="busybox:latest", image_pull_policy="IfNotPresent", command=["sh", "-c", SERVES]
    )
    core.create_namespaced_pod(
        NAMESPACE,
        client.V1Pod(
            metadata=client.V1ObjectMeta(name="p"),
            spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=0),
        ),
    )
    source = watch.Watch()
    for event in source.stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=p", timeout_seconds=60):
        if event["object"].status.phase == "Running":
            source.stop()
    check(core.read_namespaced_pod("p", NAMESPACE).status.phase, "Running")


def commands_run_in_a_pod(core):
    connect = core.connect_get_namespaced_pod_exec
    found = stream.stream(connect, "p", NAMESPACE, command=["echo", "hi"], stdout=True, stderr=True)
    check(found, "hi\n")
    command = ["sh", "-c", "read line; echo \"out $line\"; echo err >&2; exit 3"]
    session = stream.stream(
        connect, "p", NAMESPACE, command=command, stdin=True, stdout=True, stderr=True, _preload_content=False
    )
    session.write_stdin("in\n")
    session.run_forever(timeout=20)
    check((session.read_stdout(), session.read_stderr(), session.returncode), ("out in\n", "err\n", 3))
    try:
        stream.stream(connect, "none", NAMESPACE, command=["true"], stdout=True)
    except ApiException as error:
        assert "404" in str(error), error


def logs_are_read(core):
    check(core.read_namespaced_pod_log("p", NAMESPACE), "started\n")
    followed = core.read_namespaced_pod_log("p", NAMESPACE, follow=True, tail_lines=1, _preload_content=False)
    check(next(iter(followed.stream(1024))), b"started\n")
    followed.close()
    message = refused(400, core.read_namespaced_pod_log, "p", NAMESPACE, previous=True)
    assert "previous terminated container" in message, message
    stamped = core.read_namespaced_pod_log("p", NAMESPACE, timestamps=True).split(" ")[0]
    assert stamped.endswith("Z"), stamped


def ports_are_forwarded(core):
    forward = portforward.portforward if callable(getattr(portforward, "portforward", None)) else portforward
    ports = forward(core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="8080")
    socket = ports.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    answer = b""
    while part := socket.recv(1024):
        answer += part
    socket.close()
    assert answer.endswith(b"served\n"), answer
    check(ports.error(8080), None)
    found = core.connect_get_namespaced_pod_proxy_with_path("p:8080", NAMESPACE, "page")
    check(found.strip(), "served")


def one_leads_at_a_time():
    led = []

    def candidate(name, done):
        lock = LeaseLock("leader", NAMESPACE, name)

        def lead():
            led.append(name)
            done.set()

        settings = electionconfig.Config(
            lock, lease_duration=5, renew_deadline=3, retry_period=1, onstarted_leading=lead, onstopped_leading=None
        )
        threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()

    first, second = threading.Event(), threading.Event()
    candidate("one", first)
    assert first.wait(20), "nobody leads"
    candidate("two", second)
    assert not second.wait(3), "two lead"
    check(led, ["one"])
    lease = client.CoordinationV1Api().read_namespaced_lease("leader", NAMESPACE)
    check(lease.spec.holder_identity, "one")


def tokens_are_people(core, api):
    core.create_namespaced_service_account(NAMESPACE, client.V1ServiceAccount(metadata={"name": "robot"}))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", NAMESPACE, request).status.token
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token}"}
    robot = client.ApiClient(settings)
    review = client.AuthenticationV1Api(robot).create_self_subject_review({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    check(review.status.user_info.username, f"system:serviceaccount:{NAMESPACE}:robot")
    message = refused(403, client.CoreV1Api(robot).list_namespaced_pod, NAMESPACE)
    assert "cannot list resource" in message, message


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    try:
        wait_for_account(core)
        steps = [
            (objects_come_and_go, (core,)),
            (lists_come_in_pages, (core,)),
            (changes_are_watched, (core,)),
            (every_kind_of_patch_works, (core, apps)),
            (objects_are_applied, (api,)),
            (pod, (core,)),
            (commands_run_in_a_pod, (core,)),
            (logs_are_read, (core,)),
            (ports_are_forwarded, (core,)),
            (one_leads_at_a_time, ()),
            (tokens_are_people, (core, api)),
        ]
        for step, args in steps:
            step(*args)
            print("ok", step.__name__.replace("_", " "), flush=True)
    finally:
        core.delete_namespace(NAMESPACE)


def wait_for_account(core):
    """A namespace takes pods once its default service account is there."""
    source = watch.Watch()
    for event in source.stream(core.list_namespaced_service_account, NAMESPACE, timeout_seconds=20):
        if event["object"].metadata.name == "default":
            source.stop()


if __name__ == "__main__":
    main()
