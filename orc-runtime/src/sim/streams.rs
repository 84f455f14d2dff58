//! Images and streams of a simulated runtime: any image is there, and nothing can be looked into.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;

use super::SimRuntime;
use crate::runtime::{
    ContainerId, ContainerState, DuplexStream, ExecOutput, ExecRequest, ExecSession, ImageError, ImageStatus, Images,
    LogChunks, LogOptions, Observe, RuntimeError, SandboxId, StreamSet, Streams,
};

#[async_trait]
impl Images for SimRuntime {
    async fn image_status(&self, reference: &str) -> Result<Option<ImageStatus>, ImageError> {
        Ok(Some(ImageStatus { reference: reference.to_owned(), id: reference.to_owned(), size_bytes: 0 }))
    }

    async fn pull_image(&self, reference: &str) -> Result<ImageStatus, ImageError> {
        Ok(ImageStatus { reference: reference.to_owned(), id: reference.to_owned(), size_bytes: 0 })
    }
}

fn no_streams(what: &str) -> RuntimeError {
    RuntimeError::Unsupported(format!("a simulated container runs no program, so there is nothing to {what}"))
}

#[async_trait]
impl Streams for SimRuntime {
    async fn exec(&self, _: &ContainerId, _: &ExecRequest) -> Result<ExecSession, RuntimeError> {
        Err(no_streams("exec in"))
    }

    async fn exec_sync(&self, id: &ContainerId, _: &[String], _: Duration) -> Result<ExecOutput, RuntimeError> {
        let state = self.settle();
        let container = state.containers.get(id).ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))?;
        if container.status.state != ContainerState::Running {
            return Err(RuntimeError::WrongState { id: id.clone(), state: "not running".to_owned() });
        }
        Ok(ExecOutput { exit_code: container.script.exec_exit_code, ..ExecOutput::default() })
    }

    async fn attach(&self, _: &ContainerId, _: StreamSet) -> Result<ExecSession, RuntimeError> {
        Err(no_streams("attach to"))
    }

    async fn logs(&self, id: &ContainerId, _: &LogOptions) -> Result<LogChunks, RuntimeError> {
        let status = self.container_status(id).await?;
        let line = format!("simulated container {} (attempt {}) writes no log\n", status.name, status.attempt);
        Ok(Box::pin(stream::iter([Ok(Bytes::from(line))])))
    }

    async fn port_forward(&self, _: &SandboxId, _: u16) -> Result<DuplexStream, RuntimeError> {
        Err(no_streams("forward ports to"))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.container_status(id).await.map(drop)
    }
}
