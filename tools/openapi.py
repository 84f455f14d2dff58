#!/usr/bin/env python3
"""Make orc-api/data/openapi.zz: descriptions, required fields, enumerations and defaults of the OpenAPI documents.

    tools/openapi.py [K8S_OPENAPI_SOURCE] [PYTHON_CLIENT_MODELS] [OUT]

Sources, all generated from Kubernetes' own documents: the JSON schemas in the crate k8s-openapi (every type but lists), the
models of the Python client (lists), and openapi-enums.txt beside this file. The form is described where it is read:
orc-api/src/openapi/texts.rs.
"""
import glob, json, os, pathlib, re, sys, zlib

HERE = pathlib.Path(__file__).parent
HOME = os.path.expanduser("~")
SOURCE = sys.argv[1] if len(sys.argv) > 1 else glob.glob(f"{HOME}/.cargo/registry/src/*/k8s-openapi-0.29*/src/v1_36")[0]
MODELS = sys.argv[2] if len(sys.argv) > 2 else glob.glob(
    str(HERE.parent / "target/test-venv/lib/python3*/site-packages/kubernetes/client/models"))[0]
OUT = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else HERE.parent / "orc-api/data/openapi.zz")

CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#"
# What lists say of their metadata: a package or a list, then the text.
LIST_META = {
    "": f"Standard list metadata. {CONVENTIONS}types-kinds",
    "apps.v1.DaemonSetList": f"Standard list metadata. {CONVENTIONS}metadata",
    "apps.v1.ControllerRevisionList": CONVENTIONS + "metadata",
    "apps.v1.StatefulSetList": f"Standard list's metadata. {CONVENTIONS}metadata",
    "apps.v1.DeploymentList": "Standard list metadata.",
    "autoscaling.v1": "Standard list metadata.", "autoscaling.v2": "metadata is the standard list metadata.",
    "batch.v1": f"Standard list metadata. {CONVENTIONS}metadata",
    "networking.v1": f"Standard list metadata. {CONVENTIONS}metadata", "networking.v1.IngressClassList": "Standard list metadata.",
    "rbac.v1": "Standard object's metadata.", "policy.v1": f"Standard object's metadata. {CONVENTIONS}metadata",
    "coordination.v1": f"Standard list metadata. {CONVENTIONS}metadata",
    "node.v1": f"Standard list metadata. {CONVENTIONS}metadata", "events.v1": f"Standard list metadata. {CONVENTIONS}metadata",
    "storage.v1": f"Standard list metadata {CONVENTIONS}metadata", "scheduling.v1": f"Standard list metadata {CONVENTIONS}metadata",
    "discovery.v1": "Standard list metadata.", "resource.v1": "Standard list metadata", "certificates.v1": "",
    "flowcontrol.v1": f"`metadata` is the standard list metadata. {CONVENTIONS}metadata",
    "apiextensions.v1": f"Standard object's metadata {CONVENTIONS}metadata",
    "apiregistration.v1": f"Standard list metadata {CONVENTIONS}metadata",
}
# `+default=` of the types; zero values of what is always there follow from the schema table.
DEFAULTS = {
    "core.v1.ContainerPort.protocol": "TCP", "core.v1.ServicePort.protocol": "TCP",
    "core.v1.RBDVolumeSource.pool": "rbd", "core.v1.RBDVolumeSource.user": "admin",
    "core.v1.RBDVolumeSource.keyring": "/etc/ceph/keyring", "core.v1.RBDPersistentVolumeSource.pool": "rbd",
    "core.v1.RBDPersistentVolumeSource.user": "admin", "core.v1.RBDPersistentVolumeSource.keyring": "/etc/ceph/keyring",
    "core.v1.ISCSIVolumeSource.iscsiInterface": "default", "core.v1.ISCSIPersistentVolumeSource.iscsiInterface": "default",
    "core.v1.AzureDiskVolumeSource.cachingMode": "ReadWrite", "core.v1.AzureDiskVolumeSource.fsType": "ext4",
    "core.v1.AzureDiskVolumeSource.kind": "Shared", "core.v1.AzureDiskVolumeSource.readOnly": False,
    "core.v1.ScaleIOVolumeSource.storageMode": "ThinProvisioned", "core.v1.ScaleIOVolumeSource.fsType": "xfs",
    "core.v1.ScaleIOPersistentVolumeSource.storageMode": "ThinProvisioned",
    "core.v1.ScaleIOPersistentVolumeSource.fsType": "xfs", "core.v1.GRPCAction.service": "",
    "core.v1.LocalObjectReference.name": "", "core.v1.SecretEnvSource.name": "", "core.v1.ConfigMapEnvSource.name": "",
    "core.v1.SecretKeySelector.name": "", "core.v1.ConfigMapKeySelector.name": "", "core.v1.SecretProjection.name": "",
    "core.v1.ConfigMapProjection.name": "", "core.v1.ConfigMapVolumeSource.name": "",
}
TEXT = r'"((?:[^"\\]|\\.)*)"'


