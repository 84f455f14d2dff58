//! The pods that the node is to run: those that the API gives it, and those of files.

use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use orc_core::ObjectKey;

use super::super::admission;
use super::super::context::uid_of;
use super::super::feed::News;
use super::super::statics::{self, mirror};
use super::take_over::Taken;
use super::worker::Worker;
use super::{Finished, Work};
use crate::machine::{Input, Machine, Observation};

impl Work {
    pub(super) fn adopt(&mut self, key: &ObjectKey, pod: Arc<Pod>, found: Observation, number: u64) {
        let uid = uid_of(&pod).to_owned();
        let fresh = found.sandboxes.is_empty();
        let refused = fresh.then(|| self.refuses(&pod)).flatten();
        let machine = Machine::new(pod, self.machine.clone(), self.context.now());
        self.workers.insert(uid.clone(), Worker::new(key.clone(), machine, &found, number));
        self.newest.insert(key.clone(), uid.clone());
        if let Some((reason, message)) = refused {
            self.step(&uid, Input::Reject(reason, message));
        }
        self.step(&uid, Input::Observed(found));
        self.mirror(key);
    }

    /// Why the node does not take a pod that did not begin to run here.
    fn refuses(&self, pod: &Pod) -> Option<(String, String)> {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Running" | "Succeeded" | "Failed")) || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let others = self.workers.values().filter(|worker| worker.machine.is_active());
        let others: Vec<Arc<Pod>> = others.map(|worker| worker.machine.pod().clone()).collect();
        admission::refuse(pod, &others, &self.context.config)
    }

    pub(super) fn take_news(&mut self, news: &News) {
        let mut keys = news.keys.clone();
        if news.all {
            keys.extend(self.pods.all());
            keys.extend(self.newest.keys().cloned());
        }
        for key in keys {
            // Before all is known of the API's pods, only those of files are followed.
            if self.taken == Taken::All || self.pods.is_static(&key) || self.newest.contains_key(&key) {
                self.pod_changed(&key);
            }
        }
        self.consider_resizes();
    }

    pub(super) fn pod_changed(&mut self, key: &ObjectKey) {
        let known = self.newest.get(key).cloned();
        let Some(pod) = self.pods.get(key) else {
            match known {
                Some(uid) => self.step(&uid, Input::Gone),
                None => self.remove_orphan(key),
            }
            return;
        };
        let uid = uid_of(&pod).to_owned();
        if known.as_ref() == Some(&uid) {
            self.step(&uid, Input::Spec(pod));
            return self.mirror(key);
        }
        if let Some(old) = known {
            let waits = statics::is_static(&pod);
            self.step(&old, Input::Gone);
            // A static pod may need what the one before it holds, its host ports first of all: it waits for that one's end.
            if waits && self.workers.contains_key(&old) {
                return;
            }
        }
        if self.workers.contains_key(&uid) {
            // The file was changed and changed back while the pod was ending: it starts anew once that is done.
            return;
        }
        let number = self.context.observation();
        self.adopt(key, pod, Observation::default(), number);
    }

    /// Looks again whether there is room for the resizes that pods ask for: after each change of what the pods here hold.
    pub(super) fn consider_resizes(&mut self) {
        let wish = |uid: &String| Some((uid.clone(), self.workers.get(uid)?.machine.wants_resize()?.clone()));
        let asking: Vec<(String, Arc<Pod>)> = self.asking.iter().filter_map(wish).collect();
        for (uid, pod) in asking {
            let others = self.workers.iter().filter(|(other, worker)| **other != uid && worker.machine.is_active());
            let others: Vec<Arc<Pod>> = others.map(|(_, worker)| worker.machine.pod().clone()).collect();
            let room = admission::room(&pod, &others, &self.context.config);
            self.step(&uid, Input::Room(room));
        }
    }

    /// Writes the status of a static pod that the API does not show.
    fn mirror(&mut self, key: &ObjectKey) {
        let Some(uid) = self.newest.get(key).cloned() else { return };
        let Some(worker) = self.workers.get_mut(&uid) else { return };
        let pod = worker.machine.pod();
        if statics::is_static(pod) && !self.pods.is_mirrored(key, pod) {
            worker.pending.get_or_insert_with(|| worker.machine.status().clone());
            self.write_status(&uid);
        }
    }

    /// A mirror whose static pod is no more goes.
    fn remove_orphan(&mut self, key: &ObjectKey) {
        let Some(orphan) = self.pods.orphan(key) else { return };
        let context = self.context.clone();
        let remove = async move {
            while let Err(error) = mirror::remove(&context, &orphan).await {
                tracing::warn!(pod = uid_of(&orphan), %error, "the mirror of a static pod that is gone could not be removed");
                context.env.clock.sleep(super::RETRY).await;
            }
            Finished::Nothing
        };
        self.beside.push(remove.boxed());
    }

    pub(super) fn forget(&mut self, uid: &str) {
        let Some(worker) = self.workers.remove(uid) else { return };
        self.asking.remove(uid);
        if self.newest.get(&worker.key).is_some_and(|newest| newest == uid) {
            self.newest.remove(&worker.key);
            self.context.views.lock().remove(&worker.key);
        }
        self.context.probes.forget(uid);
        self.consider_resizes();
        // A static pod that waited for this one's end, or the mirror of this one.
        if statics::is_static(worker.machine.pod()) {
            self.pod_changed(&worker.key);
        }
    }
}
