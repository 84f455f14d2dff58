//! Facts beside nodes and pods: read from caches, and written before a pod is bound.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use orc_core::env::{Clock, Task};
use orc_core::error::Details;
use orc_core::{ApiError, Object, Reason};
use orc_store::{Api, Env, ObjectClient};
use tokio::sync::mpsc;

use super::devices;
use super::watch::{Seen, Watched};
use crate::engine::{Event, Reservation};
use crate::facts::{Fact, FactKey, Facts, Read, gone};
use crate::plugins::{SELECTED_NODE, is_bound};
use crate::pod::PodInfo;
use crate::points::PreBind;

/// Facts on their way to the engine; the tasks that read caches wait when it is full.
const WAITING: usize = 1024;
/// How long the first decision waits for the facts. A cluster may not serve every kind that is asked for.
const FIRST: Duration = Duration::from_secs(10);

/// The facts of all kinds, as events.
pub(super) struct FactFeed {
    events: mpsc::Receiver<Vec<Event>>,
    unfinished: usize,
    _tasks: Vec<Task>,
}

impl FactFeed {
    /// Starts to read all kinds.
    pub(super) fn start(env: &Env) -> Self {
        let (send, events) = mpsc::channel(WAITING);
        let tasks = vec![
            feed::<Namespace>(env, &send),
            feed::<Service>(env, &send),
            feed::<ReplicationController>(env, &send),
            feed::<ReplicaSet>(env, &send),
            feed::<StatefulSet>(env, &send),
            feed::<PodDisruptionBudget>(env, &send),
            feed::<PersistentVolumeClaim>(env, &send),
            feed::<PersistentVolume>(env, &send),
            feed::<StorageClass>(env, &send),
            feed::<CSINode>(env, &send),
            feed::<CSIStorageCapacity>(env, &send),
            feed::<ResourceClaim>(env, &send),
            feed::<ResourceSlice>(env, &send),
            feed::<DeviceClass>(env, &send),
        ];
        Self { events, unfinished: tasks.len(), _tasks: tasks }
    }

    /// The facts that there are, once every kind has been read, or a while has passed.
    pub(super) async fn begin(&mut self, clock: &Clock) -> Vec<Event> {
        let mut first = Vec::new();
        let late = clock.sleep(FIRST);
        tokio::pin!(late);
        while self.unfinished > 0 {
            tokio::select! {
                biased;
                events = self.events.recv() => match events {
                    Some(events) => {
                        self.unfinished -= 1;
                        first.extend(events);
                    }
                    None => break,
                },
                () = &mut late => {
                    tracing::warn!(kinds = self.unfinished, "scheduling starts without all facts; they follow");
                    break;
                }
            }
        }
        first
    }

    /// The next facts. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Vec<Event>> {
        self.events.recv().await
    }
}

/// Reads one kind; the first message is everything that there is.
fn feed<K: Object + Read>(env: &Env, send: &mpsc::Sender<Vec<Event>>) -> Task
where
    K::DynamicType: Default,
{
    let (mut watched, send) = (Watched::of::<K>(&env.caches), send.clone());
    env.spawn.spawn(async move {
        let mut seen = watched.begin().await;
        loop {
            let events = seen.into_iter().filter_map(event::<K>).collect();
            if send.send(events).await.is_err() {
                return;
            }
            let Some(next) = watched.next().await else { return };
            seen = next;
        }
    })
}

fn event<K: Object + Read>(seen: Seen) -> Option<Event> {
    match seen {
        Seen::Gone(key, _) => Some(Event::FactGone(gone(&key)?)),
        Seen::Now(now) => match now.view::<K>() {
            Ok(object) => Some(Event::Fact(gone(&now.key)?, Arc::new(object.fact()))),
            Err(error) => {
                tracing::error!(key = %now.key, %error, "an object does not decode; its last state stays");
                None
            }
        },
    }
}

/// Writes what the engine assumed beside the pod: where a claim is to get its volume, which volume a claim gets, which devices
/// a claim gets. A pod whose claims are not bound yet is tried again once they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteFacts;

#[async_trait]
impl PreBind for WriteFacts {
    async fn pre_bind(&self, client: &Arc<dyn ObjectClient>, pod: &PodInfo, to: &Reservation) -> Result<(), ApiError> {
        for (key, fact) in &to.facts {
            match &**fact {
                Fact::Claim(_) => {
                    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), key.namespace.clone());
                    let node = to.node.to_string();
                    let select = |claim: &mut PersistentVolumeClaim| {
                        let annotations = claim.metadata.annotations.get_or_insert_default();
                        annotations.insert(SELECTED_NODE.to_owned(), node.clone());
                    };
                    api.modify(&key.name, select).await?;
                }
                Fact::Volume(volume) => {
                    let api: Api<PersistentVolume> = Api::all(client.clone());
                    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone());
                    api.modify(&key.name, |there| there.spec.get_or_insert_default().claim_ref.clone_from(&claim))
                        .await?;
                }
                Fact::DeviceClaim(claim) => {
                    devices::write(&Api::namespaced(client.clone(), key.namespace.clone()), claim, pod).await?;
                }
                _ => {}
            }
        }
        let waiting = to.facts.iter().find(|(_, fact)| matches!(&**fact, Fact::Claim(_) | Fact::Volume(_)));
        match waiting {
            None => Ok(()),
            Some((key, _)) => Err(waits(key)),
        }
    }
}

/// The resource that an answer names when a pod waits for a volume.
const CLAIMS: &str = "persistentvolumeclaims";

fn waits(key: &FactKey) -> ApiError {
    let details = Details { name: key.name.to_string(), kind: CLAIMS.to_owned(), ..Details::default() };
    ApiError::unavailable(format!("waiting for the volume of {} to be bound", key.name)).with_details(details)
}

/// Whether a pod goes on once its claim has a volume: nothing failed.
pub(super) fn waits_for_volume(error: &ApiError) -> bool {
    error.reason() == Reason::ServiceUnavailable && error.details().is_some_and(|details| details.kind == CLAIMS)
}

/// Whether the claims of a pod have their volumes, as far as has been heard.
pub(super) fn has_volumes(facts: &Facts, pod: &PodInfo) -> bool {
    let namespace = pod.key.namespace.clone().unwrap_or_default();
    pod.claims.iter().filter_map(|claim| facts.claim(&namespace, &claim.name)).all(is_bound)
}
