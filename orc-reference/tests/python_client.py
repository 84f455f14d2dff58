"""Creates, watches and deletes a Deployment with the official Python client. Argument: a kubeconfig."""
import sys

from kubernetes import client, config, watch

config.load_kube_config(sys.argv[1])
apps, core = client.AppsV1Api(), client.CoreV1Api()
container = client.V1Container(name="c", image="host", command=["sleep", "3600"])
labels = {"app": "python"}
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels=labels),
    spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1),
)
spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
body = client.V1Deployment(metadata=client.V1ObjectMeta(name="python"), spec=spec)
made = apps.create_namespaced_deployment("default", body)
assert made.metadata.uid, made

watcher = watch.Watch()
for event in watcher.stream(
    apps.list_namespaced_deployment, "default", resource_version=made.metadata.resource_version, timeout_seconds=80
):
    found = event["object"]
    if found.metadata.name == "python" and found.status.ready_replicas == 2:
        watcher.stop()
        break
else:
    sys.exit("the deployment did not become ready")

pods = core.list_namespaced_pod("default", label_selector="app=python").items
assert len(pods) == 2, [pod.metadata.name for pod in pods]
apps.delete_namespaced_deployment("python", "default")
for event in watch.Watch().stream(core.list_namespaced_pod, "default", label_selector="app=python", timeout_seconds=80):
    if event["type"] == "DELETED" and not core.list_namespaced_pod("default", label_selector="app=python").items:
        break
else:
    sys.exit("the pods did not go")
try:
    apps.read_namespaced_deployment("python", "default")
    sys.exit("the deployment is still there")
except client.ApiException as error:
    assert error.status == 404, error
print("ok")
