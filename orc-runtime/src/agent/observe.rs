//! What the runtime shows of one pod, with the last words of its containers.

use std::collections::BTreeSet;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::context::{Context, uid_of};
use crate::machine::Observation;
use crate::runtime::{ContainerState, ContainerStatus, LogOptions, RuntimeError, SandboxId};

/// The longest termination message; Kubernetes' limit.
const MESSAGE_BYTES: u64 = 4096;
/// Lines and bytes of the log that stand in for a missing message.
const LOG_LINES: u64 = 80;
const LOG_BYTES: usize = 2048;

/// The sandboxes that belong to a pod: grows while its sandbox is made, shrinks when one is removed.
pub(super) type SandboxIds = Arc<Mutex<BTreeSet<SandboxId>>>;

/// Asks the runtime. The number says how new the answer is.
pub(super) async fn observe(
    context: &Context,
    pod: &Pod,
    ids: &SandboxIds,
) -> Result<(u64, Observation), RuntimeError> {
    let number = context.observation();
    let known: Vec<SandboxId> = ids.lock().iter().cloned().collect();
    let mut seen = Observation::default();
    for id in known {
        match context.runtime.sandbox_status(&id).await {
            Ok(sandbox) => seen.sandboxes.push(sandbox),
            Err(error) if error.is_not_found() => {
                ids.lock().remove(&id);
                continue;
            }
            Err(error) => return Err(error),
        }
        seen.containers.extend(context.runtime.list_containers(Some(&id)).await?);
    }
    last_words(context, pod, &mut seen).await;
    Ok((number, seen))
}

/// The host's side of a container's `terminationMessagePath`.
pub(super) fn message_file(context: &Context, uid: &str, container: &str, attempt: u32) -> Option<PathBuf> {
    Some(context.pod_dir(uid)?.join("containers").join(container).join(attempt.to_string()))
}

/// Puts the messages that ended containers left into the observation.
pub(super) async fn last_words(context: &Context, pod: &Pod, seen: &mut Observation) {
    if context.config.is_simulated() {
        return;
    }
    let ended = |status: &&mut ContainerStatus| status.state == ContainerState::Exited && status.message.is_empty();
    for status in seen.containers.iter_mut().filter(ended) {
        let Some(path) = message_file(context, uid_of(pod), &status.name, status.attempt) else { continue };
        // A container that left no message has an empty file, or none.
        let mut message = end_of_file(&path).await.unwrap_or_default();
        let falls_back = crate::machine::any_container(pod, &status.name)
            .is_some_and(|spec| spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"));
        if message.is_empty() && falls_back && status.exit_code != Some(0) {
            message = log_tail(context, status).await;
        }
        status.message = String::from_utf8_lossy(&message).into_owned();
    }
}

/// As much of the end of a file as a message holds: what a container writes there is not bounded.
async fn end_of_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MESSAGE_BYTES))).await?;
    let mut text = Vec::new();
    file.take(MESSAGE_BYTES).read_to_end(&mut text).await?;
    Ok(text)
}

async fn log_tail(context: &Context, status: &ContainerStatus) -> Vec<u8> {
    // Not `limit_bytes`: that would keep the beginning of these lines, and the error stands at their end.
    let options = LogOptions { tail_lines: Some(LOG_LINES), ..LogOptions::default() };
    let mut text = Vec::new();
    let Ok(mut chunks) = context.runtime.logs(&status.id, &options).await else { return text };
    while let Some(Ok(chunk)) = chunks.next().await {
        text.extend_from_slice(&chunk);
        let before = text.len().saturating_sub(LOG_BYTES);
        text.drain(..before);
    }
    text
}
