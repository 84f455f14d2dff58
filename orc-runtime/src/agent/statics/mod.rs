//! Static pods: pods that a node runs from files, whether there is an API or not.
//!
//! The folder is looked at every [`static_pod_interval`](super::AgentConfig::static_pod_interval), by the times and sizes of
//! its files: that works on every file system, and a second more does not matter to a pod that a file starts. What the API
//! shows of them are [mirrors](mirror). They are named and marked as the kubelet does it (`kubelet/config`).
//!
//! A file that cannot be used is told of in the log, once for each of its contents. If it could be used before, its pod runs
//! on as it was: a slip of the pen does not stop it, the file's removal does.

mod file;
pub(super) mod mirror;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::Pod;
use orc_core::ObjectKey;
use parking_lot::Mutex;

use super::context::Context;
use super::feed::Dirty;

/// Where a pod came from; `file` for static ones.
pub(super) const SOURCE: &str = "kubernetes.io/config.source";
/// What tells the versions of a static pod apart.
pub(super) const HASH: &str = "kubernetes.io/config.hash";
/// On a mirror: the hash of the pod that it shows.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The static pods of a node, as its files say.
#[derive(Default)]
pub(super) struct Statics {
    folder: Option<PathBuf>,
    node: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, File>,
    /// The folder could not be read; told of once.
    broken: bool,
}

/// What is known of a file.
struct File {
    stamp: Stamp,
    pod: Option<(ObjectKey, Arc<Pod>)>,
}

/// When this is the same, the content is taken to be.
type Stamp = (Option<SystemTime>, u64, u64);

impl Statics {
    pub(super) fn new(folder: Option<PathBuf>, node: &str) -> Self {
        Self { folder, node: node.to_owned(), state: Mutex::default() }
    }

    /// Whether the node has a folder of static pods.
    pub(super) fn is_used(&self) -> bool {
        self.folder.is_some()
    }

    /// The static pod of a key.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let state = self.state.lock();
        let mut pods = state.files.values().filter_map(|file| file.pod.as_ref());
        pods.find(|(own, _)| own == key).map(|(_, pod)| pod.clone())
    }

    /// The keys of all static pods.
    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        let state = self.state.lock();
        state.files.values().filter_map(|file| Some(file.pod.as_ref()?.0.clone())).collect()
    }

    /// Looks at the files. Says which pods came, changed or went. Reads files: not for a task that others wait for.
    pub(super) fn look(&self) -> BTreeSet<ObjectKey> {
        let Some(folder) = &self.folder else { return BTreeSet::new() };
        let mut state = self.state.lock();
        let found = match file::list(folder) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut state.broken, true) {
                    tracing::error!(folder = %folder.display(), %error, "the folder of static pods cannot be read; its pods stay as they are");
                }
                return BTreeSet::new();
            }
        };
        state.broken = false;
        let mut changed = BTreeSet::new();
        let gone: Vec<PathBuf> = state.files.keys().filter(|path| !found.contains(*path)).cloned().collect();
        for path in gone {
            changed.extend(state.files.remove(&path).and_then(|file| file.pod).map(|(key, _)| key));
        }
        for path in found {
            self.look_at(path, &mut state, &mut changed);
        }
        changed
    }

    fn look_at(&self, path: PathBuf, state: &mut State, changed: &mut BTreeSet<ObjectKey>) {
        let stamp = stamp(&path);
        if state.files.get(&path).is_some_and(|known| known.stamp == stamp) {
            return;
        }
        let before = state.files.remove(&path).and_then(|file| file.pod);
        let read = file::read(&path, &self.node).and_then(|(key, pod)| {
            let twin = state.files.iter().find(|(_, file)| file.pod.as_ref().is_some_and(|(other, _)| *other == key));
            match twin {
                Some((other, _)) => Err(format!("{} already has a pod of this name", other.display())),
                None => Ok((key, Arc::new(pod))),
            }
        });
        let pod = match read {
            Ok((key, pod)) => {
                changed.insert(key.clone());
                changed.extend(before.map(|(before, _)| before));
                Some((key, pod))
            }
            Err(error) => {
                let kept = if before.is_some() { "; its pod stays as it was" } else { "" };
                tracing::error!(file = %path.display(), %error, "a static pod cannot be used{kept}");
                before
            }
        };
        state.files.insert(path, File { stamp, pod });
    }
}

/// Looks at the files again and again, and marks the pods that changed.
pub(super) async fn watch(context: Arc<Context>, dirty: Arc<Dirty>) {
    loop {
        context.env.clock.sleep(context.config.static_pod_interval).await;
        let statics = context.statics.clone();
        match tokio::task::spawn_blocking(move || statics.look()).await {
            Ok(changed) => dirty.mark(changed),
            Err(error) => tracing::error!(%error, "the folder of static pods was not read"),
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = fs::metadata(path) else { return (None, 0, 0) };
    (meta.modified().ok(), meta.len(), meta.ino())
}

/// Whether a pod is a static one, not the mirror of one.
pub(super) fn is_static(pod: &Pod) -> bool {
    annotation(pod, SOURCE).is_some_and(|source| source == "file") && annotation(pod, MIRROR).is_none()
}

pub(super) fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests;
