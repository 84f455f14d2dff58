//! Why a runtime could not do what it was asked.

use std::io;

use super::types::{ContainerId, SandboxId};

/// Failure of a runtime call. The text is meant for `kubectl describe`: it names the file, port or setting concerned.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such sandbox.
    #[error("sandbox {0} not found")]
    SandboxNotFound(SandboxId),
    /// There is no such container.
    #[error("container {0} not found")]
    ContainerNotFound(ContainerId),
    /// The container is not in a state that allows the call.
    #[error("container {id} is {state}")]
    WrongState {
        /// The container.
        id: ContainerId,
        /// Its state, in words.
        state: String,
    },
    /// The request itself is wrong; repeating it cannot help.
    #[error("{0}")]
    Invalid(String),
    /// The runtime does not do this, and says what would.
    #[error("{0}")]
    Unsupported(String),
    /// The pod's surroundings could not be made (Kubernetes: `FailedCreatePodSandBox`).
    #[error("{0}")]
    Sandbox(String),
    /// The container could not be created (Kubernetes: `CreateContainerError`).
    #[error("{0}")]
    Create(String),
    /// The container's program could not be started (Kubernetes: `StartError`, exit code 128).
    #[error("{0}")]
    Start(String),
    /// The image is missing and cannot be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A time limit given by the caller passed.
    #[error("{what} did not finish within {seconds} s")]
    Timeout {
        /// What was running.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// The process that holds the pod does not answer.
    #[error("the shim of sandbox {id} cannot be reached")]
    Shim {
        /// The sandbox.
        id: SandboxId,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// A system call of the runtime itself failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RuntimeError {
    /// Wraps a failed system call with what it was for.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// Whether the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::SandboxNotFound(_) | Self::ContainerNotFound(_))
    }

    /// The reason that Kubernetes shows for a waiting or terminated container, when this error concerns one.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::Invalid(_) | Self::Unsupported(_) => "CreateContainerError",
            Self::Start(_) => "StartError",
            Self::Sandbox(_) => "FailedCreatePodSandBox",
            Self::Image(image) => image.reason.as_str(),
            _ => "RunContainerError",
        }
    }

    /// The message with its causes, for events and statuses.
    pub fn full_message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}

/// Why an image is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// Which of Kubernetes' reasons applies.
    pub reason: ImageErrorReason,
    /// What went wrong, and what the user can do about it.
    pub message: String,
}

/// The waiting reasons that concern images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageErrorReason {
    /// The pull failed.
    ErrImagePull,
    /// The policy forbids pulling and the image is absent.
    ErrImageNeverPull,
    /// The reference cannot be parsed.
    InvalidImageName,
    /// The registry did not answer.
    RegistryUnavailable,
}

impl ImageErrorReason {
    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrImagePull => "ErrImagePull",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::InvalidImageName => "InvalidImageName",
            Self::RegistryUnavailable => "RegistryUnavailable",
        }
    }
}
