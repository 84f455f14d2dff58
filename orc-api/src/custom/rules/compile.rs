//! A schema's rules, compiled.

use super::super::structural::{Rule, Schema};
use super::declare::declare;
use super::field_path;
use crate::cel::{CompileError, Environment, Program, Type};
use std::collections::BTreeMap;

/// The compiled rules of a schema and of what is below it.
#[derive(Clone, Debug)]
pub struct Validator {
    pub(super) rules: Vec<Compiled>,
    pub(super) items: Option<Box<Validator>>,
    pub(super) properties: BTreeMap<String, Validator>,
    pub(super) additional: Option<Box<Validator>>,
    pub(super) root: bool,
}

/// One compiled rule.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    pub(super) program: Result<Program, RuleError>,
    pub(super) message: Option<Program>,
    pub(super) uses_old: bool,
    /// The field that is blamed, relative to the rule.
    pub(super) blames: String,
}

/// Why a rule does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RuleError {
    /// The expression is wrong.
    #[error("compilation failed: {0}")]
    Expression(#[from] CompileError),
    /// The expression is no question.
    #[error("cel expression must evaluate to a bool")]
    NotBool,
    /// The message is wrong.
    #[error("messageExpression compilation failed: {0}")]
    Message(CompileError),
    /// The message is no text.
    #[error("messageExpression must evaluate to a string")]
    NotText,
}

impl Validator {
    /// Compiles the rules of a schema; `None` when there are none. `root` says whether it is that of a whole resource.
    ///
    /// Rules were checked when the definition was written. One that does not compile all the same is reported when an
    /// object is checked by it, rather than passed over.
    pub fn compile(schema: &Schema, root: bool) -> Option<Self> {
        if !schema.has_rules() {
            return None;
        }
        let kind = if schema.rules.is_empty() { None } else { declare(schema, root) };
        let rules = schema.rules.iter().filter(|rule| !rule.rule.trim().is_empty());
        let compiled = rules.map(|rule| Compiled::new(rule, schema, kind.clone())).collect();
        let below = |inner: &Schema| Self::compile(inner, inner.embedded);
        Some(Self {
            rules: compiled,
            items: schema.items.as_deref().and_then(below).map(Box::new),
            properties: schema.properties.iter().filter_map(|(k, v)| Some((k.clone(), below(v)?))).collect(),
            additional: schema.value_schema().and_then(below).map(Box::new),
            root,
        })
    }
}

/// The variables that a rule sees.
pub(super) fn environment(kind: Option<Type>, rule: &Rule) -> Environment {
    let kind = kind.unwrap_or(Type::Dyn);
    let old = if rule.optional_old_self { Type::optional(kind.clone()) } else { kind.clone() };
    Environment::new().with("self", kind).with("oldSelf", old)
}

/// Compiles the expression of a rule.
pub(super) fn expression(rule: &Rule, environment: &Environment) -> Result<Program, RuleError> {
    let program = Program::compile(rule.rule.trim(), environment)?;
    match program.kind() {
        Type::Bool | Type::Dyn => Ok(program),
        _ => Err(RuleError::NotBool),
    }
}

/// Compiles the message of a rule, if it has an expression for it.
pub(super) fn message(rule: &Rule, environment: &Environment) -> Result<Option<Program>, RuleError> {
    if rule.message_expression.trim().is_empty() {
        return Ok(None);
    }
    let program = Program::compile(rule.message_expression.trim(), environment).map_err(RuleError::Message)?;
    match program.kind() {
        Type::String(_) => Ok(Some(program)),
        _ => Err(RuleError::NotText),
    }
}

impl Compiled {
    fn new(rule: &Rule, schema: &Schema, kind: Option<Type>) -> Self {
        let environment = environment(kind, rule);
        let (program, message) = match message(rule, &environment) {
            Ok(message) => (expression(rule, &environment), message),
            Err(error) => (Err(error), None),
        };
        let uses_old = program.as_ref().is_ok_and(|program| program.uses("oldSelf"));
        let blames = field_path::resolve(&rule.field_path, schema).map(|(text, _)| text).unwrap_or_default();
        Self { rule: rule.clone(), program, message, uses_old, blames }
    }
}