def text(raw):
    """The value of a Rust string literal's inside; JSON's escapes and Rust's are the same but for Unicode."""
    return json.loads('"' + re.sub(r"\\u\{([0-9a-fA-F]+)\}", lambda m: f"\\u{int(m[1], 16):04x}", raw).replace("\\'", "'") + '"')


def short(name):
    """`core.v1.Container` of `io.k8s.api.core.v1.Container`."""
    return ".".join(name.split(".")[-3:])


def properties(body):
    """The properties of a schema: name and description."""
    start = body.find('            "properties": {\n')
    if start < 0:
        return
    lines = body[start:].split("\n")[1:]
    at = 0
    while not lines[at].startswith("            }"):
        name = re.match(r' {16}"([^"]+)": ', lines[at])
        if name:
            block = [lines[at]]
            while at + 1 < len(lines) and not re.match(r' {16}"|            \}', lines[at + 1]):
                at += 1
                block.append(lines[at])
            block = "\n".join(block)
            said = re.search(r'^ {20}"description": ' + TEXT, block, re.M) or re.search(
                r'insert\("description"\.into\(\), ' + TEXT + r"\.into\(\)\)", block)
            yield name[1], text(said[1]) if said else ""
        at += 1


def types():
    """Every schema of k8s-openapi: name to (description, required, fields)."""
    found = {}
    form = re.compile(r'fn schema_name\(\) -> [^{]*\{\s*"([^"]+)"\.into\(\)\s*\}\s*fn json_schema\([^)]*\) -> [^{]*\{\s*'
                      r"(?:crate::schemars::json_schema!\()(.*?)\n        \}\)\n", re.S)
    for folder, _, files in os.walk(SOURCE):
        for file in files:
            for match in form.finditer(open(os.path.join(folder, file)).read()):
                body = match[2] + "\n}"
                said = re.search(r'^ {12}"description": ' + TEXT, body, re.M)
                required = re.search(r'^ {12}"required": \[(.*?)\]', body, re.M | re.S)
                required = re.findall(TEXT, required[1]) if required else []
                fields = dict(properties(body))
                if "kind" in fields and "apiVersion" in fields and "metadata" in required:
                    required.remove("metadata")  # the crate's own rule
                found[match[1]] = (text(said[1]) if said else "", required, fields)
    event = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"
    whole, rest = found[event][0].split("\n\n", 1)
    found[event] = (whole, ["type", "object"], {"type": "", "object": rest.rstrip("\n")})
    return found


def lists(found):
    """The lists, which k8s-openapi has as one generic type."""
    packages = {}
    for name in found:
        packages.setdefault(name.rsplit(".", 1)[1], []).append(name.rsplit(".", 1)[0])
    for path in sorted(glob.glob(MODELS + "/*_list.py")):
        source = open(path).read()
        match = re.search(r'^class (\w+)\(BaseModel\):\n    """\n    (.*?)\n', source, re.M)
        items = re.search(r"^    items: List\[(\w+)\] = Field\((?:.*?description=" + TEXT + ")?", source, re.M)
        if not match or not items:
            continue
        version, kind = re.match(r"(?:Core|Events)?(V\d+(?:alpha\d+|beta\d+)?)(\w+)List$", match[1]).groups()
        for package in packages.get(kind, []):
            group = match[1].startswith(("Core", "Events"))
            own = match[1].lower().startswith(package.split(".")[-2]) if group else True
            if package.endswith("." + version.lower()) and own and found[f"{package}.{kind}"][2].get("kind") is not None:
                name = f"{package}.{kind}List"
                meta = LIST_META.get(short(name), LIST_META.get(short(package + ".x").rsplit(".", 1)[0], LIST_META[""]))
                fields = {"items": text(items[2] or ""), "metadata": meta}
                fields |= {f: found["io.k8s.api.core.v1.ConfigMap"][2][f] for f in ("apiVersion", "kind")}
                yield name, (match[2].strip(), ["items"], fields)


def enums():
    """Names of enumerations to their values and texts, and fields to names."""
    values, fields = {}, {}
    for line in open(HERE / "openapi-enums.txt"):
        line = line.rstrip("\n")
        if line.startswith("="):
            name, *of = line[1:].split()
            values[name] = []
            fields |= {field: name for field in of}
        elif not line.startswith("#"):
            value, _, said = line.partition(" ")
            values[name].append(("" if value == '""' else value, said))
    return values, fields


