"""A tour of the official Python client: every kind of patch, pages, watches, custom objects, the dynamic client, a lease.

Argument: a kubeconfig. Ends with status 0 and `ok`, or with what was wrong.
"""
import sys
import threading

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

config.load_kube_config(sys.argv[1])
core, custom = client.CoreV1Api(), client.CustomObjectsApi()
NAMESPACE = "default"


def refused(status, call, *args, **kwargs):
    """Calls what must be refused with a status, and gives the error."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert error.status == status, error
        return error
    raise AssertionError(f"{call.__name__} was not refused")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"tour": "python"}), data=data)


def patches():
    core.create_namespaced_config_map(NAMESPACE, config_map("p", a="1", b="2"))

    def patch(body, content_type):
        return core.patch_namespaced_config_map("p", NAMESPACE, body, field_manager="tour", _content_type=content_type)

    assert patch({"data": {"a": None}}, "application/merge-patch+json").data == {"b": "2"}
    assert patch({"data": {"c": "3"}}, "application/strategic-merge-patch+json").data == {"b": "2", "c": "3"}
    steps = [{"op": "replace", "path": "/data/b", "value": "4"}]
    assert patch(steps, "application/json-patch+json").data == {"b": "4", "c": "3"}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"d": "5"}}
    applied = patch(whole, "application/apply-patch+yaml")
    assert applied.data == {"b": "4", "c": "3", "d": "5"}
    assert any(field.operation == "Apply" and field.manager == "tour" for field in applied.metadata.managed_fields)
    stale = core.read_namespaced_config_map("p", NAMESPACE)
    core.replace_namespaced_config_map("p", NAMESPACE, config_map("p", e="6"))
    assert "the object has been modified" in refused(409, core.replace_namespaced_config_map, "p", NAMESPACE, stale).body


def pages():
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}", n=str(number)))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="tour=python", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata.var_continue
        if not token:
            break
        assert page.metadata.remaining_item_count is None, "what a selector leaves is not counted"
    assert names == ["p"] + [f"page-{number}" for number in range(7)], names
    everything = len(core.list_namespaced_config_map(NAMESPACE).items)
    assert core.list_namespaced_config_map(NAMESPACE, limit=1).metadata.remaining_item_count == everything - 1
    refused(400, core.list_namespaced_config_map, NAMESPACE, limit=3, _continue="no token")
    refused(400, core.list_namespaced_config_map, NAMESPACE, label_selector="a in b")


def watches():
    listed = core.list_namespaced_config_map(NAMESPACE)
    version = listed.metadata.resource_version
    core.patch_namespaced_config_map("page-0", NAMESPACE, {"data": {"seen": "yes"}})
    core.delete_namespaced_config_map("page-6", NAMESPACE)
    seen = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=30
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            break
    assert seen == [("MODIFIED", "page-0"), ("DELETED", "page-6")], seen
    # A revision that is long gone: the client is told so, and starts over from a list.
    gone = None
    try:
        for _ in watch.Watch().stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version="1", timeout_seconds=30
        ):
            break
    except ApiException as error:
        gone = error
    assert gone is None or gone.status == 410, gone
    late = str(int(core.list_namespaced_config_map(NAMESPACE).metadata.resource_version) + 1_000_000)
    assert "Too large resource version" in refused(
        504, core.list_namespaced_config_map, NAMESPACE, resource_version=late, _request_timeout=30
    ).body


def own_kind():
    schema = {"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1}}}, "status": {"type": "object", "properties": {"seen": {"type": "boolean"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                  "metadata": {"name": "gadgets.tour.example"}, "spec": {
                      "group": "tour.example", "scope": "Namespaced", "versions": [version],
                      "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}}}
    extensions = client.ApiextensionsV1Api()
    extensions.create_custom_resource_definition(definition)
    for event in watch.Watch().stream(
        extensions.list_custom_resource_definition, field_selector="metadata.name=gadgets.tour.example", timeout_seconds=30
    ):
        conditions = event["object"].status.conditions or []
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            break
    else:
        raise AssertionError("the definition was not established")
    where = ("tour.example", "v1", NAMESPACE, "gadgets")

    def gadget(name, size):
        return {"apiVersion": "tour.example/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"size": size}}

    custom.create_namespaced_custom_object(*where, gadget("one", 1))
    body = refused(422, custom.create_namespaced_custom_object, *where, gadget("two", 0)).body
    assert "spec.size in body should be greater than or equal to 1" in body, body
    custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"seen": True}})
    assert custom.get_namespaced_custom_object(*where, "one")["status"] == {"seen": True}

    discovered = dynamic.DynamicClient(client.ApiClient())
    gadgets = discovered.resources.get(api_version="tour.example/v1", kind="Gadget")
    gadgets.create(body=gadget("three", 3), namespace=NAMESPACE)
    assert sorted(item.metadata.name for item in gadgets.get(namespace=NAMESPACE).items) == ["one", "three"]
    applied = gadgets.server_side_apply(
        body=gadget("three", 4), namespace=NAMESPACE, field_manager="tour", force_conflicts=True
    )
    assert applied.spec.size == 4
    deployments = discovered.resources.get(api_version="apps/v1", kind="Deployment")
    assert "patch" in deployments.verbs and deployments.namespaced
    extensions.delete_custom_resource_definition("gadgets.tour.example")


def from_files():
    """Objects of several groups at once, as `create_from_yaml` finds their APIs; the second time each is there already."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    items = [
        {"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "listed"}, "data": {"a": "b"}}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "listed"}, "rules": rules},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "listed"}, "spec": {"podSelector": {}}},
    ]
    for item in items:
        utils.create_from_dict(client.ApiClient(), item)
        try:
            utils.create_from_dict(client.ApiClient(), item)
            raise AssertionError(f"made twice: {item}")
        except utils.FailToCreateError as error:
            assert [one.status for one in error.api_exceptions] == [409], error
    assert core.read_namespaced_config_map("listed", NAMESPACE).data == {"a": "b"}


def election():
    """Two candidates for one lock: one leads, the other does not while the first holds it. Both kinds of lock."""
    for lock in (ConfigMapLock, LeaseLock):
        elected(lock)


def elected(make):
    led = threading.Event()
    lock = make("leader", NAMESPACE, "first")
    settings = electionconfig.Config(
        lock, lease_duration=17, renew_deadline=15, retry_period=1, onstarted_leading=led.set, onstopped_leading=lambda: None
    )
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
    assert led.wait(60), "nobody leads"
    second = make("leader", NAMESPACE, "second")
    found, record = second.get("leader", NAMESPACE)
    assert found and record.holder_identity == "first", record


def evictions():
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="evicted"), spec=client.V1PodSpec(
        containers=[client.V1Container(name="c", image="c")], termination_grace_period_seconds=0))
    core.create_namespaced_pod(NAMESPACE, pod)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="evicted"))
    core.create_namespaced_pod_eviction("evicted", NAMESPACE, eviction)


for part in (patches, pages, watches, own_kind, from_files, election, evictions):
    part()
    print(part.__name__, flush=True)
assert client.AuthenticationV1Api().create_self_subject_review({}).status.user_info.username
assert client.VersionApi().get_code().minor.startswith("36")
print("ok")
