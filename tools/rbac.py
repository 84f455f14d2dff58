#!/usr/bin/env python3
"""Makes orc-api/data/rbac.txt, the roles that every cluster starts with, from ../shared/facts/default-rbac-1.36.json.

Lines: `role NAMESPACE NAME [aggregates=X] [into=X,Y]`, then its rules, tab-separated:
verbs, groups, resources, names, paths (comma lists, `-` for none); and
`bind NAMESPACE NAME KIND/ROLE SUBJECT...` with subjects `User:n`, `Group:n`, `ServiceAccount:ns/n`.
A namespace of `-` is the cluster.
"""
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACTS = ROOT.parent / "shared" / "facts" / "default-rbac-1.36.json"
PREFIX = "rbac.authorization.k8s.io/aggregate-to-"


def commas(items):
    return ",".join(item or '""' for item in items) if items else "-"


def role(item):
    meta = item["metadata"]
    into = [key.removeprefix(PREFIX) for key in meta.get("labels", {}) if key.startswith(PREFIX)]
    parts = ["role", meta.get("namespace", "-"), meta["name"]]
    for selector in item.get("aggregationRule", {}).get("clusterRoleSelectors", []):
        parts += [f"aggregates={key.removeprefix(PREFIX)}" for key in selector["matchLabels"]]
    if into:
        parts.append("into=" + ",".join(sorted(into)))
    yield " ".join(parts)
    for rule in item.get("rules") or []:
        names = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        yield "\t".join(commas(rule.get(name)) for name in names)


def binding(item):
    meta, to = item["metadata"], item["roleRef"]
    parts = ["bind", meta.get("namespace", "-"), meta["name"], f"{to['kind']}/{to['name']}"]
    for subject in item.get("subjects") or []:
        place = f"{subject['namespace']}/" if subject["kind"] == "ServiceAccount" else ""
        parts.append(f"{subject['kind']}:{place}{subject['name']}")
    yield " ".join(parts)


def main():
    facts = json.loads(FACTS.read_text())
    lines = [line for kind in ("clusterroles", "roles") for item in facts[kind] for line in role(item)]
    lines += [line for kind in ("clusterrolebindings", "rolebindings") for item in facts[kind] for line in binding(item)]
    target = ROOT / "orc-api" / "data" / "rbac.txt"
    target.write_text("\n".join(lines) + "\n")


main()
