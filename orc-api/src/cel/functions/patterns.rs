//! Regular expressions: `matches`, and Kubernetes' `find` and `findAll`.

use super::{Budget, EvalError, Outcome, Said, Value, inside};
use crate::cel::pattern::Pattern;
use std::borrow::Cow;

/// What compiling a pattern costs that is not a constant. Kubernetes charges nothing; here it bounds how many patterns one
/// evaluation compiles (a compilation takes up to a few milliseconds).
const COMPILE: u64 = 1000;

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    if !matches!(name, "matches" | "find" | "findAll") {
        return None;
    }
    let [Value::String(text), pattern, rest @ ..] = args else { return None };
    Some(run(name, text, pattern, rest, budget))
}

fn run(name: &str, text: &str, pattern: &Value, rest: &[Value], budget: &mut Budget) -> Outcome {
    let pattern = compiled(pattern, budget)?;
    let length = pattern.source().len() as u64;
    let cost = crate::cel::budget::tenth(text.len() as u64 + 1).saturating_mul(length.div_ceil(4).max(1));
    budget.take(cost)?;
    match (name, rest) {
        ("matches", []) => Ok(Value::Bool(pattern.matches(text))),
        ("find", []) => Ok(Value::string(pattern.regex().find(text).map_or("", |found| found.as_str()))),
        ("findAll", []) => Ok(all(&pattern, text, usize::MAX)),
        ("findAll", [Value::Int(n)]) => Ok(all(&pattern, text, usize::try_from(*n).unwrap_or(usize::MAX))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn compiled<'a>(pattern: &'a Value, budget: &mut Budget) -> Result<Cow<'a, Pattern>, EvalError> {
    if let Some(pattern) = inside::<Pattern>(pattern) {
        return Ok(Cow::Borrowed(pattern));
    }
    let source = pattern.as_str().ok_or(EvalError::NoSuchOverload)?;
    budget.take(COMPILE.saturating_add(source.len() as u64))?;
    Pattern::compile(source).map(Cow::Owned).map_err(|error| EvalError::failed(error.to_string()))
}

fn all(pattern: &Pattern, text: &str, most: usize) -> Value {
    Value::list(pattern.regex().find_iter(text).take(most).map(|found| Value::string(found.as_str())).collect())
}
