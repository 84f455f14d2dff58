//! The three forms of patch: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.
//!
//! Pure functions on trees. A patch is applied to what is stored, in the version that the client asked for; the result is
//! an ordinary new object that goes on through decoding, defaulting and validation, so nothing is checked here that those
//! check. [`diff`] makes the merge patch between two trees, which is how a typed modification is sent.

mod directives;
mod json;
mod merge;
mod order;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::apply_json;
pub use merge::{apply_merge, diff};
pub use strategic::apply_strategic;

use crate::error::{ApiError, Reason};

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not of its form: the client's mistake (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: a test failed, a path is missing (422).
    #[error("the server rejected our request due to an error in our request")]
    Rejected {
        /// What did not fit. Kubernetes tells its log, not the client; so do we.
        why: String,
    },
    /// More operations than a patch may have (413).
    #[error("The allowed maximum operations in a JSON patch is {allowed}, got {given}")]
    TooLong {
        /// How many are allowed.
        allowed: usize,
        /// How many were given.
        given: usize,
    },
    /// A strategic patch that cannot be merged; Kubernetes answers 500.
    #[error("{0}")]
    Unmergeable(String),
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        let text = error.to_string();
        match error {
            PatchError::Malformed(_) => Self::bad_request(text),
            PatchError::Rejected { .. } => Self::new(Reason::Invalid, text).with_details(Default::default()),
            PatchError::TooLong { .. } => Self::new(Reason::RequestEntityTooLarge, text),
            PatchError::Unmergeable(_) => Self::new(Reason::Unknown, text).with_code(500),
        }
    }
}
