//! The values of variables for one evaluation.

use super::budget::Budget;
use super::convert;
use super::error::EvalError;
use super::program::Program;
use super::value::{Outcome, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The variables of one evaluation. A variable may hold an error, which only an expression that reads it meets.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    variables: BTreeMap<Arc<str>, Slot>,
}

#[derive(Clone, Debug)]
enum Slot {
    Known(Outcome),
    Later(Arc<Later>),
}

/// A variable that is evaluated when it is first read, and once; who reads it pays.
#[derive(Debug)]
struct Later {
    program: Arc<Program>,
    outcome: OnceLock<Outcome>,
}

impl Activation {
    /// Without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable; dotted names as in [`super::Environment`].
    pub fn set(&mut self, name: &str, outcome: Outcome) {
        self.variables.insert(Arc::from(name), Slot::Known(outcome));
    }

    /// Sets a variable to what an expression gives when it is first read, over the variables of that time. It must not read
    /// itself, nor through others; [`super::Environment`] sees to that, as each is compiled with those before it only.
    pub fn set_later(&mut self, name: &str, program: Arc<Program>) {
        let later = Later { program, outcome: OnceLock::new() };
        self.variables.insert(Arc::from(name), Slot::Later(Arc::new(later)));
    }

    /// With a value.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.set(name, Ok(value));
        self
    }

    /// With an object of no declared type.
    pub fn with_json(self, name: &str, value: &serde_json::Value) -> Self {
        self.with(name, convert::from_json(value))
    }

    pub(super) fn get(&self, name: &str, budget: &mut Budget) -> Option<Outcome> {
        match self.variables.get(name)? {
            Slot::Known(outcome) => Some(outcome.clone()),
            Slot::Later(later) => {
                let evaluate = || {
                    let outcome = later.program.evaluate(self, budget);
                    outcome.map_err(|error| if error.is_final() { error } else { EvalError::failed(error.to_string()) })
                };
                Some(later.outcome.get_or_init(evaluate).clone())
            }
        }
    }
}
