//! When a connection ends that does not end by itself.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use orc_core::env::Clock;

use super::transport::Activity;

/// Nothing moved for so long: the kubelet's `streamingConnectionIdleTimeout`. It is looked at once in that time, so a
/// connection ends after one to two of them.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// What is left to send after the end may take so long.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Runs a connection's work beside its writer. When the work ends, what is queued is still sent; when the writer ends first, the
/// client is gone and the work is dropped.
pub(super) async fn supervise(
    work: impl Future<Output = ()>,
    writer: impl Future<Output = ()>,
    activity: &Activity,
    clock: &Clock,
) {
    let mut writer = pin!(writer);
    tokio::select! {
        biased;
        () = work => {}
        () = &mut writer => return,
        () = idle(activity, clock) => return,
    }
    tokio::select! {
        biased;
        () = writer => {}
        () = clock.sleep(LAST_WORDS) => {}
    }
}

async fn idle(activity: &Activity, clock: &Clock) {
    loop {
        let before = activity.count();
        clock.sleep(IDLE).await;
        if activity.count() == before {
            return;
        }
    }
}
