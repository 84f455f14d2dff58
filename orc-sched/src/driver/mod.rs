//! The live scheduler: watches pods and nodes, asks the engine, binds.
//!
//! One task owns the engine and the queue. Decisions take microseconds and are assumed at once; binding goes on in the
//! background, so many at a time that the store's latency does not bound the throughput. A pod that fits nowhere is parked
//! until something happens that could help. No pod is kept beyond what scheduling reads of it, and an event costs what it
//! changes.
//!
//! Queue, decisions and plugins know no clock; time, randomness and writes come in here.

mod binder;
mod config;
mod devices;
mod events;
mod evict;
mod exposition;
mod facts;
mod group;
mod metrics;
mod place;
mod queue;
mod report;
mod run;
mod status;
mod unfit;
mod watch;
mod way;

pub use binder::{ApiBinder, Binder};
pub use config::SchedulerConfig;
pub use facts::WriteFacts;
pub use metrics::SchedulerMetrics;
pub use queue::{Depths, PodQueue, QueuePoints, Timing};
pub use run::Scheduler;
pub use status::{SchedulerStatus, StatusReader};

use orc_reconcile::CancellationToken;
use orc_store::Env;

/// Schedules pods until `stop`.
pub async fn run(env: Env, config: SchedulerConfig, stop: CancellationToken) {
    Scheduler::new(env, config).run(stop).await;
}
