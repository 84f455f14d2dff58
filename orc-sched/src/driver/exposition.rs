//! How the scheduler does, in Prometheus' form.

use orc_core::metrics::{Kind, Text};

use super::status::{SchedulerStatus, StatusReader};

impl StatusReader {
    /// Writes everything there is to tell: counters, and the queues as they are now.
    pub fn write_metrics(&self, text: &mut Text) {
        write_queues(text, &self.read());
        self.metrics().write(text);
    }
}

fn write_queues(text: &mut Text, status: &SchedulerStatus) {
    text.family("scheduler_pending_pods", Kind::Gauge, "Pods that wait, by queue.");
    let queues = [
        ("active", status.active),
        ("backoff", status.backoff),
        ("gated", status.gated),
        ("unschedulable", status.parked),
    ];
    queues.iter().for_each(|(queue, count)| text.sample(&[("queue", queue)], *count as f64));
    text.one("orc_scheduler_victims_total", Kind::Counter, "Pods that were taken away.", status.victims as f64);
    text.one("orc_scheduler_binding_pods", Kind::Gauge, "Pods on their way to the API.", status.binding as f64);
    let dropped = "Conditions and events that were dropped.";
    text.one("orc_scheduler_dropped_reports_total", Kind::Counter, dropped, status.dropped_reports as f64);
}
