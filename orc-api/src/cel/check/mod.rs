//! Types, worst cost and the checked form, in one pass over the syntax tree.
//!
//! The rules are cel-go's checker's, with Kubernetes' declared types: an unknown field of an object is an error, `dyn` fits
//! everything. Costs follow cel-go's estimator: see [`cost`].

mod cost;
mod fold;
mod literals;
mod signature;

use super::environment::Environment;
use super::error::Issue;
use super::node::Node;
use super::parse::issue;
use super::pattern::Pattern;
use super::types::Type;
use super::value::Value;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use signature::Resolved;
use std::sync::Arc;

/// A checked expression with its type and its worst cost.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) kind: Type,
    pub(super) cost: u64,
}

impl Checked {
    fn new(node: Node, kind: Type, cost: u64) -> Self {
        Self { node, kind, cost }
    }
}

/// Checks an expression.
///
/// # Errors
/// Every finding, in the order of places.
pub(super) fn check(
    expr: &IdedExpr,
    info: &SourceInfo,
    source: &str,
    environment: &Environment,
) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker { environment, info, source, scope: Vec::new(), issues: Vec::new() };
    let checked = checker.expr(expr);
    if checker.issues.is_empty() {
        return Ok(checked);
    }
    checker.issues.sort_by_key(|issue| (issue.line, issue.column));
    Err(checker.issues)
}

