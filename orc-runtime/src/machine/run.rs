//! One run of a container, how it ends, and when it is followed by another one.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::runtime::{ContainerId, ContainerStatus, SandboxId, reason};

/// Where in the pod a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that goes on running.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// One of `spec.ephemeralContainers`: runs once, beside everything, and counts for nothing.
    Ephemeral,
}

impl Role {
    /// Whether it is one of `spec.initContainers`.
    pub(super) fn is_init(self) -> bool {
        matches!(self, Self::Init | Self::Sidecar)
    }

    /// The list in the pod's spec that it stands in.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Init | Self::Sidecar => "initContainers",
            Self::Main => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

/// When a container is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Always,
    OnFailure,
    Never,
}

/// Where in its life a run is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    Created,
    Running { since: Timestamp },
    Exited(ContainerStateTerminated),
}

/// One run of a container: the one with the highest attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) id: ContainerId,
    pub(super) attempt: u32,
    /// `None` for a run that only the API remembers.
    pub(super) sandbox: Option<SandboxId>,
    /// The image it was made from; empty when only the API remembers the run.
    pub(super) image: String,
    pub(super) stage: Stage,
}

impl Run {
    /// How it ended; one of which nothing else is known was lost.
    pub(super) fn into_end(self, now: Timestamp) -> ContainerStateTerminated {
        match self.stage {
            Stage::Exited(end) => end,
            Stage::Running { since } => lost(&self.id, Some(since), now),
            Stage::Created => lost(&self.id, None, now),
        }
    }
}

/// `spec.restartPolicy`.
pub(super) fn policy(text: &str) -> Policy {
    match text {
        "Never" => Policy::Never,
        "OnFailure" => Policy::OnFailure,
        _ => Policy::Always,
    }
}

/// The pod's policy.
pub(super) fn pod_policy(pod: &Pod) -> Policy {
    policy(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always"))
}

/// Whole seconds, as Kubernetes writes times.
pub(super) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// How a run ended, as a status says it.
pub(super) fn end_of(status: &ContainerStatus) -> ContainerStateTerminated {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let code = status.exit_code.unwrap_or(137);
    let fallback = if code == 0 { reason::COMPLETED } else { reason::ERROR };
    ContainerStateTerminated {
        container_id: Some(status.id.to_string()),
        exit_code: code,
        // Only the runtime's own word counts; 128 + n already says the signal, and kubelet leaves it out.
        signal: None,
        reason: text(&status.reason).or_else(|| text(fallback)),
        message: text(&status.message),
        started_at: status.started_at.map(time),
        finished_at: Some(time(status.finished_at.unwrap_or(status.created_at))),
    }
}

/// The end of a run that the runtime does not show any more.
pub(super) fn lost(id: &ContainerId, since: Option<Timestamp>, now: Timestamp) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(id.to_string()),
        exit_code: 137,
        reason: Some(reason::UNKNOWN.to_owned()),
        message: Some("The container could not be located when the pod was observed".to_owned()),
        started_at: since.map(time),
        finished_at: Some(time(now)),
        ..Default::default()
    }
}
