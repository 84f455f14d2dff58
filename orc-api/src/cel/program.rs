//! A compiled expression.

use super::activation::Activation;
use super::budget::Budget;
use super::check::{self, Checked};
use super::environment::Environment;
use super::error::{CompileError, EvalError};
use super::eval;
use super::node::Node;
use super::parse::{parse, with_stack};
use super::types::Type;
use super::value::Value;
use std::sync::Arc;

/// A source of so many bytes nests too little to use up a thread's stack (2 MiB).
const LONG: usize = 256;

/// A compiled expression. Cloning is cheap; evaluating needs no lock.
#[derive(Clone, Debug)]
pub struct Program {
    node: Arc<Node>,
    kind: Type,
    cost: u64,
    uses: Arc<[String]>,
    /// Long sources may nest deep enough to need a stack of their own.
    long: bool,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it does not parse, names what is not declared, or its types do not fit. `Display` is cel-go's text; Kubernetes
    /// puts "compilation failed: " before it.
    pub fn compile(source: &str, environment: &Environment) -> Result<Self, CompileError> {
        with_stack(|| {
            let (expr, info) = parse(source)?;
            let Checked { node, kind, cost } =
                check::check(&expr, &info, source, environment).map_err(|issues| CompileError { issues })?;
            let uses = expr.references().variables().into_iter().map(str::to_owned).collect();
            Ok(Self { node: Arc::new(node), kind, cost, uses, long: source.len() > LONG })
        })
    }

    /// Evaluates the expression and takes its cost from the budget.
    ///
    /// # Errors
    /// What CEL calls a runtime error, or [`EvalError::CostLimit`].
    pub fn evaluate(&self, activation: &Activation, budget: &mut Budget) -> Result<Value, EvalError> {
        if self.long {
            return with_stack(|| eval::evaluate(&self.node, activation, budget));
        }
        eval::evaluate(&self.node, activation, budget)
    }

    /// The type of the result.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// The most that one evaluation can cost, as far as the types tell.
    pub fn estimated_cost(&self) -> u64 {
        self.cost
    }

    /// Whether the expression names a variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.uses.iter().any(|name| name == variable)
    }
}