# Parameters whose texts have lines: the client's source has lost them.
LINED = {
    "sendInitialEvents": "`sendInitialEvents=true` may be set together with `watch=true`. In that case, the watch stream will begin with synthetic events to produce the current state of objects in the collection. Once all such events have been sent, a synthetic \"Bookmark\" event  will be sent. The bookmark will report the ResourceVersion (RV) corresponding to the set of objects, and be marked with `\"k8s.io/initial-events-end\": \"true\"` annotation. Afterwards, the watch stream will proceed as usual, sending watch events corresponding to changes (subsequent to the RV) to objects watched.\n\nWhen `sendInitialEvents` option is set, we require `resourceVersionMatch` option to also be set. The semantic of the watch request is as following: - `resourceVersionMatch` = NotOlderThan\n  is interpreted as \"data at least as new as the provided `resourceVersion`\"\n  and the bookmark event is send when the state is synced\n  to a `resourceVersion` at least as fresh as the one provided by the ListOptions.\n  If `resourceVersion` is unset, this is interpreted as \"consistent read\" and the\n  bookmark event is send when the state is synced at least to the moment\n  when request started being processed.\n- `resourceVersionMatch` set to any other value or unset\n  Invalid error is returned.\n\nDefaults to true if `resourceVersion=\"\"` or `resourceVersion=\"0\"` (for backward compatibility reasons) and to false otherwise.",
}
# What asks: the name of the parameters' set, and a method of the client that takes them.
ASKED = {
    "list": "list_namespace", "write": "create_namespace", "patch": "patch_namespace", "delete": "delete_namespace",
    "exec": "connect_get_namespaced_pod_exec", "attach": "connect_get_namespaced_pod_attach",
    "portforward": "connect_get_namespaced_pod_portforward", "pods/proxy": "connect_get_namespaced_pod_proxy",
    "services/proxy": "connect_get_namespaced_service_proxy", "nodes/proxy": "connect_get_node_proxy",
    "log": "read_namespaced_pod_log",
}


def parameters():
    """The query parameters of each set: set, name, type, text."""
    source = open(pathlib.Path(MODELS).parent / "api/core_v1_api.py").read()
    yield "exec", "command", "string", "Command is the remote command to execute. argv array. Not executed within a shell."
    for asked, method in ASKED.items():
        head = re.search(rf"^    def {method}\((.*?)\) -> ", source, re.M | re.S)[1]
        form = re.compile(r"^        (\w+): Annotated\[(?:Optional\[)?(Strict\w+).*?description=" + TEXT, re.M)
        for name, kind, said in form.findall(head):
            words = name.lstrip("_").split("_")
            camel = words[0] + "".join(word.title() for word in words[1:])
            camel = camel.replace("Tls", "TLS")
            if camel in ("name", "namespace", "command"):
                continue
            kind = {"StrictStr": "string", "StrictBool": "boolean", "StrictInt": "integer"}[kind]
            said = LINED.get(camel) or text(said).replace(".  ", ".\n\n").replace("details. Defaults", "details.\n\nDefaults")
            yield asked, camel, kind, said


def main():
    found = types()
    found |= dict(lists(found))
    values, enumerated = enums()
    quoted = lambda value: json.dumps(value, ensure_ascii=False)[1:-1]
    out = []
    for name, of in sorted(values.items()):
        said = "\n".join(f" - `\"{value}\"`" + (f" {what}" if what else "") for value, what in of)
        out.append(f"#{name}\t{quoted('Possible enum values:' + chr(10) + said)}\t{json.dumps([v for v, _ in of])}")
    out += [f"?{asked}/{name}\t{quoted(said)}\t{kind}" for asked, name, kind, said in parameters()]
    used = set()
    for name, (said, required, fields) in sorted(found.items()):
        out.append(f"={name}\t{quoted(said)}\t{','.join(required)}")
        for field, what in sorted(fields.items()):
            key, element = f"{short(name)}.{field}", f"{short(name)}.*{field}"
            extra = ""
            for known in (key, element):
                if known in enumerated:
                    used.add(known)
                    extra = ("*" if known == element else "") + enumerated[known]
            default = json.dumps(DEFAULTS[key]) if key in DEFAULTS else ""
            out.append(f"{field}\t{quoted(what)}\t{extra}\t{default}".rstrip("\t"))
    missing = set(enumerated) - used
    assert not missing, missing
    raw = ("\n".join(out) + "\n").encode()
    packed = zlib.compress(raw, 9)
    OUT.write_bytes(packed)
    print(f"{len(found)} types, {len(raw)} bytes, {len(packed)} packed")


main()
