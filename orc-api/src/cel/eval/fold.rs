//! Running comprehensions.

use super::Machine;
use crate::cel::error::EvalError;
use crate::cel::node::Fold;
use crate::cel::value::{Outcome, Value};
use std::sync::Arc;

impl Machine<'_> {
    pub(super) fn fold(&mut self, fold: &Fold) -> Outcome {
        let range = self.eval(&fold.range)?;
        let init = self.eval(&fold.init);
        if let Err(error) = &init
            && error.is_final()
        {
            return init;
        }
        let depth = self.scope.len();
        self.scope.push((Arc::clone(&fold.accu), init));
        let outcome = self.steps(&range, fold, depth).and_then(|()| {
            self.scope.truncate(depth + 1);
            self.eval(&fold.result)
        });
        self.scope.truncate(depth);
        outcome
    }

    fn steps(&mut self, range: &Value, fold: &Fold, depth: usize) -> Result<(), EvalError> {
        match range {
            Value::List(list) => {
                for (i, item) in list.items.iter().enumerate() {
                    let index = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    let bound = if fold.second.is_some() { (index, Some(item)) } else { (item.clone(), None) };
                    if !self.step(fold, depth, bound)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    if !self.step(fold, depth, (key.value(), fold.second.as_ref().map(|_| value)))? {
                        break;
                    }
                }
            }
            _ => return Err(EvalError::NoSuchOverload),
        }
        Ok(())
    }

    /// One step; says whether to go on.
    fn step(&mut self, fold: &Fold, depth: usize, bound: (Value, Option<&Value>)) -> Result<bool, EvalError> {
        self.scope.truncate(depth + 1);
        self.scope.push((Arc::clone(&fold.first), Ok(bound.0)));
        if let (Some(name), Some(value)) = (&fold.second, bound.1) {
            self.scope.push((Arc::clone(name), Ok(value.clone())));
        }
        if self.eval(&fold.condition)?.as_bool() == Some(false) {
            return Ok(false);
        }
        let next = self.eval(&fold.step);
        if let Err(error) = &next
            && error.is_final()
        {
            return Err(error.clone());
        }
        self.scope[depth].1 = next;
        Ok(true)
    }
}
