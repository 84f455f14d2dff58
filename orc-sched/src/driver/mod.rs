//! The live scheduler.
pub struct Scheduler;
pub struct SchedulerConfig;
