//! What a day is lived on.

use std::future::Future;
use std::sync::Arc;

use orc_core::env::Rng;

use crate::backend::{Backend, BackendError};

/// Something that keeps a backend's data, and can lose power.
pub trait Medium: Send {
    /// Opens the backend over what is there. It is empty at first.
    ///
    /// # Errors
    /// The backend's. After [`Medium::fail_after`] an error is taken for the power failing; otherwise it ends the day.
    fn open(&mut self) -> impl Future<Output = Result<Arc<dyn Backend>, BackendError>> + Send;

    /// Lets everything fail after so many steps of I/O from now. Reads of what is in memory may go on.
    fn fail_after(&mut self, steps: u64);

    /// Drops the backend, and with it what was not durable, wholly or in part. Power is back afterwards.
    fn crash(&mut self, rng: &Rng) -> impl Future<Output = ()> + Send;

    /// Stops the backend cleanly: nothing that was acknowledged may be lost.
    fn stop(&mut self) -> impl Future<Output = ()> + Send;
}

/// Keeps virtual time from running ahead while real threads work. Dropping it lets time go on.
pub(super) struct Still {
    _release: tokio::sync::oneshot::Sender<()>,
}

/// tokio's paused clock jumps to the next timer when every task waits, but not while a blocking task runs.
pub(super) fn hold_time() -> Still {
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    drop(tokio::task::spawn_blocking(move || {
        // Ends when the sender is dropped.
        let _ = released.blocking_recv();
    }));
    Still { _release: release }
}
