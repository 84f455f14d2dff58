//! Discovery documents, made from the catalogue: which groups, versions, resources and verbs are served.

use orc_core::catalogue::{Catalogue, GroupInfo, Served, SubresourceInfo};
use serde_json::{Map, Value, json};

/// `/api`: the versions of the core group.
pub fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
}

/// `/apis`: the groups.
pub fn groups(catalogue: &Catalogue) -> Value {
    let groups: Vec<Value> = catalogue.groups().iter().filter(|g| !g.name.is_empty()).map(group_entry).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub fn group(catalogue: &Catalogue, name: &str) -> Option<Value> {
    let mut entry = group_entry(&catalogue.group(name).filter(|g| !g.name.is_empty())?);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

fn group_entry(group: &GroupInfo) -> Value {
    let version = |version: &str| json!({"groupVersion": group_version(&group.name, version), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(|v| version(v)).collect();
    json!({"name": &*group.name, "preferredVersion": versions.first(), "versions": versions})
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/api/v1` and `/apis/<group>/<version>`: the resources with their sub-resources.
pub fn resources(catalogue: &Catalogue, group: &str, version: &str) -> Option<Value> {
    let served = catalogue.in_version(group, version);
    if served.is_empty() {
        return None;
    }
    let resources: Vec<Value> = served.iter().flat_map(plain_entries).collect();
    let mut list =
        json!({"kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": resources});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn plain_entries(served: &Served) -> Vec<Value> {
    let (info, version) = (&served.info, served.version());
    let mut entry = json!({"name": info.plural, "singularName": info.singular, "namespaced": info.is_namespaced(),
        "kind": info.kind, "verbs": version.verbs});
    put_list(&mut entry, "shortNames", &info.short_names);
    put_list(&mut entry, "categories", &info.categories);
    let sub = |sub: &SubresourceInfo| {
        let mut entry = json!({"name": format!("{}/{}", info.plural, sub.name), "singularName": "",
            "namespaced": info.is_namespaced(), "kind": sub.kind, "verbs": sub.verbs});
        if let Some(foreign) = &sub.foreign {
            entry["group"] = (*foreign.group).into();
            entry["version"] = (*foreign.version).into();
        }
        entry
    };
    std::iter::once(entry).chain(version.subresources.iter().map(sub)).collect()
}

fn put_list(entry: &mut Value, name: &str, list: &[String]) {
    if !list.is_empty() {
        entry[name] = json!(list);
    }
}

/// The aggregated form: everything in one document, of the core group or of all others.
pub fn aggregated(catalogue: &Catalogue, core: bool) -> Value {
    let wanted = |group: &GroupInfo| group.name.is_empty() == core;
    let items: Vec<Value> =
        catalogue.groups().iter().filter(|g| wanted(g)).map(|g| aggregated_group(catalogue, g)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(catalogue: &Catalogue, group: &GroupInfo) -> Value {
    let version = |version: &str| {
        let resources: Vec<Value> = catalogue.in_version(&group.name, version).iter().map(aggregated_entry).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<Value> = group.versions.iter().map(|v| version(v)).collect();
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name".into(), (*group.name).into());
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_entry(served: &Served) -> Value {
    let (info, version) = (&served.info, served.version());
    // Group and version are left empty where they are those of the document around the entry.
    let kind_of = |sub: &SubresourceInfo| match &sub.foreign {
        Some(foreign) => json!({"group": &*foreign.group, "version": &*foreign.version, "kind": sub.kind}),
        None => json!({"group": "", "version": "", "kind": sub.kind}),
    };
    let subresources: Vec<Value> = version
        .subresources
        .iter()
        .map(|sub| json!({"subresource": sub.name, "responseKind": kind_of(sub), "verbs": sub.verbs}))
        .collect();
    let mut entry = json!({
        "resource": info.plural, "responseKind": {"group": "", "version": "", "kind": info.kind},
        "scope": if info.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": info.singular, "verbs": version.verbs,
    });
    put_list(&mut entry, "shortNames", &info.short_names);
    put_list(&mut entry, "categories", &info.categories);
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// `/`: the paths that are served.
pub fn paths(catalogue: &Catalogue) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in catalogue.groups().iter().filter(|g| !g.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{version}", group.name)));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    paths.sort();
    json!({"paths": paths})
}
