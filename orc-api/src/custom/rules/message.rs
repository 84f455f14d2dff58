//! The texts about a rule that does not hold.

use super::compile::Compiled;
use crate::cel::{Activation, Budget, EvalError, Value};

/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// What to say about a rule: its message, or the rule itself.
pub(super) fn fixed(compiled: &Compiled) -> String {
    match compiled.rule.message.trim() {
        "" => format!("failed rule: {}", named(compiled)),
        message => message.to_owned(),
    }
}

/// The rule as errors about its evaluation name it.
pub(super) fn named(compiled: &Compiled) -> &str {
    match compiled.rule.message.trim() {
        "" => compiled.rule.rule.trim(),
        message => message,
    }
}

/// Runs a message's expression. `Ok(None)` means that it gave nothing fit to be shown, so that the fixed text is.
///
/// # Errors
/// The text of a budget that is used up, after which no rule runs any more.
pub(super) fn made(compiled: &Compiled, activation: &Activation, left: &mut u64) -> Result<Option<String>, String> {
    let Some(program) = &compiled.message else { return Ok(None) };
    let mut budget = Budget::default();
    let outcome = program.evaluate(activation, &mut budget);
    if budget.used() > *left {
        let text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
        return Err(text.to_owned());
    }
    *left -= budget.used();
    match outcome {
        Ok(Value::String(text)) => {
            let text = text.trim();
            let fit = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
            Ok(fit.then(|| text.to_owned()))
        }
        Err(EvalError::CostLimit) => {
            let source = orc_core::validation::go_quote(&compiled.rule.message_expression);
            Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {source}"
            ))
        }
        _ => Ok(None),
    }
}
