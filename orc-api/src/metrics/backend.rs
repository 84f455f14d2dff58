//! How long the store's backend takes, under the names that kube-apiserver has for etcd.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use orc_core::Revision;
use orc_core::env::Clock;
use orc_core::metrics::{Collect, Counter, Family, Histogram, Kind, Text};
use orc_store::backend::{Bounds, Durability, Expect, KeyRange, Page, RawChange, RawFeed, RawPage};
use orc_store::{Backend, BackendError};

/// Bounds of durations, seconds: kube-apiserver's for etcd, with finer ones below: a commit to a local disk takes less.
const BOUNDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0, 60.0];
/// Resources times operations; custom resources beyond that are counted together.
const BOUND: usize = 4096;
/// A key that no object has, for the name is no name; a resource that there is in every cluster.
const NOBODYS: &[u8] = b"/namespaces//.writable";

/// An operation, and the resource that it is about (`pods`, `deployments.apps`).
type Labels = (&'static str, String);

/// A backend that is timed.
pub struct MeteredBackend {
    inner: Arc<dyn Backend>,
    clock: Clock,
    seconds: Family<Labels, Histogram>,
    errors: Family<Labels, Counter>,
}

impl MeteredBackend {
    /// Times what goes to `inner`.
    pub fn new(inner: Arc<dyn Backend>, clock: Clock) -> Arc<Self> {
        let seconds = Family::new(|| Histogram::new(&BOUNDS), BOUND, Labels::default());
        let errors = Family::new(Counter::default, BOUND, Labels::default());
        Arc::new(Self { inner, clock, seconds, errors })
    }

    /// Whether a change would be taken now. Asks for one whose condition does not hold: the backend judges it behind the
    /// changes that wait, as any other, and changes nothing.
    ///
    /// # Errors
    /// Why changes are refused.
    pub async fn writable(&self) -> Result<(), BackendError> {
        let change = RawChange {
            key: Bytes::from_static(NOBODYS),
            value: None,
            expect: Expect::At(Revision(1)),
            durability: Durability::Durable,
            ttl: None,
        };
        match self.inner.commit(change).await {
            Ok(_) | Err(BackendError::Unmet { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What happened so far: operations, errors, and the seconds they took.
    pub fn so_far(&self) -> (u64, u64, f64) {
        let read: Vec<_> = self.seconds.all().into_iter().map(|(_, one)| one.read()).collect();
        let errors = self.errors.all().iter().map(|(_, count)| count.get()).sum();
        (read.iter().map(|one| one.count()).sum(), errors, read.iter().map(|one| one.seconds).sum())
    }

    fn note<T>(&self, operation: &'static str, key: &[u8], began: Timestamp, result: &Result<T, BackendError>) {
        let labels = (operation, resource_of(key));
        let took = self.clock.now().duration_since(began);
        self.seconds.of(&labels).observe(Duration::try_from(took).unwrap_or_default());
        // That a condition does not hold is an answer, and so is that the past is not kept.
        if !matches!(result, Ok(_) | Err(BackendError::Unmet { .. } | BackendError::Compacted { .. })) {
            self.errors.of(&labels).inc();
        }
    }
}

/// The resource of a raw key, which begins with it.
fn resource_of(key: &[u8]) -> String {
    let name = key.strip_prefix(b"/").and_then(|rest| rest.split(|byte| *byte == b'/').next());
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

#[async_trait]
impl Backend for MeteredBackend {
    async fn commit(&self, change: RawChange) -> Result<Revision, BackendError> {
        let operation = match (&change.value, change.expect) {
            (None, _) => "delete",
            (Some(_), Expect::Absent) => "create",
            (Some(_), Expect::At(_)) => "update",
        };
        let (key, began) = (change.key.clone(), self.clock.now());
        let result = self.inner.commit(change).await;
        self.note(operation, &key, began, &result);
        result
    }

    async fn scan(&self, range: KeyRange, at: Option<Revision>, page: Page) -> Result<RawPage, BackendError> {
        let (key, began) = (range.start.clone(), self.clock.now());
        let result = self.inner.scan(range, at, page).await;
        self.note("list", &key, began, &result);
        result
    }

    async fn feed(&self, after: Revision) -> Result<RawFeed, BackendError> {
        self.inner.feed(after).await
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.inner.bounds().await
    }

    fn expires(&self) -> bool {
        self.inner.expires()
    }
}

impl Collect for MeteredBackend {
    fn collect(&self, text: &mut Text) {
        let split = |name: &str| {
            let (plural, group) = name.split_once('.').unwrap_or((name, ""));
            (plural.to_owned(), group.to_owned())
        };
        text.family("etcd_request_duration_seconds", Kind::Histogram, "How long the store's backend took.");
        for ((operation, name), seconds) in self.seconds.all() {
            let (resource, group) = split(&name);
            text.histogram(&[("group", &group), ("operation", operation), ("resource", &resource)], &seconds.read());
        }
        text.family("etcd_request_errors_total", Kind::Counter, "Operations that the store's backend failed.");
        for ((operation, name), count) in self.errors.all() {
            let (resource, group) = split(&name);
            text.sample(&[("group", &group), ("operation", operation), ("resource", &resource)], count.get() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_store::backend::MemoryBackend;

    #[tokio::test]
    async fn commits_are_timed_and_refusals_are_no_errors() {
        let backend = MeteredBackend::new(Arc::new(MemoryBackend::new()), Clock::wall());
        backend.writable().await.unwrap();
        let put = RawChange {
            key: Bytes::from_static(b"/deployments.apps/default/web"),
            value: Some(Bytes::from_static(b"{}")),
            expect: Expect::Absent,
            durability: Durability::Durable,
            ttl: None,
        };
        backend.commit(put.clone()).await.unwrap();
        assert!(backend.commit(put).await.is_err());
        assert_eq!((backend.so_far().0, backend.so_far().1), (2, 0));
        let mut text = Text::default();
        backend.collect(&mut text);
        let line =
            "etcd_request_duration_seconds_count{group=\"apps\",operation=\"create\",resource=\"deployments\"} 2\n";
        let text = text.into_string();
        assert!(text.contains(line), "{text}");
    }
}
