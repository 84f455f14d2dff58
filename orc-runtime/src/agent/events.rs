//! Event objects about pods. Equal ones are counted in one object; memory and queue are bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use orc_core::ApiError;
use orc_core::env::{Clock, Task};
use orc_store::client::{Intent, PatchKind, Target, WriteRequest};
use orc_store::{Api, Env, ObjectClient};
use tokio::sync::mpsc;

use super::context::{Turns, name_of, namespace_of, uid_of};
use crate::machine::PodEvent;

/// Events that wait to be written. One that finds the queue full is dropped and told of in the log: events are hints.
const QUEUE: usize = 512;
/// Event objects whose counts are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 1024;

/// Events of one pod that differ in their words alone: after so many within [`SIMILAR_SECONDS`] they share one object
/// (client-go's `EventAggregator`, and its numbers).
const SIMILAR: usize = 10;
const SIMILAR_SECONDS: i64 = 600;
/// What the words of such a one begin with.
const COMBINED: &str = "(combined from similar events): ";

/// Takes events and writes them beside everything else.
pub(super) struct Recorder {
    queue: mpsc::Sender<Note>,
    start: parking_lot::Mutex<Option<(Env, String, mpsc::Receiver<Note>)>>,
    turns: Turns,
    writer: parking_lot::Mutex<Option<Task>>,
    enabled: bool,
    clock: Clock,
}

struct Note {
    pod: Arc<Pod>,
    event: PodEvent,
    at: Timestamp,
}

type Key = (String, &'static str, String, String);

/// Events of one pod and reason: the words heard lately, at most [`SIMILAR`].
#[derive(Default)]
struct Group {
    words: BTreeSet<String>,
    last: Timestamp,
}

impl Group {
    /// Whether this one is one too many.
    fn is_full(&mut self, message: &str, at: Timestamp) -> bool {
        if at.as_second() - self.last.as_second() > SIMILAR_SECONDS {
            self.words.clear();
        }
        self.last = at;
        if self.words.len() < SIMILAR {
            self.words.insert(message.to_owned());
        }
        self.words.len() >= SIMILAR
    }
}

struct Writer {
    client: Arc<dyn ObjectClient>,
    node: String,
    known: BTreeMap<Key, (String, i32)>,
    order: VecDeque<Key>,
    similar: BTreeMap<(String, &'static str), Group>,
    /// Keeps names apart in one instant.
    written: u32,
}

impl Recorder {
    pub(super) fn new(env: &Env, node: &str, enabled: bool, turns: Turns) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let start = parking_lot::Mutex::new(Some((env.clone(), node.to_owned(), receiver)));
        Self { queue, start, turns, writer: parking_lot::Mutex::new(None), clock: env.clock.clone(), enabled }
    }

    /// Records an event of a pod. Never waits.
    pub(super) fn record(&self, pod: &Arc<Pod>, event: &PodEvent) {
        if !self.enabled {
            return;
        }
        self.begin();
        let note = Note { pod: pod.clone(), event: event.clone(), at: self.clock.now() };
        if self.queue.try_send(note).is_err() {
            tracing::warn!(pod = name_of(pod), reason = event.reason, "an event was dropped: too many wait");
        }
    }

    /// The writer starts with the first event, for an agent is made outside the tokio runtime too.
    fn begin(&self) {
        let Some((env, node, mut receiver)) = self.start.lock().take() else { return };
        let mut writer = Writer {
            client: env.client.clone(),
            node,
            known: BTreeMap::new(),
            order: VecDeque::new(),
            similar: BTreeMap::new(),
            written: 0,
        };
        let turns = self.turns.clone();
        let task = env.spawn.spawn(async move {
            while let Some(note) = receiver.recv().await {
                let _turn = turns.acquire().await;
                if let Err(error) = writer.write(&note).await {
                    tracing::debug!(pod = name_of(&note.pod), reason = note.event.reason, %error, "an event was not written");
                }
            }
        });
        *self.writer.lock() = Some(task);
    }
}

impl Writer {
    async fn write(&mut self, note: &Note) -> Result<(), ApiError> {
        let event = &note.event;
        let mut key = (uid_of(&note.pod).to_owned(), event.reason, event.field.clone(), event.message.clone());
        if self.is_similar(note) {
            // One object, whose words are those of the newest.
            (key.2, key.3) = (String::new(), COMBINED.to_owned());
            let message = format!("{COMBINED}{}", event.message);
            let event = PodEvent { message, ..event.clone() };
            return self.put(&Note { pod: note.pod.clone(), event, at: note.at }, key).await;
        }
        self.put(note, key).await
    }

    fn is_similar(&mut self, note: &Note) -> bool {
        if self.similar.len() >= REMEMBERED {
            let horizon = note.at.as_second() - SIMILAR_SECONDS;
            self.similar.retain(|_, group| group.last.as_second() >= horizon);
        }
        if self.similar.len() >= REMEMBERED {
            // Too many pods at once: which words are alike is forgotten, nothing else.
            self.similar.clear();
        }
        let group = self.similar.entry((uid_of(&note.pod).to_owned(), note.event.reason)).or_default();
        group.is_full(&note.event.message, note.at)
    }

    async fn put(&mut self, note: &Note, key: Key) -> Result<(), ApiError> {
        if let Some((name, count)) = self.known.get_mut(&key) {
            *count += 1;
            let (name, count) = (name.clone(), *count);
            match self.count(note, &name, count).await {
                Err(error) if error.is_not_found() => drop(self.known.remove(&key)),
                other => return other,
            }
        }
        let name = format!("{}.{:x}", name_of(&note.pod), note.at.as_nanosecond() + i128::from(self.written));
        self.written = self.written.wrapping_add(1);
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace_of(&note.pod));
        api.create_unread(&self.object(note, name.clone())).await?;
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.known.insert(key, (name, 1));
        Ok(())
    }

    async fn count(&self, note: &Note, name: &str, count: i32) -> Result<(), ApiError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace_of(&note.pod));
        let last = orc_store::local::rules::timestamp(note.at);
        let patch = serde_json::json!({ "count": count, "lastTimestamp": last, "message": note.event.message });
        let intent = Intent::Patch(PatchKind::Merge, patch.to_string().into());
        self.client.write(WriteRequest::new(Target::object(api.key(name)), intent)).await.map(drop)
    }

    fn object(&self, note: &Note, name: String) -> Event {
        let Note { pod, event, at } = note;
        let stamp = Time(Timestamp::from_second(at.as_second()).unwrap_or(*at));
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace_of(pod).to_owned()),
                ..Default::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                namespace: pod.metadata.namespace.clone(),
                uid: pod.metadata.uid.clone(),
                resource_version: pod.metadata.resource_version.clone(),
                field_path: (!event.field.is_empty()).then(|| event.field.clone()),
            },
            reason: Some(event.reason.to_owned()),
            message: Some(event.message.clone()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(self.node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            count: Some(1),
            first_timestamp: Some(stamp.clone()),
            last_timestamp: Some(stamp),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_for_one_thing_are_one_event() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut group = Group::default();
        let told: Vec<bool> =
            (0..12).map(|number| group.is_full(&format!("try {number}"), at(1000 + number))).collect();
        assert_eq!(told.iter().filter(|full| **full).count(), 3, "from the tenth on");
        assert!(group.is_full("try 1", at(1100)), "they stay together while they come");
        assert!(!group.is_full("try 1", at(2000)), "after ten quiet minutes the words count anew");
        assert!((0..99).all(|_| !group.is_full("the same", at(2001))), "equal ones are counted, not combined");
    }
}
