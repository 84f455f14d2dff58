//! Changes that wait for the writer: bounded, taken all at once so that they share a sync.

use std::collections::VecDeque;
use std::time::Instant;

use orc_core::Revision;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use crate::backend::{BackendError, RawChange};

/// A change and whom to tell.
pub(super) struct Waiting {
    pub(super) change: RawChange,
    pub(super) reply: oneshot::Sender<Result<Revision, BackendError>>,
}

/// The queue between commits and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    news: Condvar,
    places: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whether the writer sleeps; waking it costs a system call.
    idle: bool,
    closed: bool,
}

/// What the writer wakes up to.
pub(super) enum Work {
    Changes(VecDeque<Waiting>),
    Due,
    Closed,
}

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        Self { state: Mutex::default(), news: Condvar::new(), places: Semaphore::new(places.max(1)) }
    }

    /// Waits for a place and for the writer's answer. Dropping the future before it has a place changes nothing; after
    /// that the change happens.
    pub(super) async fn submit(&self, change: RawChange) -> Result<Revision, BackendError> {
        let place = self.places.acquire().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(closed());
            }
            // The writer gives the places of a whole group back at once.
            place.forget();
            state.waiting.push_back(Waiting { change, reply });
            if std::mem::take(&mut state.idle) {
                self.news.notify_one();
            }
        }
        answer.await.map_err(|_| closed())?
    }

    /// Everything that waits; blocks until there is something, `due` has come, or the queue is closed and empty.
    pub(super) fn take(&self, due: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                return Work::Changes(std::mem::take(&mut state.waiting));
            }
            if state.closed {
                return Work::Closed;
            }
            state.idle = true;
            match due {
                None => self.news.wait(&mut state),
                Some(due) => {
                    if self.news.wait_until(&mut state, due).timed_out() && state.waiting.is_empty() {
                        return Work::Due;
                    }
                }
            }
        }
    }

    /// Gives places back: so many changes are done.
    pub(super) fn done(&self, changes: usize) {
        self.places.add_permits(changes);
    }

    /// Refuses further changes. Those that wait are still taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.places.close();
        self.news.notify_all();
    }

    /// Refuses everything, because the writer has ended.
    pub(super) fn abandon(&self) {
        self.close();
        self.state.lock().waiting.clear();
    }
}

fn closed() -> BackendError {
    BackendError::Unavailable("the store is closed".to_owned())
}
