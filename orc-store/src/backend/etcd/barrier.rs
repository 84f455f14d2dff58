//! Writes the barrier key when a feed asks for it.

use std::sync::Arc;
use std::time::Duration;

use orc_core::Revision;

use super::link::{Link, revision};

/// The longest wait before a barrier is tried again.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Writes a barrier whenever one is asked for that the last does not serve. One at a time: all who wait share it.
pub(super) async fn run(link: Arc<Link>) {
    let mut asked = link.barrier.subscribe();
    let (mut written, mut wait) = (Revision::ZERO, Duration::from_millis(50));
    loop {
        if asked.wait_for(|asked| *asked > written).await.is_err() {
            return;
        }
        let key = link.layout.barrier();
        let put = link.kv(|mut kv| {
            let key = key.clone();
            async move { kv.put(key, "", None).await }
        });
        match put.await {
            Ok(answer) => {
                written = answer.header().map_or(written, |header| revision(header.revision()));
                wait = Duration::from_millis(50);
            }
            Err(error) => {
                tracing::debug!(%error, "a barrier was not written");
                link.clock.sleep(wait).await;
                wait = (wait * 2).min(MAX_WAIT);
            }
        }
    }
}
