//! A light client beside the load: what somebody who uses the cluster meanwhile notices.
//!
//! Three kinds of requests, each at its own pace and one at a time. A latency counts from when the request was due, which
//! includes what this program itself waited for a processor. Turns that a slow request used up are left out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::calls::Calls;

/// Between two requests of one kind.
const PACE: Duration = Duration::from_millis(100);

/// What the client does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Get,
    Create,
    List,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Get, Self::Create, Self::List];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get of a node",
            Self::Create => "create of a ConfigMap",
            Self::List => "list of 100 pods",
        }
    }

    fn request(self, number: u64, nodes: u32) -> (Method, String, Bytes) {
        match self {
            Self::Get => (Method::GET, format!("/api/v1/nodes/sim-{}", 1 + number % u64::from(nodes)), Bytes::new()),
            Self::Create => {
                let body =
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("light-{number}")}});
                (Method::POST, "/api/v1/namespaces/default/configmaps".to_owned(), body.to_string().into())
            }
            Self::List => (Method::GET, "/api/v1/namespaces/default/pods?limit=100".to_owned(), Bytes::new()),
        }
    }
}

/// Latencies of one stage.
#[derive(Default)]
pub(crate) struct Latencies(Vec<(Kind, Duration)>);

impl Latencies {
    /// The latency that `share` of the requests of a kind did not exceed; `None` without requests.
    pub(crate) fn quantile(&self, kind: Kind, share: f64) -> Option<Duration> {
        let mut all: Vec<Duration> = self.0.iter().filter(|(of, _)| *of == kind).map(|(_, took)| *took).collect();
        all.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = (all.len() as f64 * share).ceil() as usize;
        all.get(at.saturating_sub(1)).copied()
    }
}

#[derive(Default)]
struct Seen {
    latencies: Latencies,
    failed: Option<String>,
}

/// The client; it ends when dropped.
pub(crate) struct Light {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Light {
    pub(crate) fn start(calls: &Calls, nodes: u32) -> Self {
        let (seen, mut tasks) = (Arc::new(Mutex::new(Seen::default())), JoinSet::new());
        for kind in Kind::ALL {
            tasks.spawn(ask(calls.clone(), kind, nodes, seen.clone()));
        }
        Self { seen, _tasks: tasks }
    }

    /// The latencies since the last call.
    ///
    /// # Errors
    /// When a request failed.
    pub(crate) fn take(&self) -> anyhow::Result<Latencies> {
        let mut seen = self.seen.lock();
        if let Some(failed) = seen.failed.take() {
            anyhow::bail!("the light client: {failed}");
        }
        Ok(std::mem::take(&mut seen.latencies))
    }
}

async fn ask(calls: Calls, kind: Kind, nodes: u32, seen: Arc<Mutex<Seen>>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in 0.. {
        let due: Instant = pace.tick().await;
        let (method, path, body) = kind.request(number, nodes);
        if let Err(error) = calls.send(method, &path, body).await {
            seen.lock().failed = Some(format!("{error:#}"));
            return;
        }
        seen.lock().latencies.0.push((kind, due.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_one_kind() {
        let mut all = Latencies::default();
        assert_eq!(all.quantile(Kind::Get, 0.5), None);
        all.0.extend((1..=100).map(|n| (Kind::Get, Duration::from_millis(n))));
        all.0.push((Kind::List, Duration::from_secs(9)));
        assert_eq!(all.quantile(Kind::Get, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(all.quantile(Kind::Get, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(all.quantile(Kind::List, 0.5), Some(Duration::from_secs(9)));
    }
}
