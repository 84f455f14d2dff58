//! Reads etcd's revision for many callers at once.
//!
//! A caller must get a revision that was read after he asked. Whoever asks while a read is in flight therefore shares the
//! next one: a thousand fresh reads a second cost etcd as much as one after the other.

use std::sync::Arc;

use orc_core::Revision;
use orc_core::env::{Spawner, Task};
use tokio::sync::{mpsc, oneshot};

use super::super::BackendError;
use super::errors::Asked;
use super::feed::went_back;
use super::link::{Link, raise};

/// Callers that wait; more wait for a place.
const QUEUE: usize = 1024;

type Reply = oneshot::Sender<Result<Revision, BackendError>>;

/// The one place from which the revision is read.
pub(super) struct Reader {
    ask: mpsc::Sender<Reply>,
    _task: Task,
}

impl Reader {
    pub(super) fn start(link: Arc<Link>, spawn: &Spawner) -> Self {
        let (ask, asked) = mpsc::channel(QUEUE);
        Self { ask, _task: spawn.spawn(run(link, asked)) }
    }

    /// The revision, read after this call began.
    pub(super) async fn current(&self) -> Result<Revision, BackendError> {
        let (reply, answer) = oneshot::channel();
        let ended = || BackendError::Unavailable("etcd: the task that reads its revision has ended".to_owned());
        self.ask.send(reply).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

async fn run(link: Arc<Link>, mut asked: mpsc::Receiver<Reply>) {
    let (mut waiting, mut last) = (Vec::new(), Revision::ZERO);
    while asked.recv_many(&mut waiting, QUEUE).await > 0 {
        let answer = match link.revision().await {
            // Reads are one after the other here, and each shows what a quorum has: a lower one is another history.
            Ok(now) if now < last => Err(went_back(last)),
            Ok(now) => {
                last = now;
                raise(&link.wanted, now);
                Ok(now)
            }
            Err(error) => Err(error.backend(Asked::Read)),
        };
        for reply in waiting.drain(..) {
            // A caller that gave up has dropped its end.
            let _ = reply.send(answer.clone());
        }
    }
}
