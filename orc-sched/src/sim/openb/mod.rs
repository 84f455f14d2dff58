//! The experiment of *Beware of fragmentation* (USENIX ATC 2023) on Alibaba's openb trace.
//!
//! Nodes and tasks are two tables ([`Trace::read`]). An [`Experiment`] draws an order of tasks and of nodes from a seed, brings
//! tasks one at a time until the demand for GPU reaches the cluster's capacity, and says how much of it was given out. Nobody
//! leaves and nobody is tried twice, so that the number is about packing alone.

mod experiment;
mod inflate;
mod summary;
mod trace;

pub(super) use experiment::each;
pub use experiment::{Experiment, Outcome, Point, Ties, UnknownPolicy};
pub use inflate::arrivals;
pub use summary::{Summary, charts, csv, json, summaries, table};
pub use trace::{Task, Trace};
