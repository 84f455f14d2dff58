//! When to probe a container, and what its answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};

use super::ProbeKind;
use super::backoff::later;
use crate::runtime::ContainerId;

/// The probes of one run of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct Probes {
    id: Option<ContainerId>,
    started: bool,
    ready: bool,
    tracks: BTreeMap<ProbeKind, Track>,
}

#[derive(Debug, Clone, Default)]
struct Track {
    next: Option<Timestamp>,
    waiting: bool,
    successes: i32,
    failures: i32,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing to do.
    Fine,
    /// It failed, not often enough yet to matter.
    Unhealthy,
    /// The container must be restarted.
    Condemned,
}

impl Probes {
    /// Takes up what the API remembers, so that a restart of the agent changes nothing.
    pub(super) fn adopt(&mut self, id: &ContainerId, started: bool, ready: bool) {
        *self = Self { id: Some(id.clone()), started, ready, tracks: BTreeMap::new() };
    }

    /// Begins anew when the run is another one.
    pub(super) fn follow(&mut self, id: &ContainerId) {
        if self.id.as_ref() != Some(id) {
            *self = Self { id: Some(id.clone()), ..Self::default() };
        }
    }

    /// Whether the run has started, as its startup probe says.
    pub(super) fn has_started(&self, id: &ContainerId, spec: &Container) -> bool {
        spec.startup_probe.is_none() || (self.id.as_ref() == Some(id) && self.started)
    }

    /// Whether the run takes traffic.
    pub(super) fn is_ready(&self, id: &ContainerId, spec: &Container) -> bool {
        let probed = spec.readiness_probe.is_none() || (self.id.as_ref() == Some(id) && self.ready);
        self.has_started(id, spec) && probed
    }

    /// The probes that are due, and when the next one is. `ending` leaves out those that would restart the container.
    pub(super) fn due(
        &mut self,
        spec: &Container,
        since: Timestamp,
        ending: bool,
        now: Timestamp,
    ) -> (Vec<ProbeKind>, Option<Timestamp>) {
        let mut due = Vec::new();
        let mut wake: Option<Timestamp> = None;
        let starting = spec.startup_probe.is_some() && !self.started;
        for (kind, probe) in probes(spec) {
            let skipped = match kind {
                ProbeKind::Startup => !starting || ending,
                ProbeKind::Liveness => starting || ending,
                ProbeKind::Readiness => starting,
            };
            if skipped {
                continue;
            }
            let track = self.tracks.entry(kind).or_default();
            if track.waiting {
                continue;
            }
            let next =
                *track.next.get_or_insert_with(|| later(since, seconds(probe.initial_delay_seconds, 0)).max(now));
            if next > now {
                wake = Some(wake.map_or(next, |wake| wake.min(next)));
                continue;
            }
            track.waiting = true;
            track.next = Some(later(now, seconds(probe.period_seconds, 10)));
            due.push(kind);
        }
        (due, wake)
    }

    /// Takes in an answer.
    pub(super) fn answer(&mut self, spec: &Container, kind: ProbeKind, success: bool) -> Verdict {
        let Some((_, probe)) = probes(spec).find(|(other, _)| *other == kind) else { return Verdict::Fine };
        let track = self.tracks.entry(kind).or_default();
        track.waiting = false;
        if success {
            track.successes += 1;
            track.failures = 0;
            if track.successes >= probe.success_threshold.unwrap_or(1).max(1) {
                match kind {
                    ProbeKind::Startup => self.started = true,
                    ProbeKind::Readiness => self.ready = true,
                    ProbeKind::Liveness => {}
                }
            }
            return Verdict::Fine;
        }
        track.failures += 1;
        track.successes = 0;
        if track.failures < probe.failure_threshold.unwrap_or(3).max(1) {
            return Verdict::Unhealthy;
        }
        if kind == ProbeKind::Readiness {
            self.ready = false;
            return Verdict::Unhealthy;
        }
        track.failures = 0;
        Verdict::Condemned
    }
}

/// The probes of a container.
pub(super) fn probes(spec: &Container) -> impl Iterator<Item = (ProbeKind, &Probe)> {
    let all = [
        (ProbeKind::Startup, &spec.startup_probe),
        (ProbeKind::Readiness, &spec.readiness_probe),
        (ProbeKind::Liveness, &spec.liveness_probe),
    ];
    all.into_iter().filter_map(|(kind, probe)| Some((kind, probe.as_ref()?)))
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|n| u64::try_from(n).ok()).unwrap_or(default).max(u64::from(default > 0)))
}
