//! Events about pods, equal ones counted in one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use orc_core::Name;
use orc_core::env::{Clock, Rng};
use orc_store::client::PatchKind;
use orc_store::{Api, Env, ObjectClient};
use serde_json::json;

use crate::pod::PodInfo;

/// Events that are remembered to be counted further; the least recent is forgotten and starts anew.
const REMEMBERED: usize = 4096;
/// The longest message that the API takes.
const MAX_MESSAGE: usize = 1024;

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// The pod was bound.
    Scheduled,
    /// The pod was not bound.
    Failed,
}

impl Kind {
    fn reason(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Failed => "FailedScheduling",
        }
    }

    fn level(self) -> &'static str {
        match self {
            Self::Scheduled => "Normal",
            Self::Failed => "Warning",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Scheduled => "Binding",
            Self::Failed => "Scheduling",
        }
    }
}

struct Remembered {
    name: String,
    message: String,
    count: i32,
    first: Timestamp,
    used: u64,
}

/// Makes the writes of events.
pub(super) struct EventWriter {
    client: Arc<dyn ObjectClient>,
    clock: Clock,
    rng: Rng,
    /// The last failure of a pod, by uid.
    last: BTreeMap<Name, Remembered>,
    uses: u64,
}

impl EventWriter {
    pub(super) fn new(env: &Env) -> Self {
        let (client, clock) = (env.client.clone(), env.clock.clone());
        Self { client, clock, rng: env.rng.fork(), last: BTreeMap::new(), uses: 0 }
    }

    /// The write that tells of a pod: a new event, or one more of the last.
    pub(super) fn event(&mut self, pod: &Arc<PodInfo>, kind: Kind, mut message: String) -> BoxFuture<'static, ()> {
        cut(&mut message);
        let now = self.clock.now();
        self.uses += 1;
        let uses = self.uses;
        if kind == Kind::Scheduled {
            self.last.remove(&pod.uid);
        } else if let Some(last) = self.last.get_mut(&pod.uid).filter(|last| last.message == message) {
            (last.count, last.used) = (last.count.saturating_add(1), uses);
            let event = event(pod, kind, &last.name, message, (last.first, now), last.count);
            return Box::pin(count(self.client.clone(), event));
        }
        let name = format!("{}.{:016x}", pod.key.name, self.rng.next());
        if kind == Kind::Failed {
            self.remember(
                pod.uid.clone(),
                Remembered { name: name.clone(), message: message.clone(), count: 1, first: now, used: uses },
            );
        }
        Box::pin(create(self.client.clone(), event(pod, kind, &name, message, (now, now), 1)))
    }

    fn remember(&mut self, uid: Name, event: Remembered) {
        if self.last.len() >= REMEMBERED && !self.last.contains_key(&uid) {
            let oldest = self.last.iter().min_by_key(|(_, event)| event.used).map(|(uid, _)| uid.clone());
            oldest.and_then(|oldest| self.last.remove(&oldest));
        }
        self.last.insert(uid, event);
    }
}

fn cut(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
}

fn event(
    pod: &PodInfo,
    kind: Kind,
    name: &str,
    message: String,
    (first, last): (Timestamp, Timestamp),
    count: i32,
) -> Event {
    let mut event = Event {
        type_: Some(kind.level().to_owned()),
        reason: Some(kind.reason().to_owned()),
        action: Some(kind.action().to_owned()),
        message: Some(message),
        count: Some(count),
        first_timestamp: Some(Time(first)),
        last_timestamp: Some(Time(last)),
        source: Some(EventSource { component: Some(pod.scheduler.to_string()), ..EventSource::default() }),
        reporting_component: Some(pod.scheduler.to_string()),
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.key.namespace.as_ref().map(ToString::to_string),
            name: Some(pod.key.name.to_string()),
            uid: Some(pod.uid.to_string()),
            ..ObjectReference::default()
        },
        ..Event::default()
    };
    event.metadata.name = Some(name.to_owned());
    event.metadata.namespace = pod.key.namespace.as_ref().map(ToString::to_string);
    event
}

async fn create(client: Arc<dyn ObjectClient>, event: Event) {
    if let Err(error) = Api::<Event>::all(client).create_unread(&event).await {
        tracing::debug!(reason = event.reason, %error, "an event was not written");
    }
}

/// Counts an event further; one that was cleaned up meanwhile is made anew.
async fn count(client: Arc<dyn ObjectClient>, event: Event) {
    let patch = json!({"count": event.count, "lastTimestamp": event.last_timestamp}).to_string();
    let api: Api<Event> = Api::namespaced(client.clone(), event.metadata.namespace.clone().unwrap_or_default());
    match api.patch(event.metadata.name.as_deref().unwrap_or_default(), PatchKind::Merge, patch).await {
        Err(error) if error.is_not_found() => create(client, event).await,
        Err(error) => tracing::debug!(reason = event.reason, %error, "an event was not counted"),
        Ok(_) => {}
    }
}
