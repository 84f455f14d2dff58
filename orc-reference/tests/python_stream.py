"""exec and port-forward with the official Python client. Argument: a kubeconfig with a pod `web` that serves port 8080."""
import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()


def run(command, **options):
    return stream(core.connect_get_namespaced_pod_exec, "web", "default", command=command, stderr=True, stdin=False,
                  stdout=True, tty=False, **options)


assert run(["echo", "hello"]) == "hello\n"

session = stream(core.connect_get_namespaced_pod_exec, "web", "default", command=["sh", "-c", "read a; echo <$a>; exit 5"
                 .replace("<", "[").replace(">", "]")], stderr=True, stdin=True, stdout=True, tty=False,
                 _preload_content=False)
session.write_stdin("input\n")
session.run_forever(timeout=20)
assert session.read_stdout() == "[input]\n", "stdout"
assert session.returncode == 5, session.returncode

forward = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="8080")
socket = forward.socket(8080)
socket.setblocking(True)
socket.sendall(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
page = b""
while True:
    part = socket.recv(4096)
    if not part:
        break
    page += part
assert b"Directory listing" in page, page
assert forward.error(8080) is None, forward.error(8080)
