//! The feed: one watch of everything below the prefix.
//!
//! Progress comes from events alone. etcd can be asked for the progress of a watch, but before 3.4.25 and 3.5.8 the answer may
//! overtake events (etcd-io/etcd#15220). Where a revision is wanted that no event will show, because it belongs to a key
//! outside the prefix, a barrier is written inside it, and the barrier's own event is the proof.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::PbWatchResponse;
use etcd_client::{Client, WatchOptions, WatchStream};
use futures::stream;
use orc_core::Revision;
use tokio::sync::watch;

use super::super::{BackendError, RawEvent, RawFeed};
use super::assemble::Assembler;
use super::errors::{Asked, CallError};
use super::link::{Link, raise, revision};

/// How long a feed stays silent behind a wanted revision before a barrier is written. An event of the prefix is on its way by
/// then: it leaves etcd in the act that makes it readable.
const GRACE: Duration = Duration::from_millis(20);
/// How long to wait for etcd to accept a watch.
const ACCEPT: Duration = Duration::from_secs(10);

/// Starts a feed of what follows a revision.
pub(super) async fn feed(link: &Arc<Link>, after: Revision) -> Result<RawFeed, BackendError> {
    refuse_the_past(link, after).await?;
    let (client, stream) = start(link, after).await.map_err(|error| error.backend(Asked::Read))?;
    let follower = Follower {
        stream,
        _client: client,
        assembler: Assembler::new(link.layout.clone(), after),
        ready: VecDeque::new(),
        wanted: link.wanted.subscribe(),
        link: link.clone(),
    };
    Ok(Box::pin(stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(event) => Some((Ok(event), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

/// Answers at once what a watch would tell late (compacted) or never (a revision that etcd has not reached).
async fn refuse_the_past(link: &Link, after: Revision) -> Result<(), BackendError> {
    let known = link.compacted();
    if after < known {
        return Err(BackendError::Compacted { asked: after, floor: known });
    }
    match link.probe(Some(after.max(Revision(1)))).await {
        Ok(_) => Ok(()),
        Err(error) if error.compacted() => {
            let floor = link.find_floor().await.map_err(|error| error.backend(Asked::Read))?;
            Err(BackendError::Compacted { asked: after, floor })
        }
        Err(error) if error.future() => Err(went_back(after)),
        Err(error) => Err(error.backend(Asked::Read)),
    }
}

/// What is said when etcd is behind what it has told before.
pub(super) fn went_back(seen: Revision) -> BackendError {
    BackendError::Corrupt(format!(
        "etcd is behind revision {seen}, which it has shown before: it was restored from an older copy or replaced; \
         restart this server, so that it reads everything again"
    ))
}

/// Opens a watch, at another member when one is not there.
async fn start(link: &Link, after: Revision) -> Result<(Client, WatchStream), CallError> {
    link.apart(ACCEPT, |client| async move {
        let stream = watch_from(link, &client, after).await?;
        Ok((client, stream))
    })
    .await
}

async fn watch_from(link: &Link, client: &Client, after: Revision) -> Result<WatchStream, CallError> {
    let (start, end) = link.layout.everything();
    // From the known revision on, not behind it: etcd then refuses exactly when something behind it may be gone. (At the
    // compacted revision itself a deletion is gone; etcd would not say so.)
    let from = after.0.max(1).cast_signed();
    let options = WatchOptions::new().with_range(end).with_start_revision(from).with_fragment();
    let mut watch = client.watch_client().max_decoding_message_size(i32::MAX as usize);
    watch.watch(start, Some(options)).await.map_err(|error| CallError::Etcd(Box::new(error)))
}

struct Follower {
    link: Arc<Link>,
    stream: WatchStream,
    /// The connection of the stream.
    _client: Client,
    assembler: Assembler,
    ready: VecDeque<RawEvent>,
    wanted: watch::Receiver<Revision>,
}

impl Follower {
    async fn next(&mut self) -> Result<RawEvent, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let told = self.assembler.after();
            tokio::select! {
                biased;
                message = self.stream.message() => match message {
                    Ok(Some(response)) => self.take(response.0)?,
                    Ok(None) => return Err(BackendError::Unavailable("etcd ended the watch".to_owned())),
                    Err(error) => return Err(CallError::Etcd(Box::new(error)).backend(Asked::Read)),
                },
                wanted = overdue(&self.link, &mut self.wanted, told) => raise(&self.link.barrier, wanted),
            }
        }
    }

    fn take(&mut self, response: PbWatchResponse) -> Result<(), BackendError> {
        if response.compact_revision > 0 {
            let floor = revision(response.compact_revision);
            self.link.note_compacted(floor);
            return Err(BackendError::Compacted { asked: self.assembler.after(), floor });
        }
        if response.canceled {
            let reason = response.cancel_reason;
            return Err(match reason.contains("permission denied") {
                true => BackendError::Denied(format!("etcd ended the watch: {reason}")),
                false => BackendError::Unavailable(format!("etcd ended the watch: {reason}")),
            });
        }
        self.assembler.take(response.events, response.fragment, &mut self.ready)
    }
}

/// Returns the wanted revision once it has been above `told` for too long.
async fn overdue(link: &Link, wanted: &mut watch::Receiver<Revision>, told: Revision) -> Revision {
    if wanted.wait_for(|wanted| *wanted > told).await.is_err() {
        // The sender lives in the link, which the feed holds.
        return std::future::pending().await;
    }
    link.clock.sleep(GRACE).await;
    *wanted.borrow()
}
