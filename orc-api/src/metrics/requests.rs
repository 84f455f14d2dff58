//! Requests: how many, how long they took, and how many are under way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use orc_core::env::Clock;
use orc_core::metrics::{Collect, Counter, Family, Gauge, Histogram, Kind, Text};

use super::Labels;
use crate::http::{Body, BoxError};

/// Bounds of requests' durations, seconds: kube-apiserver's.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Series of a family: some 80 resources with 10 verbs and 8 codes in use come nowhere near; thousands of custom resources do.
const BOUND: usize = 20_000;

/// What a server counts of its requests.
pub struct ApiMetrics {
    clock: Clock,
    total: Family<(Labels, u16), Counter>,
    seconds: Family<Labels, Histogram>,
    long: Family<Labels, Gauge>,
    events: Family<[String; 3], Counter>,
    /// Under way: those that only read, and those that write.
    inflight: [Gauge; 2],
}

impl ApiMetrics {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            total: Family::new(Counter::default, BOUND, Default::default()),
            seconds: Family::new(|| Histogram::new(&BOUNDS), BOUND, Default::default()),
            long: Family::new(Gauge::default, BOUND, Default::default()),
            events: Family::new(Counter::default, BOUND, Default::default()),
            inflight: Default::default(),
        })
    }

    /// A request came.
    pub(crate) fn begin(self: &Arc<Self>, labels: Labels) -> Measured {
        let began = self.clock.now();
        let under_way = match labels.is_long() {
            true => UnderWay::Long(self.long.of(&labels)),
            false => UnderWay::Short(self.clone(), usize::from(labels.is_mutating())),
        };
        Measured { metrics: self.clone(), labels, began, under_way: Held::new(under_way) }
    }

    /// The watches under way.
    pub fn watches(&self) -> u64 {
        let watches = self.long.all().into_iter().filter(|(labels, _)| labels.verb == "WATCH");
        watches.map(|(_, count)| u64::try_from(count.get()).unwrap_or(0)).sum()
    }

    /// Counts the events that watches of a resource tell.
    pub(crate) fn events(&self, group: &str, version: &str, kind: &str) -> Arc<Counter> {
        self.events.of(&[group.to_owned(), version.to_owned(), kind.to_owned()])
    }
}

/// A request under way. One that is dropped (the client went) is not under way any more, and is not counted as answered.
pub(crate) struct Measured {
    metrics: Arc<ApiMetrics>,
    labels: Labels,
    began: Timestamp,
    under_way: Held,
}

impl Measured {
    /// The request is answered; a stream is under way until its body ends. Returns how long it took, in seconds.
    pub(crate) fn answered(self, response: Response<Body>) -> (Response<Body>, f64) {
        let Self { metrics, labels, began, under_way } = self;
        let took = metrics.clock.now().duration_since(began);
        let took = std::time::Duration::try_from(took).unwrap_or_default();
        metrics.total.of(&(labels.clone(), response.status().as_u16())).inc();
        if !labels.is_long() {
            metrics.seconds.of(&labels).observe(took);
            return (response, took.as_secs_f64());
        }
        let held = |body| Stream { body, _under_way: under_way }.boxed_unsync();
        (response.map(held), took.as_secs_f64())
    }
}

/// Where a request is counted while it lasts.
enum UnderWay {
    Long(Arc<Gauge>),
    Short(Arc<ApiMetrics>, usize),
}

impl UnderWay {
    fn add(&self, change: i64) {
        match self {
            Self::Long(gauge) => gauge.add(change),
            Self::Short(metrics, which) => metrics.inflight[*which].add(change),
        }
    }
}

struct Held(UnderWay);

impl Held {
    fn new(what: UnderWay) -> Self {
        what.add(1);
        Self(what)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// A body that is counted until it ends or is dropped.
struct Stream {
    body: Body,
    _under_way: Held,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Collect for ApiMetrics {
    fn collect(&self, text: &mut Text) {
        text.family("apiserver_request_total", Kind::Counter, "Requests that were answered.");
        for ((labels, code), count) in self.total.all() {
            let code = code.to_string();
            let pairs: Vec<_> = std::iter::once(("code", code.as_str())).chain(labels.pairs()).collect();
            text.sample(&pairs, count.get() as f64);
        }
        text.family("apiserver_request_duration_seconds", Kind::Histogram, "How long answers took, streams apart.");
        for (labels, seconds) in self.seconds.all() {
            text.histogram(&labels.pairs(), &seconds.read());
        }
        text.family("apiserver_longrunning_requests", Kind::Gauge, "Streams under way.");
        for (labels, count) in self.long.all() {
            let pairs: Vec<_> = labels.pairs().into_iter().filter(|(name, _)| *name != "dry_run").collect();
            text.sample(&pairs, count.get() as f64);
        }
        text.family("apiserver_current_inflight_requests", Kind::Gauge, "Requests under way, streams apart.");
        for (kind, count) in ["readOnly", "mutating"].into_iter().zip(&self.inflight) {
            text.sample(&[("request_kind", kind)], count.get() as f64);
        }
        text.family("apiserver_watch_events_total", Kind::Counter, "Events that watches told their clients.");
        for ([group, version, kind], count) in self.events.all() {
            text.sample(&[("group", &group), ("kind", &kind), ("version", &version)], count.get() as f64);
        }
    }
}
