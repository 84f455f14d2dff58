//! What the runner sees of pods: when each was asked for, and when its node became known, by one watch of pods with a node.
//!
//! Nothing runs the pods, so the runner also confirms the end of pods that are asked to end, as a kubelet would.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::http2::Http2;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};

/// Pods with a node, from the moment on that they have it.
const WATCH: &str = "/api/v1/pods?watch=1&allowWatchBookmarks=1&fieldSelector=spec.nodeName!%3D";
/// Pods whose end waits to be confirmed; the watch waits when there are more.
pub(crate) const ENDING: usize = 1024;

/// The pods of one operation.
#[derive(Default)]
pub(crate) struct Batch {
    /// How many have had a node.
    pub(crate) bound: usize,
    /// When the last of them got one.
    pub(crate) last: Option<Instant>,
    /// From the request to the news of the node.
    pub(crate) latencies: Vec<Duration>,
}

struct Waiting {
    batch: usize,
    namespace: String,
    asked: Instant,
}

#[derive(Default)]
struct State {
    waiting: HashMap<String, Waiting>,
    batches: Vec<Batch>,
    failed: Option<String>,
}

/// The pods of a run, shared by those who make them and the watch.
#[derive(Default)]
pub(crate) struct Seen {
    state: Mutex<State>,
    changed: Notify,
}

impl Seen {
    /// Begins an operation.
    pub(crate) fn batch(&self) -> usize {
        let mut state = self.state.lock();
        state.batches.push(Batch::default());
        state.batches.len() - 1
    }

    /// A pod is asked for now. Names differ within a run, whatever the namespace.
    pub(crate) fn asked(&self, batch: usize, namespace: &str, name: &str) {
        let waiting = Waiting { batch, namespace: namespace.to_owned(), asked: Instant::now() };
        self.state.lock().waiting.insert(name.to_owned(), waiting);
    }

    /// How many pods of an operation have had a node.
    pub(crate) fn bound(&self, batch: usize) -> usize {
        self.state.lock().batches[batch].bound
    }

    /// Takes what was measured of an operation.
    pub(crate) fn take(&self, batch: usize) -> Batch {
        std::mem::take(&mut self.state.lock().batches[batch])
    }

    /// Waits until `done`, which is told how many pods of these namespaces (or of all) wait. Fails when nothing moves for
    /// `patience`, or when the watch has failed.
    pub(crate) async fn until(
        &self,
        patience: Duration,
        mut done: impl FnMut(&Self) -> (usize, usize),
    ) -> anyhow::Result<()> {
        let (mut best, mut since) = (usize::MAX, Instant::now());
        loop {
            let changed = self.changed.notified();
            self.check()?;
            let (left, of) = done(self);
            if left == 0 {
                return Ok(());
            }
            if left < best {
                (best, since) = (left, Instant::now());
            }
            ensure!(
                since.elapsed() < patience,
                "{left} of {of} pods have no node, and none got one in {} s; do they fit? (`kubectl get events`)",
                patience.as_secs()
            );
            let _ = tokio::time::timeout(Duration::from_secs(1), changed).await;
        }
    }

    /// How many pods of these namespaces, of all where there is none, wait for a node.
    pub(crate) fn waiting(&self, namespaces: &[String]) -> usize {
        let state = self.state.lock();
        let meant = |pod: &&Waiting| namespaces.is_empty() || namespaces.contains(&pod.namespace);
        state.waiting.values().filter(meant).count()
    }

    /// Pods that were deleted wait no more.
    pub(crate) fn forget(&self, name: &str) {
        self.state.lock().waiting.remove(name);
        self.changed.notify_waiters();
    }

    fn has_node(&self, name: &str) {
        let mut state = self.state.lock();
        let Some(pod) = state.waiting.remove(name) else { return };
        let now = Instant::now();
        let batch = &mut state.batches[pod.batch];
        batch.bound += 1;
        batch.last = Some(now);
        batch.latencies.push(now - pod.asked);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Something beside the operations has failed: so has the run.
    pub(crate) fn fail(&self, why: String) {
        self.state.lock().failed.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// Fails when something beside the operations has.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match &self.state.lock().failed {
            Some(why) => bail!("{why}"),
            None => Ok(()),
        }
    }

    /// Follows pods with a node until the task is dropped. The paths of pods that are to end go to `ending`.
    pub(crate) async fn follow(self: Arc<Self>, connection: Http2, ending: mpsc::Sender<String>) -> anyhow::Result<()> {
        let mut from = String::new();
        while self.once(&connection, &mut from, &ending).await? {}
        bail!("nobody confirms deletions any more")
    }

    /// One watch, from the last revision on. `Ok(true)` when the server ended it.
    async fn once(&self, connection: &Http2, from: &mut String, ending: &mpsc::Sender<String>) -> anyhow::Result<bool> {
        let path = if from.is_empty() { WATCH.to_owned() } else { format!("{WATCH}&resourceVersion={from}") };
        let answer = connection.send(Method::GET, &path, "application/json", Bytes::new()).await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        let (mut body, mut rest) = (answer.into_body(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the stream broke")?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                let event: Event =
                    serde_json::from_slice(&line).with_context(|| String::from_utf8_lossy(&line).into_owned())?;
                if !self.take_in(event, from, ending).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn take_in(&self, event: Event, from: &mut String, ending: &mpsc::Sender<String>) -> anyhow::Result<bool> {
        let meta = event.object.metadata;
        ensure!(event.kind != "ERROR", "{}", event.object.message.unwrap_or_default());
        *from = meta.resource_version;
        if matches!(event.kind.as_str(), "ADDED" | "MODIFIED") {
            self.has_node(&meta.name);
            if meta.deletion_timestamp.is_some() {
                return Ok(ending.send(pod_path(&meta.namespace, &meta.name)).await.is_ok());
            }
        }
        Ok(true)
    }
}

/// The path of a pod.
pub(crate) fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    namespace: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, name: &str, deleting: bool) -> Event {
        let deletion = if deleting { r#","deletionTimestamp":"2026-01-01T00:00:00Z""# } else { "" };
        let text = format!(
            r#"{{"type":"{kind}","object":{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"d","resourceVersion":"7"{deletion}}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn a_pod_counts_once_and_its_end_is_confirmed() {
        let (seen, (ending, mut ended), mut from) = (Seen::default(), mpsc::channel(4), String::new());
        let batch = seen.batch();
        seen.asked(batch, "d", "a");
        seen.asked(batch, "d", "b");
        for (kind, deleting) in [("ADDED", false), ("MODIFIED", false), ("MODIFIED", true), ("DELETED", true)] {
            assert!(seen.take_in(event(kind, "a", deleting), &mut from, &ending).await.unwrap());
        }
        assert_eq!((seen.bound(batch), seen.waiting(&[]), seen.waiting(&["x".to_owned()])), (1, 1, 0));
        assert_eq!((ended.try_recv().unwrap().as_str(), from.as_str()), ("/api/v1/namespaces/d/pods/a", "7"));
        assert!(ended.try_recv().is_err(), "confirmed once");
        let stuck = seen.until(Duration::ZERO, |seen| (2 - seen.bound(batch), 2)).await.unwrap_err();
        assert!(stuck.to_string().starts_with("1 of 2 pods have no node"), "{stuck}");
        let gone =
            serde_json::from_str(r#"{"type":"ERROR","object":{"kind":"Status","metadata":{},"message":"too old"}}"#);
        assert_eq!(seen.take_in(gone.unwrap(), &mut from, &ending).await.unwrap_err().to_string(), "too old");
    }
}