struct Checker<'a> {
    environment: &'a Environment,
    info: &'a SourceInfo,
    source: &'a str,
    /// Variables of comprehensions, innermost last.
    scope: Vec<(Arc<str>, Type)>,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    /// Notes a finding; what stands for the expression fits everywhere, so that one fault is told once.
    fn fail(&mut self, id: u64, message: String) -> Checked {
        let offset = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.issues.push(issue(self.source, offset, message));
        Checked::new(Node::Literal(Value::Null), Type::Dyn, 0)
    }

    fn expr(&mut self, expr: &IdedExpr) -> Checked {
        match &expr.expr {
            Expr::Literal(value) => literals::scalar(value),
            Expr::Ident(name) => self.ident(expr.id, name),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr.id, call),
            Expr::List(list) => self.list(&list.elements, &list.optional_indices),
            Expr::Map(map) => self.map(&map.entries.iter().map(|e| &e.expr).collect::<Vec<_>>()),
            Expr::Struct(literal) => {
                let entries: Vec<&EntryExpr> = literal.entries.iter().map(|e| &e.expr).collect();
                self.object(expr.id, &literal.type_name, &entries)
            }
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Unspecified => self.fail(expr.id, "unsupported expression".to_owned()),
        }
    }

    fn local(&self, name: &str) -> Option<&Type> {
        self.scope.iter().rev().find(|(bound, _)| &**bound == name).map(|(_, kind)| kind)
    }

    fn ident(&mut self, id: u64, name: &str) -> Checked {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(kind) = self.local(name).or_else(|| self.environment.variable(name)) {
            return Checked::new(Node::Var(Arc::from(name)), kind.clone(), 1);
        }
        const TYPES: [&str; 9] = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "type"];
        if TYPES.contains(&name) || name == "null_type" {
            return Checked::new(Node::Literal(Value::Type(Arc::from(name))), Type::Type, 1);
        }
        self.fail(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    /// A dotted name that the environment declares as a whole, such as `variables.replicas`.
    fn qualified(&self, expr: &IdedExpr) -> Option<String> {
        match &expr.expr {
            Expr::Ident(name) if self.local(name).is_none() => Some(name.clone()),
            Expr::Select(select) if !select.test => {
                Some(format!("{}.{}", self.qualified(&select.operand)?, select.field))
            }
            _ => None,
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Checked {
        if !select.test
            && let Some(name) = self.qualified(expr)
        {
            if let Some(kind) = self.environment.variable(&name) {
                return Checked::new(Node::Var(Arc::from(name)), kind.clone(), 1);
            }
            if ["google.protobuf.Duration", "google.protobuf.Timestamp"].contains(&name.as_str()) {
                return Checked::new(Node::Literal(Value::Type(Arc::from(name))), Type::Type, 1);
            }
        }
        let operand = self.expr(&select.operand);
        let kind = self.field(expr.id, &operand.kind, &select.field);
        let (cost, field) = (operand.cost.saturating_add(1), Arc::from(select.field.as_str()));
        let node = Box::new(operand.node);
        match select.test {
            true => Checked::new(Node::Has { operand: node, field }, Type::Bool, cost),
            false => Checked::new(Node::Select { operand: node, field, optional: false }, kind, cost),
        }
    }

    /// The type of a field; selecting from an optional value gives an optional value.
    fn field(&mut self, id: u64, operand: &Type, field: &str) -> Type {
        match operand {
            Type::Dyn => Type::Dyn,
            Type::Map(key, value, _) if matches!(**key, Type::String(_) | Type::Dyn) => Type::clone(value),
            Type::Object(object) => match object.fields.get(field) {
                Some(kind) => kind.clone(),
                None => self.fail(id, format!("undefined field '{field}'")).kind,
            },
            Type::Optional(inner) => {
                let kind = self.field(id, &inner.clone(), field);
                if matches!(kind, Type::Optional(_)) { kind } else { Type::optional(kind) }
            }
            other => self.fail(id, format!("type '{other}' does not support field selection")).kind,
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Checked {
        if call.target.is_none() {
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::CONDITIONAL, [test, yes, no]) => return self.conditional(id, test, yes, no),
                (operators::LOGICAL_AND | operators::LOGICAL_OR, args) => return self.logic(id, &call.func_name, args),
                (operators::OPT_SELECT, [operand, field]) => return self.optional_select(id, operand, field),
                _ => {}
            }
        }
        let namespace = call.target.as_ref().and_then(|target| self.qualified(target));
        let global = namespace.map(|ns| format!("{ns}.{}", call.func_name)).filter(|name| signature::is_global(name));
        let (name, member) = match (&global, &call.target) {
            (Some(name), _) => (name.as_str(), false),
            (None, target) => (call.func_name.as_str(), target.is_some()),
        };
        let receiver = call.target.as_deref().filter(|_| member);
        let args: Vec<Checked> = receiver.into_iter().chain(&call.args).map(|arg| self.expr(arg)).collect();
        let kinds: Vec<Type> = args.iter().map(|arg| arg.kind.clone()).collect();
        match signature::resolve(name, member, &kinds) {
            Resolved::Fits(kind) => self.called(id, name, args, kind),
            Resolved::Unknown => self.fail(id, format!("undeclared reference to '{name}' (in container '')")),
            Resolved::Misfit => {
                let text = |kinds: &[Type]| kinds.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
                let applied = match (member, kinds.split_first()) {
                    (true, Some((receiver, rest))) => format!("{receiver}.({})", text(rest)),
                    _ => format!("({})", text(&kinds)),
                };
                self.fail(id, format!("found no matching overload for '{name}' applied to '{applied}'"))
            }
        }
    }

    /// A call that fits: constant arguments that can be checked now are.
    fn called(&mut self, id: u64, name: &str, mut args: Vec<Checked>, kind: Type) -> Checked {
        if let Err(problem) = compile_pattern(name, &mut args) {
            return self.fail(id, problem);
        }
        let (own, max) = cost::call(name, &args);
        let total = args.iter().fold(own, |sum, arg| sum.saturating_add(arg.cost));
        let kind = match (name, max) {
            // Parts of a text are no longer than the text.
            ("split" | "findAll", Some(max)) => Type::List(Arc::new(Type::String(max)), max),
            (_, Some(max)) => kind.with_max(max),
            (_, None) => kind,
        };
        let args = args.into_iter().map(|arg| arg.node).collect();
        Checked::new(Node::Call { function: Arc::from(name), args }, kind, total)
    }

    fn conditional(&mut self, id: u64, test: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Checked {
        let (test, yes, no) = (self.expr(test), self.expr(yes), self.expr(no));
        if !Type::Bool.accepts(&test.kind) || !(yes.kind.accepts(&no.kind) || no.kind.accepts(&yes.kind)) {
            let applied = format!("({}, {}, {})", test.kind, yes.kind, no.kind);
            return self.fail(id, format!("found no matching overload for '_?_:_' applied to '{applied}'"));
        }
        let cost = test.cost.saturating_add(yes.cost.max(no.cost));
        let kind = yes.kind.join(&no.kind);
        Checked::new(Node::Conditional(Box::new([test.node, yes.node, no.node])), kind, cost)
    }

    fn logic(&mut self, id: u64, operator: &str, args: &[IdedExpr]) -> Checked {
        let mut all: Option<Checked> = None;
        for arg in args {
            let next = self.expr(arg);
            if !Type::Bool.accepts(&next.kind) {
                let kind = next.kind;
                let text = format!("expected type 'bool' but found '{kind}'");
                return self.fail(if arg.id == 0 { id } else { arg.id }, text);
            }
            all = Some(match all {
                None => next,
                Some(left) => {
                    let cost = left.cost.saturating_add(next.cost);
                    let (a, b) = (Box::new(left.node), Box::new(next.node));
                    let node = if operator == operators::LOGICAL_AND { Node::And(a, b) } else { Node::Or(a, b) };
                    Checked::new(node, Type::Bool, cost)
                }
            });
        }
        all.unwrap_or_else(|| self.fail(id, "unsupported expression".to_owned()))
    }

    /// `a.?b`
    fn optional_select(&mut self, id: u64, operand: &IdedExpr, field: &IdedExpr) -> Checked {
        let Expr::Literal(LiteralValue::String(name)) = &field.expr else {
            return self.fail(id, "unsupported optional field selection".to_owned());
        };
        let operand = self.expr(operand);
        let kind = self.field(id, &operand.kind, name.inner());
        let kind = if matches!(kind, Type::Optional(_)) { kind } else { Type::optional(kind) };
        let cost = operand.cost.saturating_add(1);
        let node = Node::Select { operand: Box::new(operand.node), field: Arc::from(name.inner()), optional: true };
        Checked::new(node, kind, cost)
    }
}

/// Patterns that are constants are compiled now, once.
fn compile_pattern(name: &str, args: &mut [Checked]) -> Result<(), String> {
    if !["matches", "find", "findAll"].contains(&name) {
        return Ok(());
    }
    let Some(Node::Literal(Value::String(source))) = args.get(1).map(|arg| &arg.node) else { return Ok(()) };
    let pattern = Pattern::compile(source).map_err(|error| error.to_string())?;
    args[1].node = Node::Literal(Value::Opaque(Arc::new(pattern)));
    Ok(())
}

/// The product of two sizes, bounded by what a request can hold where it is one.
fn times(a: u64, b: u64) -> u64 {
    a.saturating_mul(b)
}
