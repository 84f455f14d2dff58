//! Claims of persistent volumes: from the claim to the volume that it is bound to, to the directory on this node.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PersistentVolumeSpec, Pod,
};
use orc_store::Api;

use super::super::context::{Context, namespace_of};
use super::host_path;

/// Makes the claim's directory appear at `at`: a link that the mounts of the containers follow.
///
/// # Errors
/// In the kubelet's words: no such claim, one that is not bound (yet), a kind of volume that this node cannot reach.
pub(super) async fn link(
    context: &Context,
    pod: &Pod,
    source: &PersistentVolumeClaimVolumeSource,
    at: &Path,
) -> Result<(), String> {
    let namespace = namespace_of(pod);
    let name = &source.claim_name;
    let path = directory(context, namespace, name).await;
    let path = path.map_err(|why| format!("error processing PVC {namespace}/{name}: {why}"))?;
    place(&path, at).map_err(|error| format!("link {} to {}: {error}", at.display(), path.display()))
}

async fn directory(context: &Context, namespace: &str, name: &str) -> Result<PathBuf, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.env.client.clone(), namespace);
    let claim = claims.get(name).await.map_err(|error| format!("failed to fetch PVC from API server: {error}"))?;
    let bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    let Some(volume) = volume.filter(|_| bound) else { return Err("PVC is not bound".to_owned()) };
    let volumes: Api<PersistentVolume> = Api::all(context.env.client.clone());
    let found = volumes.get(volume).await;
    let found = found.map_err(|error| format!("failed to fetch PV {volume} from API server: {error}"))?;
    let spec = found.spec.clone().unwrap_or_default();
    // The volume may be promised to a claim that is gone, of the same name as this one.
    if spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_ref()) != claim.metadata.uid.as_ref() {
        return Err(format!("PV {volume} is not bound to this claim: its spec.claimRef.uid names another one"));
    }
    path_of(&spec)
}

fn path_of(spec: &PersistentVolumeSpec) -> Result<PathBuf, String> {
    if let Some(host) = &spec.host_path {
        host_path::check(host)?;
        return Ok(PathBuf::from(&host.path));
    }
    if let Some(local) = &spec.local {
        let path = PathBuf::from(&local.path);
        return if path.is_dir() { Ok(path) } else { Err(format!("path {:?} does not exist", local.path)) };
    }
    Err("orc's nodes reach persistent volumes of the kinds hostPath and local only".to_owned())
}

/// Puts the link in place, in one step where an older one stands.
fn place(path: &Path, at: &Path) -> io::Result<()> {
    if fs::read_link(at).is_ok_and(|present| present == path) {
        return Ok(());
    }
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    let next = at.with_extension("next");
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(path, &next)?;
    fs::rename(next, at)
}
