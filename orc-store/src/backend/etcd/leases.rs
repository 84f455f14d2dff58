//! Leases, shared by keys that are written at about the same time.
//!
//! A lease costs etcd more than a key, so keys of one ttl share one, as in kube-apiserver's lease manager: for a twentieth of
//! the ttl (a second at least, since etcd counts in seconds; a minute at most) or a thousand keys. It is granted that much
//! longer, so that the last key to join lives its full time as well. Nobody keeps a lease alive: its end is its purpose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use orc_core::env::{Spawner, Task};
use tokio::sync::{mpsc, oneshot};

use super::super::BackendError;
use super::errors::Asked;
use super::link::Link;

/// Keys of one lease. They vanish in one transaction, which etcd makes while nothing else is written.
const MAX_KEYS: usize = 1000;
/// Callers that wait; more wait for a place.
const QUEUE: usize = 1024;

/// The leases that still take keys, by ttl. Pure.
#[derive(Default)]
struct Pool(BTreeMap<Duration, Open>);

struct Open {
    id: i64,
    /// When it may end.
    until: Timestamp,
    keys: usize,
}

impl Pool {
    /// A lease that outlives a key of this ttl which is written now.
    fn take(&mut self, ttl: Duration, now: Timestamp) -> Option<i64> {
        let open = self.0.get_mut(&ttl)?;
        let needed = now.checked_add(ttl).ok()?;
        (open.keys < MAX_KEYS && needed <= open.until).then(|| {
            open.keys += 1;
            open.id
        })
    }

    /// Adds a lease, which has its first key; those that have ended are forgotten.
    fn add(&mut self, ttl: Duration, id: i64, until: Timestamp, now: Timestamp) {
        self.0.retain(|_, open| open.until > now);
        self.0.insert(ttl, Open { id, until, keys: 1 });
    }

    fn forget(&mut self, id: i64) {
        self.0.retain(|_, open| open.id != id);
    }
}

/// For how long a lease takes keys.
fn window(ttl: Duration) -> Duration {
    (ttl / 20).clamp(Duration::from_secs(1), Duration::from_secs(60))
}

/// What to grant, in whole seconds.
fn granted(ttl: Duration) -> u64 {
    let total = ttl + window(ttl);
    total.as_secs() + u64::from(total.subsec_nanos() > 0)
}

enum Ask {
    Lease(Duration, oneshot::Sender<Result<i64, BackendError>>),
    Gone(i64),
}

/// The one place that grants leases.
pub(super) struct Leases {
    ask: mpsc::Sender<Ask>,
    _task: Task,
}

impl Leases {
    pub(super) fn start(link: Arc<Link>, spawn: &Spawner) -> Self {
        let (ask, asked) = mpsc::channel(QUEUE);
        Self { ask, _task: spawn.spawn(run(link, asked)) }
    }

    /// A lease for a key that is written now and shall live for `ttl` at least.
    pub(super) async fn lease(&self, ttl: Duration) -> Result<i64, BackendError> {
        let (reply, answer) = oneshot::channel();
        let ended = || BackendError::Unavailable("etcd: the task that grants leases has ended".to_owned());
        self.ask.send(Ask::Lease(ttl, reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Says that etcd does not know a lease any more.
    pub(super) async fn gone(&self, id: i64) {
        // Nobody is there only when the backend is being dropped.
        let _ = self.ask.send(Ask::Gone(id)).await;
    }
}

async fn run(link: Arc<Link>, mut asked: mpsc::Receiver<Ask>) {
    let mut pool = Pool::default();
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Gone(id) => pool.forget(id),
            Ask::Lease(ttl, reply) => {
                let now = link.clock.now();
                let lease = match pool.take(ttl, now) {
                    Some(id) => Ok(id),
                    None => grant(&link, &mut pool, ttl, now).await,
                };
                // A caller that gave up has dropped its end.
                let _ = reply.send(lease);
            }
        }
    }
}

async fn grant(link: &Link, pool: &mut Pool, ttl: Duration, now: Timestamp) -> Result<i64, BackendError> {
    let seconds = i64::try_from(granted(ttl)).unwrap_or(i64::MAX);
    let grant = link.call(|client| async move { client.lease_client().grant(seconds, None).await });
    // A grant that was lost on the way is a lease without keys, which ends by itself.
    let lease = grant.await.map_err(|error| error.backend(Asked::Read))?;
    // etcd may give more than asked, its own minimum. Counted from before the request, so never too late.
    let lives = Duration::from_secs(u64::try_from(lease.ttl()).unwrap_or(0));
    pool.add(ttl, lease.id(), now.checked_add(lives).unwrap_or(now), now);
    Ok(lease.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_lease_is_shared_for_its_window_and_outlives_its_last_key() {
        let mut pool = Pool::default();
        assert_eq!(pool.take(HOUR, at(0)), None);
        pool.add(HOUR, 7, at(3660), at(0));
        assert_eq!(pool.take(HOUR, at(60)), Some(7));
        assert_eq!(pool.take(HOUR, at(61)), None);
        assert_eq!(pool.take(Duration::from_secs(5), at(0)), None, "each ttl has leases of its own");
        pool.forget(7);
        assert_eq!(pool.take(HOUR, at(0)), None);
    }

    #[test]
    fn a_lease_takes_a_thousand_keys() {
        let mut pool = Pool::default();
        pool.add(HOUR, 7, at(3660), at(0));
        assert_eq!((0..2 * MAX_KEYS).filter_map(|_| pool.take(HOUR, at(1))).count(), MAX_KEYS - 1);
    }

    #[test]
    fn leases_that_ended_are_forgotten() {
        let mut pool = Pool::default();
        pool.add(HOUR, 7, at(10), at(0));
        pool.add(Duration::from_secs(1), 8, at(20), at(11));
        assert_eq!(pool.0.len(), 1);
    }

    #[test]
    fn what_is_granted_covers_ttl_and_window() {
        assert_eq!(granted(HOUR), 3660);
        assert_eq!(granted(Duration::from_secs(600)), 630);
        assert_eq!(granted(Duration::from_secs(1)), 2);
        assert_eq!(granted(Duration::from_millis(1500)), 3);
    }
}
