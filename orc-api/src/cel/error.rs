//! Why an expression does not compile or does not evaluate.

use std::fmt;

/// One finding of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line of the source.
    pub snippet: String,
}

/// Why an expression does not compile. `Display` is cel-go's form:
///
/// ```text
/// ERROR: <input>:1:6: undefined field 'foo'
///  | self.foo == 1
///  | .....^
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// The findings, in the order of their places.
    pub issues: Vec<Issue>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR: <input>:{}:{}: {}", self.line, self.column, self.message)?;
        if !self.snippet.is_empty() {
            let dots = ".".repeat(self.column.saturating_sub(1));
            write!(f, "\n | {}\n | {dots}^", self.snippet)?;
        }
        Ok(())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, issue) in self.issues.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            issue.fmt(f)?;
        }
        Ok(())
    }
}

/// Why an expression does not evaluate; the texts are cel-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A key that is not there.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A variable that the activation does not have.
    #[error("no such attribute(s): {0}")]
    NoSuchAttribute(String),
    /// Types that an operator or function does not take.
    #[error("no such overload")]
    NoSuchOverload,
    /// What a function refused.
    #[error("{0}")]
    Failed(String),
    /// The budget of the expression is used up.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl EvalError {
    /// A failure with that text.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// Whether evaluation stops for good, rather than `||` or `&&` passing over it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::CostLimit)
    }
}
