//! Finding what an agent before this one left: pods that are still to run get their machines, the rest is ended.
//!
//! Static pods are taken over at once, for the API may be away; nothing else is touched before the API's pods are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use orc_core::ObjectKey;

use super::super::context::{Context, uid_of};
use super::super::feed::News;
use super::super::{act, observe};
use super::{Finished, RETRY, Work};
use crate::machine::Observation;
use crate::runtime::RuntimeError;

/// How far the taking over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// At most the static pods are.
    Nothing,
    /// The API's pods are known, the runtime is being asked.
    Asking,
    /// All pods are.
    All,
}

/// What the runtime holds, and the pods that were known then.
pub(in super::super) struct Found {
    /// When it was asked, as observations are numbered.
    number: u64,
    pods: Vec<(ObjectKey, Arc<Pod>)>,
    seen: BTreeMap<String, Observation>,
}

impl Work {
    /// Takes over the pods of files.
    pub(super) async fn take_statics(&mut self) {
        if !self.context.statics.is_used() {
            return;
        }
        let statics = self.context.statics.clone();
        // The first look: what changed is everything, and taken from there below.
        let looked = tokio::task::spawn_blocking(move || statics.look()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "the folder of static pods was not read");
        }
        let found = find(&self.context, self.known(self.pods.statics())).await;
        let Found { number, pods, mut seen } = found;
        for (key, pod) in pods {
            let found = seen.remove(uid_of(&pod)).unwrap_or_default();
            self.adopt(&key, pod, found, number);
        }
    }

    /// Asks the runtime about everything, now that the API's pods are known.
    pub(super) fn take_the_rest(&mut self) {
        self.taken = Taken::Asking;
        let (context, pods) = (self.context.clone(), self.known(self.pods.all()));
        self.beside.push(async move { Finished::Found(find(&context, pods).await) }.boxed());
    }

    fn known(&self, keys: impl IntoIterator<Item = ObjectKey>) -> Vec<(ObjectKey, Arc<Pod>)> {
        keys.into_iter().filter_map(|key| Some((key.clone(), self.pods.get(&key)?))).collect()
    }

    pub(super) fn found(&mut self, found: Found) {
        let Found { number, pods, mut seen } = found;
        self.taken = Taken::All;
        seen.retain(|uid, _| !self.workers.contains_key(uid));
        for (key, pod) in pods {
            if self.newest.contains_key(&key) {
                continue;
            }
            let uid = uid_of(&pod).to_owned();
            self.adopt(&key, pod, seen.remove(&uid).unwrap_or_default(), number);
            // What the runtime told in the meantime found nobody who listened.
            self.observe(&uid);
        }
        // A pod that came while the runtime was asked has nothing on it yet; one with something there is no orphan.
        let late: Vec<ObjectKey> = self.pods.all().into_iter().filter(|key| !self.newest.contains_key(key)).collect();
        for (key, pod) in self.known(late) {
            let found = seen.remove(uid_of(&pod)).unwrap_or_default();
            self.adopt(&key, pod, found, number);
        }
        for (uid, orphan) in seen {
            tracing::info!(%uid, "a pod that the API does not know is ended");
            self.beside.push(act::end_orphan(self.context.clone(), uid, orphan).map(|()| Finished::Nothing).boxed());
        }
        self.take_news(&News { keys: Default::default(), all: true });
    }
}

/// Asks the runtime about everything until it answers.
async fn find(context: &Context, pods: Vec<(ObjectKey, Arc<Pod>)>) -> Found {
    loop {
        let number = context.observation();
        match everything(context).await {
            Ok(mut seen) => {
                for (_, pod) in &pods {
                    if let Some(found) = seen.get_mut(uid_of(pod)) {
                        observe::last_words(context, pod, found).await;
                    }
                }
                return Found { number, pods, seen };
            }
            Err(error) => tracing::error!(error = %error.full_message(), "the runtime cannot be asked"),
        }
        context.env.clock.sleep(RETRY).await;
    }
}

/// All that the runtime holds, by pod.
async fn everything(context: &Context) -> Result<BTreeMap<String, Observation>, RuntimeError> {
    let mut all: BTreeMap<String, Observation> = BTreeMap::new();
    for sandbox in context.runtime.list_sandboxes().await? {
        all.entry(sandbox.pod_uid.clone()).or_default().sandboxes.push(sandbox);
    }
    for container in context.runtime.list_containers(None).await? {
        all.entry(container.pod_uid.clone()).or_default().containers.push(container);
    }
    Ok(all)
}
