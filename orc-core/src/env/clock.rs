//! Time, real or virtual.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// A source of time. Cheap to clone; clones share the source.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Wall,
    /// Wall time computed from tokio's clock, which a test may pause and advance.
    Tokio {
        start: Timestamp,
        origin: Arc<std::sync::OnceLock<tokio::time::Instant>>,
    },
}

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Self {
        Self(Source::Wall)
    }

    /// A clock that reads `start` at its first use and then follows tokio's (pausable) clock.
    pub fn following_tokio(start: Timestamp) -> Self {
        Self(Source::Tokio { start, origin: Arc::default() })
    }

    /// The time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Wall => Timestamp::now(),
            Source::Tokio { start, origin } => {
                let now = tokio::time::Instant::now();
                let passed = now.saturating_duration_since(*origin.get_or_init(|| now));
                start.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Waits until a point in time; returns at once when it has passed. Cancel-safe.
    pub async fn sleep_until(&self, at: Timestamp) {
        let wait = at.duration_since(self.now());
        if wait.is_positive() {
            self.sleep(wait.unsigned_abs()).await;
        }
    }

    /// Waits. Cancel-safe.
    pub async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Wall => "Clock(wall)",
            Source::Tokio { .. } => "Clock(tokio)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_moves_with_the_runtime() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::following_tokio(start);
        assert_eq!(clock.now(), start);
        clock.sleep_until("2026-01-02T00:00:00Z".parse().unwrap()).await;
        assert!(clock.now() >= "2026-01-02T00:00:00Z".parse().unwrap());
    }
}
