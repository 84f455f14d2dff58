//! The decision of one candidate. Pure: what the lease says and a monotonic time go in, what to write comes out.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::Timings;

/// What stands in a lease.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How long it counts after a renewal.
    pub lease: Duration,
    /// When the holder took it, by the holder's clock.
    pub acquired: Option<MicroTime>,
    /// When the holder renewed it last, by the holder's clock. Only its changes matter to others.
    pub renewed: Option<MicroTime>,
    /// How often the holder changed.
    pub transitions: i32,
}

impl From<&LeaseSpec> for Record {
    fn from(spec: &LeaseSpec) -> Self {
        let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        Self {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            lease: Duration::from_secs(seconds),
            acquired: spec.acquire_time.clone(),
            renewed: spec.renew_time.clone(),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }
}

impl Record {
    /// Writes it into a lease; what else the lease says stays.
    pub fn write_to(&self, spec: &mut LeaseSpec) {
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = Some(i32::try_from(self.lease.as_secs().max(1)).unwrap_or(i32::MAX));
        spec.acquire_time = self.acquired.clone();
        spec.renew_time = self.renewed.clone();
        spec.lease_transitions = Some(self.transitions);
    }
}

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    timings: Timings,
    /// What was seen last, and when it was first seen so.
    seen: Option<(Record, Instant)>,
    /// When the last renewal that succeeded was sent.
    held: Option<Instant>,
}

impl Elector {
    /// A candidate that has seen nothing yet.
    pub fn new(identity: impl Into<String>, timings: Timings) -> Self {
        Self { identity: identity.into(), timings, seen: None, held: None }
    }

    /// Takes note of what the lease says; `None` when there is no lease.
    pub fn observe(&mut self, record: Option<Record>, now: Instant) {
        match record {
            None => self.seen = None,
            Some(record) if self.seen.as_ref().is_some_and(|(seen, _)| *seen == record) => {}
            Some(record) => self.seen = Some((record, now)),
        }
    }

    /// What to write now: the lease as this candidate's; `None` while somebody else holds it.
    pub fn claim(&self, now: Instant, wall: &MicroTime) -> Option<Record> {
        let fresh = Record {
            holder: self.identity.clone(),
            lease: self.timings.lease,
            acquired: Some(wall.clone()),
            renewed: Some(wall.clone()),
            transitions: 0,
        };
        let Some((seen, since)) = &self.seen else { return Some(fresh) };
        if seen.holder == self.identity {
            let acquired = seen.acquired.clone().or(fresh.acquired.clone());
            return Some(Record { acquired, transitions: seen.transitions, ..fresh });
        }
        let counts = if seen.lease.is_zero() { self.timings.lease } else { seen.lease };
        if !seen.holder.is_empty() && now < *since + counts {
            return None;
        }
        Some(Record { transitions: seen.transitions.saturating_add(1), ..fresh })
    }

    /// A claim that was sent at `sent` is in the lease.
    pub fn won(&mut self, record: Record, sent: Instant) {
        self.seen = Some((record, sent));
        self.held = Some(sent);
    }

    /// The lease is lost or given back.
    pub fn lost(&mut self) {
        self.held = None;
    }

    /// Until when this candidate may lead without another renewal; `None` when it does not lead.
    pub fn leads_until(&self) -> Option<Instant> {
        self.held.map(|sent| sent + self.timings.renew)
    }

    /// Until when its work must have ended: others may lead after that.
    pub fn ends_by(&self) -> Option<Instant> {
        self.held.map(|sent| sent + self.timings.lease)
    }

    /// Who holds the lease as far as is known; `None` when nobody does.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(seen, _)| seen.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// What to write to give the lease back, so that the next one need not wait.
    pub fn release(&self) -> Option<Record> {
        let (seen, _) = self.seen.as_ref().filter(|(seen, _)| seen.holder == self.identity)?;
        // As client-go does: a second, because zero is not valid.
        Some(Record { holder: String::new(), lease: Duration::from_secs(1), ..seen.clone() })
    }
}
