//! `matchConditions`: expressions that must all hold for a webhook or policy to be asked.

use serde_json::Value as Json;

use super::variables;
use crate::cel::{Activation, Budget, Program, Value};

/// Compiled conditions.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<(String, Result<Program, String>)>);

impl Conditions {
    /// Compiles `matchConditions` of webhooks. One that does not compile fails when it is evaluated.
    pub fn compile(list: Option<&Json>) -> Self {
        Self::compile_in(list, &variables::environment(false, false))
    }

    /// As [`Conditions::compile`], with the variables of a policy.
    pub fn compile_in(list: Option<&Json>, environment: &crate::cel::Environment) -> Self {
        let list = list.and_then(Json::as_array).into_iter().flatten();
        let text = |c: &Json, field: &str| c.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        let compile = |c: &Json| {
            let program = Program::compile(text(c, "expression").trim(), environment);
            (text(c, "name"), program.map_err(|error| format!("compilation failed: {error}")))
        };
        Self(list.map(compile).collect())
    }

    /// Whether there are none, so that nothing needs to be prepared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all conditions hold. One that is false decides, whatever errors others have.
    ///
    /// # Errors
    /// The errors of the conditions, when none is false.
    pub fn hold(&self, activation: &Activation, budget: &mut Budget) -> Result<bool, String> {
        let mut errors = Vec::new();
        for (name, program) in &self.0 {
            let outcome = match program {
                Ok(program) => program.evaluate(activation, budget).map_err(|error| error.to_string()),
                Err(why) => Err(why.clone()),
            };
            match outcome {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(_) => errors.push(format!("match condition {name:?} is not a bool")),
                Err(why) => errors.push(why),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}
