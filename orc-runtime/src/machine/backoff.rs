//! Waiting longer after each failure, as `k8s.io/client-go/util/flowcontrol.Backoff` does.

use std::time::Duration;

use jiff::Timestamp;

/// The first wait.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// The longest wait.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// A failure that comes so long after the last retry starts from the first wait again.
const FORGET: Duration = Duration::from_secs(600);

/// One thing that is tried again.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff(Option<(Duration, Timestamp)>);

impl Backoff {
    /// As it would be after so many retries, the last one at `at`.
    pub(super) fn after(retries: u32, at: Timestamp) -> Self {
        let Some(doublings) = retries.checked_sub(1) else { return Self(None) };
        let wait = FIRST.saturating_mul(1 << doublings.min(5)).min(LONGEST);
        Self(Some((wait, at)))
    }

    /// When a failure at `failed` may be followed by a retry.
    pub(super) fn ready_at(&self, failed: Timestamp) -> Timestamp {
        match self.0 {
            Some((wait, tried)) if !old(failed, tried) => later(failed, wait),
            _ => failed,
        }
    }

    /// The wait in force.
    pub(super) fn wait(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |(wait, _)| wait)
    }

    /// Notes a retry at `now` after a failure at `failed`.
    pub(super) fn retry(&mut self, failed: Timestamp, now: Timestamp) {
        let wait = match self.0 {
            Some((wait, tried)) if !old(failed, tried) => (wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.0 = Some((wait, now));
    }
}

fn old(failed: Timestamp, tried: Timestamp) -> bool {
    failed.duration_since(tried) > jiff::SignedDuration::try_from(FORGET).unwrap_or_default()
}

/// A point in time that much later.
pub(super) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Whole seconds as Go writes durations: `5s`, `1m0s`, `1h0m0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn doubles_to_five_minutes_and_forgets_after_ten() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        let mut now = 1000;
        for _ in 0..7 {
            let ready = backoff.ready_at(at(now)).as_second();
            waits.push(ready - now);
            backoff.retry(at(now), at(ready));
            now = ready + 1;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300]);
        assert_eq!(backoff.ready_at(at(now + 700)), at(now + 700), "ran for more than ten minutes");
        backoff.retry(at(now + 700), at(now + 700));
        assert_eq!(backoff.wait(), FIRST);
    }

    #[test]
    fn is_restored_from_a_count() {
        assert_eq!(Backoff::after(0, at(0)).wait(), Duration::ZERO);
        assert_eq!(Backoff::after(2, at(0)).wait(), Duration::from_secs(20));
        assert_eq!(Backoff::after(40, at(0)).wait(), LONGEST);
    }
}
