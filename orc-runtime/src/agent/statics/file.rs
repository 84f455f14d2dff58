//! Reading a static pod from a file.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Toleration};
use orc_core::ObjectKey;
use orc_core::schema::{self, Schema};
use orc_core::validation::names::dns1123_subdomain;
use serde_json::Value;

use super::{HASH, SOURCE};

/// A longer file is no pod; the kubelet's limit.
const MAX_BYTES: u64 = 10 << 20;

/// The files of a folder that may hold pods: `*.yaml`, `*.yml` and `*.json`, hidden ones left out. A file stands for itself.
pub(super) fn list(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    if folder.is_file() {
        return Ok([folder.to_owned()].into());
    }
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let named = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if named && !hidden && path.is_file() {
            found.insert(path);
        }
    }
    Ok(found)
}

/// The pod of a file, under the name that it has on this node.
pub(super) fn read(path: &Path, node: &str) -> Result<(ObjectKey, Pod), String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| error.to_string())?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err("it does not hold exactly one pod".to_owned());
    };
    let pod = checked(document)?;
    let pod = placed(pod, &path.to_string_lossy(), node)?;
    Ok((ObjectKey::of(&pod), pod))
}

/// The document as a pod, or why it is none.
fn checked(document: Value) -> Result<Pod, String> {
    let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
    if (text("apiVersion").as_str(), text("kind").as_str()) != ("v1", "Pod") {
        return Err(format!("it is {:?} of {:?}, not a Pod of \"v1\"", text("kind"), text("apiVersion")));
    }
    let message = Schema::builtin().message_of("", "v1", "Pod");
    let decoded = schema::check(&document, message).map_err(|error| error.to_string())?;
    if let Some(error) = decoded.strict_error() {
        return Err(error);
    }
    let pod: Pod = serde_json::from_value(document).map_err(|error| format!("invalid pod: {error}"))?;
    sound(&pod)?;
    Ok(pod)
}

/// What the API would refuse anyhow, and what a pod that may run without the API cannot use.
fn sound(pod: &Pod) -> Result<(), String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err("metadata.name: Required value: name or generateName is required".to_owned());
    }
    let spec = pod.spec.as_ref().filter(|spec| !spec.containers.is_empty());
    let spec = spec.ok_or("spec.containers: Required value")?;
    let mut seen = BTreeSet::new();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        if !seen.insert(&container.name) {
            return Err(format!("spec.containers: Duplicate value: {:?}", container.name));
        }
        if container.image.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("spec.containers: Required value: container {:?} has no image", container.name));
        }
    }
    if spec.ephemeral_containers.as_ref().is_some_and(|all| !all.is_empty()) {
        return Err("spec.ephemeralContainers: Forbidden: cannot be set on create".to_owned());
    }
    match referenced(spec) {
        Some(what) => Err(format!("static pods may not reference {what}")),
        None => Ok(()),
    }
}

/// The first kind of object that a pod refers to: a static pod must run without the API (KEP-1458 in spirit; the API refuses
/// the mirror too).
fn referenced(spec: &k8s_openapi::api::core::v1::PodSpec) -> Option<&'static str> {
    if spec.service_account_name.as_deref().or(spec.service_account.as_deref()).is_some_and(|name| !name.is_empty()) {
        return Some("a service account");
    }
    if spec.resource_claims.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("resource claims");
    }
    for volume in spec.volumes.iter().flatten() {
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for source in projected {
            match source {
                _ if source.config_map.is_some() => return Some("configmaps"),
                _ if source.secret.is_some() => return Some("secrets"),
                _ if source.service_account_token.is_some() => return Some("service account tokens"),
                _ if source.cluster_trust_bundle.is_some() => return Some("cluster trust bundles"),
                _ => {}
            }
        }
        match volume {
            _ if volume.config_map.is_some() => return Some("configmaps"),
            _ if volume.secret.is_some() => return Some("secrets"),
            _ if volume.persistent_volume_claim.is_some() => return Some("persistentvolumeclaims"),
            _ if volume.ephemeral.is_some() => return Some("ephemeral volumes"),
            _ => {}
        }
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let from = container.env_from.iter().flatten();
        let values = container.env.iter().flatten().filter_map(|var| var.value_from.as_ref());
        let (mut maps, mut secrets) = (false, false);
        from.for_each(|from| {
            maps |= from.config_map_ref.is_some();
            secrets |= from.secret_ref.is_some();
        });
        values.for_each(|source| {
            maps |= source.config_map_key_ref.is_some();
            secrets |= source.secret_key_ref.is_some();
        });
        match (maps, secrets) {
            (true, _) => return Some("configmaps"),
            (_, true) => return Some("secrets"),
            _ => {}
        }
    }
    None
}

/// Gives the pod its name, identity and marks on this node.
fn placed(mut pod: Pod, source: &str, node: &str) -> Result<Pod, String> {
    let hash = hash(&pod, source, node)?;
    let meta = &mut pod.metadata;
    let name = format!("{}-{}", meta.name.as_deref().unwrap_or_default(), node.to_lowercase());
    if let Some(why) = dns1123_subdomain(&name).first() {
        return Err(format!("metadata.name: Invalid value: {name:?}: {why}"));
    }
    meta.name = Some(name);
    meta.namespace.get_or_insert_with(|| "default".to_owned());
    meta.uid = Some(hash.clone());
    meta.generation = None;
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(HASH.to_owned(), hash);
    annotations.insert(SOURCE.to_owned(), "file".to_owned());
    annotations.remove(super::MIRROR);
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node.to_owned());
    // It is not driven away by the node's own troubles.
    let every =
        Toleration { operator: Some("Exists".to_owned()), effect: Some("NoExecute".to_owned()), ..Default::default() };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&every) {
        tolerations.push(every);
    }
    pod.status = None;
    Ok(pod)
}

/// 128 bits that are others for another node, file or pod.
fn hash(pod: &Pod, source: &str, node: &str) -> Result<String, String> {
    let body = serde_json::to_string(pod).map_err(|error| error.to_string())?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [node, source, &body] {
        digest.update(part.as_bytes());
        digest.update(&[0]);
    }
    Ok(digest.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}
