//! The laboratory: the engine of the live scheduler, driven by tables and virtual time.
//!
//! | module | holds |
//! |---|---|
//! | [`Simulation`], [`Workload`], [`Report`] | any workload in virtual time, policies side by side |
//! | [`files`] | workload files of scheduler benchmarks, recorded clusters |
//! | [`scale`] | [`Autoscaler`]: nodes that come and go |
//! | [`openb`] | the published experiment on packing GPUs, on a trace of a production cluster |
//! | [`chart`] | curves as SVG and HTML |
//!
//! Deciding takes no virtual time, so a delay is time without room, never time in a busy scheduler. A pod that loses its node or
//! has to go for another is made anew and waits again, as its controller would see to.

pub mod chart;
mod expected;
pub mod files;
mod input;
pub mod openb;
mod record;
pub mod scale;
mod simulation;
mod workload;
mod world;

pub use input::InputError;
pub use record::{Report, Run, Sample};
pub use scale::{Autoscaler, Grow};
pub use simulation::Simulation;
pub use workload::{Act, Job, Workload};
