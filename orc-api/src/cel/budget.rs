//! How much work an expression may do.
//!
//! Costs are counted as cel-go counts them: one for each look-up, call and item; a tenth for each byte of a text that is
//! walked. So a budget bounds time whatever the input holds.

use super::error::EvalError;
use super::value::Value;

/// The most that one evaluation may cost (Kubernetes' `PerCallLimit`; about a tenth of a second there).
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all rules of one object may cost (`RuntimeCELCostBudget`).
pub const OBJECT_BUDGET: u64 = 10_000_000;
/// The most that a rule may be estimated at (`StaticEstimatedCostLimit`).
pub const RULE_ESTIMATE_LIMIT: u64 = 10_000_000;
/// The most that the rules of a definition may be estimated at together (`StaticEstimatedCRDCostLimit`).
pub const SCHEMA_ESTIMATE_LIMIT: u64 = 100_000_000;

/// What is left for one evaluation.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    used: u64,
}

impl Budget {
    /// A budget of that many units.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }

    /// Takes units.
    ///
    /// # Errors
    /// [`EvalError::CostLimit`] when they are more than what is left.
    pub fn take(&mut self, units: u64) -> Result<(), EvalError> {
        self.used = self.used.saturating_add(units);
        if self.used > self.limit { Err(EvalError::CostLimit) } else { Ok(()) }
    }

    /// Takes for walking a text of that many bytes `times` times.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn walk(&mut self, bytes: u64, times: u64) -> Result<(), EvalError> {
        self.take(tenth(bytes.saturating_mul(times)))
    }

    /// Looks for a value in a list and takes for each item that is compared.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn search(&mut self, items: &[Value], wanted: &Value) -> Result<Option<usize>, EvalError> {
        for (i, item) in items.iter().enumerate() {
            self.take(tenth(item.comparing(wanted)).max(1))?;
            if item == wanted {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    /// Units used so far.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Units left.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(PER_CALL_LIMIT)
    }
}

/// The cost of walking a text: a tenth of its bytes, rounded up.
pub fn tenth(bytes: u64) -> u64 {
    bytes.div_ceil(10)
}
