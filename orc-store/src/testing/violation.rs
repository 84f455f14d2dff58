//! A law that does not hold.

/// Which law is broken, and how it was seen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("law: {law}\n  seen: {why}")]
pub struct Violation {
    /// The law, as a sentence.
    pub law: &'static str,
    /// What was seen instead.
    pub why: String,
}

impl Violation {
    /// A broken law.
    pub fn new(law: &'static str, why: impl Into<String>) -> Self {
        Self { law, why: why.into() }
    }
}

/// Returns a [`Violation`] of the law unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $law:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::testing::Violation::new($law, format!($($why)+)));
        }
    };
}

pub(crate) use ensure;
