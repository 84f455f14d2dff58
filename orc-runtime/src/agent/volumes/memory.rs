//! `emptyDir` with `medium: Memory`: a tmpfs of its own.
//!
//! It is mounted where the agent is, which may be a user namespace; where mounts are refused altogether the pod stays
//! pending with the reason, for a program that asks for memory may keep there what must not reach a disk.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use orc_core::quantity::Quantity;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Mounts the volume at `at`, an existing directory, unless it is mounted there already.
pub(super) fn set_up(pod: &Pod, source: &EmptyDirVolumeSource, at: &Path) -> Result<(), String> {
    if is_mounted(at).map_err(|error| format!("look at {}: {error}", at.display()))? {
        return Ok(());
    }
    let size = size(pod, source).map_or_else(String::new, |bytes| format!("size={bytes},"));
    let options = CString::new(format!("{size}mode=0777")).map_err(|error| error.to_string())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", at, "tmpfs", flags, options.as_c_str()).map_err(|error| {
        format!(
            "emptyDir with medium \"Memory\" needs a tmpfs, which cannot be mounted here: {}",
            io::Error::from(error)
        )
    })
}

/// The bytes that the volume may hold: its limit, or what the pod's containers may use of memory together, whichever is
/// less. `None`: half of the machine's memory, the kernel's default.
fn size(pod: &Pod, source: &EmptyDirVolumeSource) -> Option<i64> {
    let limit = source.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0).ok()).map(|limit| limit.value());
    [limit.filter(|bytes| *bytes > 0), of_containers(pod)].into_iter().flatten().min()
}

/// The sum of the containers' limits of memory, if each has one.
fn of_containers(pod: &Pod) -> Option<i64> {
    let containers = &pod.spec.as_ref()?.containers;
    let limit = |container: &k8s_openapi::api::core::v1::Container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        Some(Quantity::parse(&limits.get("memory")?.0).ok()?.value())
    };
    containers.iter().map(limit).sum::<Option<i64>>().filter(|sum| *sum > 0)
}

/// Whether something is mounted at a directory: it is on another device than the one above.
fn is_mounted(at: &Path) -> io::Result<bool> {
    let above = at.parent().unwrap_or(at);
    Ok(fs::metadata(at)?.dev() != fs::metadata(above)?.dev())
}

/// Takes away what is mounted on the volumes below a pod's directory; what a container still has lives on until it ends.
pub(super) fn tear_down(pod_dir: &Path) -> io::Result<()> {
    let volumes = match fs::read_dir(pod_dir.join("volumes")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for volume in volumes {
        let volume = volume?;
        // A link leads to a claim's folder, which is not the pod's.
        if volume.file_type()?.is_dir() && is_mounted(&volume.path())? {
            unmount(volume.path(), UnmountFlags::DETACH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sized(limit: serde_json::Value, memory: &[Option<&str>]) -> Option<i64> {
        let container = |memory: &Option<&str>| json!({"name": "c", "resources": {"limits": {"memory": memory}}});
        let mut pod = json!({"spec": {"containers": memory.iter().map(container).collect::<Vec<_>>()}});
        for (index, memory) in memory.iter().enumerate() {
            if memory.is_none() {
                pod["spec"]["containers"][index]["resources"] = json!(null);
            }
        }
        let source = serde_json::from_value(json!({"medium": "Memory", "sizeLimit": limit})).unwrap();
        size(&serde_json::from_value(pod).unwrap(), &source)
    }

    #[test]
    fn the_least_limit_counts() {
        assert_eq!(sized(json!("1Mi"), &[None]), Some(1 << 20));
        assert_eq!(sized(json!("4Mi"), &[Some("1Mi"), Some("2Mi")]), Some(3 << 20));
        assert_eq!(sized(json!(null), &[Some("1Mi"), None]), None, "one container has no limit");
    }

    #[test]
    fn a_directory_is_no_mount() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("volumes/v");
        fs::create_dir_all(&at).unwrap();
        assert!(!is_mounted(&at).unwrap());
        tear_down(dir.path()).unwrap();
        tear_down(&dir.path().join("gone")).unwrap();
    }
}
