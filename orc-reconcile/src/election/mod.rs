//! Leader election: of several processes over one store, one runs the loops.
//!
//! The lock is a `Lease` (`coordination.k8s.io/v1`), so that `kubectl get leases -A` shows who leads. A candidate takes it when
//! nobody holds it, or when what stands in it has not changed for the holder's lease duration *by the candidate's own clock*:
//! clocks of different machines need not agree, only run at about the same speed. The holder stops its work when it could
//! not renew for [`Timings::renew`], counted from before its last renewal was sent, and what does not end within the rest of
//! the lease is dropped; others may take over only after the whole lease. So two leaders do not overlap, unless a process is
//! suspended as a whole; every loop must survive that anyway, by writing only over the revision that it read.
//!
//! [`Elector`] is the pure decision; [`run`] drives it.

mod driver;
mod elector;
#[cfg(test)]
mod tests;

use std::time::Duration;

use orc_core::Name;

pub use self::driver::{Standing, run};
pub use self::elector::{Elector, Record};

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long a lease counts after it was renewed; whole seconds are written into it.
    pub lease: Duration,
    /// How long a holder goes on without a renewal that succeeded. Less than `lease`: the difference is the time that its
    /// work has to end.
    pub renew: Duration,
    /// How often a holder renews and a candidate looks. A quarter more at random, so that candidates do not march in step.
    pub retry: Duration,
}

impl Default for Timings {
    /// Shorter than client-go's 15, 10 and 2 seconds: a renewal is one small relaxed write here, and a cluster whose
    /// scheduler is gone for a quarter of a minute is noticed.
    fn default() -> Self {
        Self { lease: Duration::from_secs(6), renew: Duration::from_secs(4), retry: Duration::from_secs(1) }
    }
}

/// What is competed for, and as whom.
#[derive(Clone, Debug)]
pub struct ElectionConfig {
    /// The lease's namespace; usually `kube-system`.
    pub namespace: Name,
    /// The lease's name, such as `kube-scheduler`.
    pub name: Name,
    /// Who this candidate is; different for every process that ever competes (a host name and a uid).
    pub identity: String,
    /// How long things take.
    pub timings: Timings,
}

impl ElectionConfig {
    /// A lease of `kube-system` with the default timings.
    pub fn new(name: impl Into<Name>, identity: impl Into<String>) -> Self {
        let (namespace, name) = (Name::new("kube-system"), name.into());
        Self { namespace, name, identity: identity.into(), timings: Timings::default() }
    }
}
