//! `emptyDir` with a `sizeLimit`: measured, and the pod evicted when there is more in it, as the kubelet's local storage
//! eviction does (`pkg/kubelet/eviction`).
//!
//! A pass reads the volumes that have a limit, one after the other, and of each no more than [`ENTRIES`] names; it stops
//! at the first that proves the limit exceeded. A volume in memory cannot exceed its own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use orc_core::quantity::Quantity;
use orc_store::Api;

use super::super::context::{Context, View, name_of, namespace_of, uid_of};
use super::path_of;
use crate::machine::PodEvent;

/// The kubelet looks every ten seconds.
const EVERY: Duration = Duration::from_secs(10);
/// Names read of one volume in a pass: about a second of a disk's time. A volume with more is taken for what was counted.
const ENTRIES: usize = 100_000;
/// A block, as `st_blocks` counts.
const BLOCK: u64 = 512;

/// Looks after the node's volumes until it is dropped.
pub(in super::super) async fn run(context: Arc<Context>) {
    if context.config.is_simulated() {
        return;
    }
    loop {
        context.env.clock.sleep(EVERY).await;
        let views: Vec<View> = context.views.lock().values().cloned().collect();
        for view in views.iter().filter(|view| may_run(view)) {
            if let Some(message) = exceeded(&context, &view.pod).await {
                evict(&context, &view.pod, message).await;
            }
        }
    }
}

fn may_run(view: &View) -> bool {
    view.pod.metadata.deletion_timestamp.is_none()
        && !matches!(view.status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// The limit of a volume on the disk, with its bytes.
fn limit(volume: &Volume) -> Option<(String, u64)> {
    let empty = volume.empty_dir.as_ref().filter(|empty| empty.medium.as_deref().is_none_or(str::is_empty))?;
    let limit = Quantity::parse(&empty.size_limit.as_ref()?.0).ok()?;
    let bytes = u64::try_from(limit.value()).ok().filter(|bytes| *bytes > 0)?;
    Some((limit.to_string(), bytes))
}

/// What is said of the first volume of a pod that has more in it than it may.
async fn exceeded(context: &Context, pod: &Pod) -> Option<String> {
    let dir = context.pod_dir(uid_of(pod))?;
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some((text, bytes)) = limit(volume) else { continue };
        let path = path_of(&dir, &volume.name);
        let used = tokio::task::spawn_blocking(move || used(&path, bytes, ENTRIES)).await.unwrap_or_default();
        if used > bytes {
            return Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {text:?}. ", volume.name));
        }
    }
    None
}

/// Bytes on the disk below a directory, counted until they are more than `enough` or `most` names were read. What vanishes
/// meanwhile counts nothing; a file with several names counts once.
fn used(path: &Path, enough: u64, most: usize) -> u64 {
    let (mut sum, mut read, mut linked) = (0, 0, BTreeSet::new());
    let mut left = vec![path.to_owned()];
    while let Some(next) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&next) else { continue };
        if meta.nlink() < 2 || meta.is_dir() || linked.insert((meta.dev(), meta.ino())) {
            sum += meta.blocks() * BLOCK;
        }
        if sum > enough {
            return sum;
        }
        if !meta.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            read += 1;
            if read > most {
                tracing::warn!(volume = %path.display(), most, "a volume has too many files to be measured whole");
                return sum;
            }
            left.push(entry.path());
        }
    }
    sum
}

/// Ends the pod by its status, as anybody may; the machine stops what runs.
async fn evict(context: &Context, pod: &Arc<Pod>, message: String) {
    let api: Api<Pod> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    let uid = pod.metadata.uid.clone();
    let write = api.modify_status(name_of(pod), |now| {
        let status = now.status.get_or_insert_default();
        if now.metadata.uid == uid && !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            status.phase = Some("Failed".to_owned());
            status.reason = Some("Evicted".to_owned());
            status.message = Some(message.clone());
        }
    });
    match write.await {
        Ok(_) => context.recorder.record(pod, &PodEvent::warning("Evicted", message)),
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(pod = name_of(pod), %error, "a pod whose volume is too full was not evicted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_limits_on_disk_are_measured() {
        let of = |source| limit(&serde_json::from_value(json!({"name": "v", "emptyDir": source})).unwrap());
        assert_eq!(of(json!({"sizeLimit": "1Mi"})), Some(("1Mi".to_owned(), 1 << 20)));
        assert_eq!(of(json!({"sizeLimit": "1Mi", "medium": "Memory"})), None);
        assert_eq!(of(json!({"sizeLimit": "0"})), None, "nought is no limit");
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn files_are_counted_once_and_no_longer_than_needed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sub/file");
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&file, vec![1; 100_000]).unwrap();
        let one = used(dir.path(), u64::MAX, ENTRIES);
        assert!((100_000..200_000).contains(&one), "{one}");
        fs::hard_link(&file, dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("out")).unwrap();
        assert!(used(dir.path(), u64::MAX, ENTRIES) < one + 50_000);
        assert!(used(dir.path(), 1, ENTRIES) > 1);
        assert!(used(dir.path(), u64::MAX, 0) < 50_000, "no name was read");
    }
}
