//! Events: what a loop tells people about what it did.
//!
//! Telling must never hold up doing: events go through a bounded queue to a task of their own, and are dropped when it is
//! full (as client-go's broadcaster does) or when the server refuses them. A repeated event raises the count of the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::env::Task;
use orc_core::{ApiError, Object};
use orc_store::client::PatchKind;
use orc_store::{Api, Env};
use serde_json::json;
use tokio::sync::mpsc;

use super::meta;

/// Events that wait to be written; client-go's broadcaster keeps 1,000.
const QUEUE: usize = 1000;
/// Events remembered so that repetitions are counted; client-go remembers 4,096.
const REMEMBERED: usize = 4096;

/// A way to tell. Cheap to clone; the task ends with the last clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Told>,
    clock: orc_core::env::Clock,
    _task: Arc<Task>,
}

struct Told {
    about: ObjectReference,
    kind: &'static str,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// A recorder that tells in the name of a component.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(env: &Env, component: &'static str) -> Self {
        let (queue, told) = mpsc::channel(QUEUE);
        let writer = Writer { env: env.clone(), component, known: BTreeMap::new() };
        Self { queue, clock: env.clock.clone(), _task: Arc::new(env.spawn.spawn(writer.run(told))) }
    }

    /// Tells that something went as it should.
    pub(crate) fn normal<K: Object>(&self, about: &K, reason: &'static str, message: String)
    where
        K::DynamicType: Default,
    {
        self.tell(meta::reference(about), "Normal", reason, message);
    }

    /// Tells that something went wrong.
    pub(crate) fn warning<K: Object>(&self, about: &K, reason: &'static str, message: String)
    where
        K::DynamicType: Default,
    {
        self.tell(meta::reference(about), "Warning", reason, message);
    }

    /// Tells about an object that is only known by reference.
    pub(crate) fn tell(&self, about: ObjectReference, kind: &'static str, reason: &'static str, message: String) {
        let told = Told { about, kind, reason, message, at: self.clock.now() };
        if self.queue.try_send(told).is_err() {
            tracing::debug!(reason, "an event was dropped: too many wait to be written");
        }
    }
}

type Sameness = (String, &'static str, String);

struct Writer {
    env: Env,
    component: &'static str,
    known: BTreeMap<Sameness, (String, i32)>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Told>) {
        while let Some(told) = queue.recv().await {
            if let Err(error) = self.write(&told).await {
                tracing::debug!(reason = told.reason, %error, "an event was not written");
            }
        }
    }

    async fn write(&mut self, told: &Told) -> Result<(), ApiError> {
        let namespace = told.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(self.env.client.clone(), namespace.clone());
        let same = (told.about.uid.clone().unwrap_or_default(), told.reason, told.message.clone());
        if let Some((name, count)) = self.known.get_mut(&same) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": meta::time(told.at)}).to_string();
            match api.patch(name, PatchKind::Merge, patch).await {
                // It has expired: begin anew.
                Err(error) if error.is_not_found() => drop(self.known.remove(&same)),
                other => return other.map(drop),
            }
        }
        let about = told.about.name.as_deref().unwrap_or_default();
        let name = format!("{about}.{:016x}", told.at.as_nanosecond() as u64 ^ (self.env.rng.next() >> 44));
        api.create_unread(&self.event(told, namespace, &name)).await?;
        if self.known.len() >= REMEMBERED {
            self.known.pop_first();
        }
        self.known.insert(same, (name, 1));
        Ok(())
    }

    fn event(&self, told: &Told, namespace: String, name: &str) -> Event {
        Event {
            metadata: ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace), ..Default::default() },
            involved_object: told.about.clone(),
            reason: Some(told.reason.to_owned()),
            message: Some(told.message.clone()),
            type_: Some(told.kind.to_owned()),
            count: Some(1),
            first_timestamp: Some(meta::time(told.at)),
            last_timestamp: Some(meta::time(told.at)),
            source: Some(EventSource { component: Some(self.component.to_owned()), ..Default::default() }),
            reporting_component: Some(self.component.to_owned()),
            ..Default::default()
        }
    }
}
