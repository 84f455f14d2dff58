//! What operators see of priority and fairness, under kube-apiserver's names: the seats of each level, and what became of the
//! requests of each FlowSchema.
//!
//! Counters belong to a compiled FlowSchema and live as long as it stays with its level, so that counting looks nothing up.
//! Seats are counted by level alone: unlike upstream, `apiserver_flowcontrol_current_executing_seats` and
//! `apiserver_flowcontrol_current_inqueue_seats` have no label `flow_schema`.

use orc_core::metrics::{Collect, Counter, Kind, Text};

use super::Fairness;
use super::level::{Level, Permit, Refused};
use super::plan::{Plan, Priority};

/// What became of a FlowSchema's requests.
#[derive(Default)]
pub struct Counts {
    dispatched: Counter,
    full: Counter,
    late: Counter,
}

impl Counts {
    /// Counts one outcome.
    pub fn count(&self, outcome: &Result<Option<Permit>, Refused>) {
        match outcome {
            Ok(_) => self.dispatched.inc(),
            Err(Refused::Full) => self.full.inc(),
            Err(Refused::TimeOut) => self.late.inc(),
        }
    }
}

impl Collect for Fairness {
    fn collect(&self, text: &mut Text) {
        write(text, &self.plan());
    }
}

/// One gauge of the levels: its name, its help, and what it reads of a level that limits.
type Seats = (&'static str, &'static str, fn(&Priority, &Level) -> u64);

const SEATS: [Seats; 4] = [
    ("apiserver_flowcontrol_nominal_limit_seats", "Seats of a level by its configuration.", |one, _| {
        u64::from(one.nominal())
    }),
    ("apiserver_flowcontrol_current_limit_seats", "Seats of a level now, with those borrowed and lent.", |_, level| {
        u64::from(level.seats())
    }),
    ("apiserver_flowcontrol_current_executing_seats", "Seats in use.", |_, level| level.demand().0),
    ("apiserver_flowcontrol_current_inqueue_seats", "Seats that waiting requests ask for.", |_, level| {
        level.demand().1
    }),
];

fn write(text: &mut Text, plan: &Plan) {
    for (name, help, read) in SEATS {
        text.family(name, Kind::Gauge, help);
        for priority in plan.levels.values() {
            let Some(level) = &priority.level else { continue };
            text.sample(&[("priority_level", &priority.name)], read(priority, level) as f64);
        }
    }
    let dispatched = "apiserver_flowcontrol_dispatched_requests_total";
    text.family(dispatched, Kind::Counter, "Requests that were let through.");
    for schema in plan.schemas() {
        let labels = [("flow_schema", &*schema.name), ("priority_level", &*schema.level.name)];
        text.sample(&labels, schema.counts.dispatched.get() as f64);
    }
    let rejected = "apiserver_flowcontrol_rejected_requests_total";
    text.family(rejected, Kind::Counter, "Requests that were refused, by reason.");
    for schema in plan.schemas() {
        for (reason, count) in [("queue-full", &schema.counts.full), ("time-out", &schema.counts.late)] {
            let labels = [("flow_schema", &*schema.name), ("priority_level", &*schema.level.name), ("reason", reason)];
            text.sample(&labels, count.get() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Objects;
    use super::*;
    use crate::fairness::bootstrap::CATCH_ALL;
    use orc_core::env::Clock;

    fn shown(plan: &Plan) -> String {
        let mut text = Text::default();
        write(&mut text, plan);
        text.into_string()
    }

    #[test]
    fn seats_in_use_and_outcomes_are_shown_and_survive_a_new_plan() {
        let (clock, objects) = (Clock::wall(), Objects::default());
        let plan = Plan::of(&objects, &Plan::default(), 100, &clock);
        let schema = plan.schemas().iter().find(|one| one.name == CATCH_ALL).unwrap();
        let permit = schema.level.level.as_ref().unwrap().try_admit(1, 2).unwrap();
        schema.counts.count(&Ok(None));
        schema.counts.count(&Err(Refused::Full));
        let again = Plan::of(&objects, &plan, 100, &clock);
        let text = shown(&again);
        for line in [
            "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"catch-all\"} 100",
            "apiserver_flowcontrol_current_executing_seats{priority_level=\"catch-all\"} 2",
            "apiserver_flowcontrol_current_inqueue_seats{priority_level=\"catch-all\"} 0",
            "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"catch-all\",priority_level=\"catch-all\"} 1",
            "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"catch-all\",priority_level=\"catch-all\",reason=\"queue-full\"} 1",
            "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"catch-all\",priority_level=\"catch-all\",reason=\"time-out\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        drop(permit);
        assert!(shown(&again).contains("current_executing_seats{priority_level=\"catch-all\"} 0\n"));
    }
}
