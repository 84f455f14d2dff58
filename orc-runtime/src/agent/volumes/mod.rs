//! The volumes of a pod: directories under the agent's data directory, filled from the API.
//!
//! Supported: `emptyDir` (with medium `Memory` a tmpfs), `hostPath`, `configMap`, `secret`, `downwardAPI`, `projected`,
//! `persistentVolumeClaim` (bound to a `hostPath` or `local` volume). Any other kind keeps the pod pending with an event that
//! says so. Contents appear at once, by the swap of one link, and are looked at again once a minute.

mod claim;
mod host_path;
pub(super) mod local;
mod memory;
mod payload;
mod sources;
mod token;
pub(super) mod usage;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus, Volume, VolumeMount};

use super::context::{Context, uid_of};
use super::{environment, files};
use crate::machine::Failure;
use crate::runtime::{Mount, Propagation};

pub(super) use token::Tokens;

/// Whether the content of a volume changes with the API, or with time.
pub(super) fn change_by_themselves(pod: &Pod) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.into_iter().any(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
    })
}

/// Makes all volumes, or brings them up to date.
pub(super) async fn set_up(context: &Context, pod: &Pod, status: &PodStatus) -> Result<(), Failure> {
    let Some(dir) = context.pod_dir(uid_of(pod)) else { return Ok(()) };
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let made = make(context, pod, status, volume, &dir).await;
        made.map_err(|why| {
            Failure::new("FailedMount", format!("MountVolume.SetUp failed for volume {:?} : {why}", volume.name))
        })?;
    }
    if let Some(logs) = context.log_dir(pod) {
        let made = tokio::fs::create_dir_all(&logs).await;
        made.map_err(|error| Failure::new("FailedMount", format!("make {}: {error}", logs.display())))?;
    }
    Ok(())
}

async fn make(context: &Context, pod: &Pod, status: &PodStatus, volume: &Volume, dir: &Path) -> Result<(), String> {
    let path = path_of(dir, &volume.name);
    let fs_group = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.fs_group);
    if let Some(host) = &volume.host_path {
        return host_path::check(host);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        return claim::link(context, pod, source, &path).await;
    }
    if let Some(empty) = &volume.empty_dir {
        tokio::fs::create_dir_all(&path).await.map_err(|error| format!("make {}: {error}", path.display()))?;
        match empty.medium.as_deref().unwrap_or_default() {
            "" => {}
            "Memory" => memory::set_up(pod, empty, &path)?,
            medium => return Err(format!("emptyDir with medium {medium:?} is not supported by orc yet")),
        }
        return payload::own(&path, 0o777, fs_group);
    }
    if let Some(files) = sources::files(context, pod, status, volume).await? {
        return payload::write(&path, &files, fs_group, context.now());
    }
    Err(format!("{} volumes are not supported by orc yet", kind_of(volume)))
}

/// The field of a volume that is set.
fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let kinds = value.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    kinds.into_iter().find(|key| key != "name").unwrap_or_else(|| "such".to_owned())
}

fn path_of(dir: &Path, volume: &str) -> PathBuf {
    dir.join("volumes").join(volume)
}

/// What is mounted into a container: its volumes and the files that every container gets.
pub(super) async fn mounts(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
    attempt: u32,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Mount>, Failure> {
    let message = spec.termination_message_path.as_deref().or(Some("/dev/termination-log"));
    let mut mounts = files::mounts(context, pod, status, &spec.name, attempt, message).await?;
    let Some(dir) = context.pod_dir(uid_of(pod)) else { return Ok(mounts) };
    for mount in spec.volume_mounts.iter().flatten() {
        let made = volume_mount(pod, mount, &dir, env);
        let made = made.map_err(|why| Failure::new("CreateContainerConfigError", why))?;
        // What the pod mounts itself takes the place of the agent's file.
        mounts.retain(|other| other.container_path != made.container_path);
        mounts.push(made);
    }
    Ok(mounts)
}

fn volume_mount(pod: &Pod, mount: &VolumeMount, dir: &Path, env: &BTreeMap<String, String>) -> Result<Mount, String> {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let volume = volumes.find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| format!("cannot find volume {:?} to mount", mount.name))?;
    let base = match &volume.host_path {
        Some(host) => PathBuf::from(&host.path),
        None => path_of(dir, &volume.name),
    };
    let sub = match (mount.sub_path.as_deref(), mount.sub_path_expr.as_deref()) {
        (Some(sub), _) if !sub.is_empty() => sub.to_owned(),
        (_, Some(expr)) if !expr.is_empty() => environment::expand(expr, env),
        _ => String::new(),
    };
    let host_path = if sub.is_empty() {
        base
    } else {
        sub_path(&base, &sub, volume.empty_dir.is_some() || volume.persistent_volume_claim.is_some())?
    };
    Ok(Mount {
        host_path,
        container_path: PathBuf::from(&mount.mount_path),
        readonly: mount.read_only.unwrap_or(false) || !is_writable(volume),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    })
}

fn is_writable(volume: &Volume) -> bool {
    let claim = volume.persistent_volume_claim.as_ref();
    volume.empty_dir.is_some() || volume.host_path.is_some() || claim.is_some_and(|claim| claim.read_only != Some(true))
}

/// A path below a volume; links may not lead out of it.
fn sub_path(base: &Path, sub: &str, make: bool) -> Result<PathBuf, String> {
    if Path::new(sub).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("subPath {sub:?} must be a relative path without '..'"));
    }
    let path = base.join(sub);
    if make && !path.exists() {
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("failed to create subPath directory {sub:?}: {error}"))?;
        payload::own(&path, 0o777, None)?;
    }
    let real = path.canonicalize().map_err(|error| format!("failed to prepare subPath {sub:?}: {error}"))?;
    let root = base.canonicalize().map_err(|error| format!("failed to prepare subPath {sub:?}: {error}"))?;
    if real.starts_with(&root) { Ok(real) } else { Err(format!("subPath {sub:?} leads out of its volume")) }
}

/// Takes a pod's volumes, files and logs away.
pub(super) async fn tear_down(context: &Context, pod: &Pod) -> Result<(), Failure> {
    context.tokens.forget(uid_of(pod));
    remove(context.log_dir(pod)).await?;
    remove_pod(context, uid_of(pod)).await
}

/// Takes away what a pod left of which only the uid is known.
pub(super) async fn remove_dir(context: &Context, uid: &str) -> Result<(), Failure> {
    if let Some(logs) = context.config.data_dir.as_ref().map(|dir| dir.join("logs"))
        && let Ok(entries) = std::fs::read_dir(&logs)
    {
        let suffix = format!("_{uid}");
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(&suffix)) {
            remove(Some(entry.path())).await?;
        }
    }
    remove_pod(context, uid).await
}

async fn remove_pod(context: &Context, uid: &str) -> Result<(), Failure> {
    let Some(dir) = context.pod_dir(uid) else { return Ok(()) };
    memory::tear_down(&dir).map_err(|error| Failure::new("FailedKillPod", format!("unmount the volumes: {error}")))?;
    remove(Some(dir)).await
}

async fn remove(path: Option<PathBuf>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    match tokio::fs::remove_dir_all(&path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new("FailedKillPod", format!("remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
