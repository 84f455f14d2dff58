//! Control loops: a queue of keys, a controller that drains it through a service, and the built-in Kubernetes loops.
//!
//! | module | holds |
//! |---|---|
//! | [`reconciler`] | [`Reconciler`], [`Next`], and how failures are classed |
//! | [`queue`] | the work queue: a pure state machine, deduplicating, with per-key backoff |
//! | [`controller`] | [`Controller`]: sources feed keys, workers reconcile them, a status says how it goes |
//! | [`metrics`] | what a loop's queue measures, as Prometheus reads it |
//! | [`election`] | one leader among several processes, by a `Lease` |
//! | [`source`] | where keys come from: caches, timers, anything |
//! | [`controllers`] | the built-in loops (feature `controllers`) |

pub mod controller;
#[cfg(feature = "controllers")]
pub mod controllers;
pub mod election;
pub mod metrics;
pub mod queue;
pub mod reconciler;
pub mod source;

pub use controller::{Controller, LoopStatus};
pub use metrics::QueueStatus;
pub use queue::{Backoff, Queue};
pub use reconciler::{Classify, Failure, Key, Next, Reconciler, service};
pub use source::{CacheSource, FnSource, Sink, Source};
pub use tokio_util::sync::CancellationToken;
