//! Comprehensions.

use super::{Checked, Checker, times};
use crate::cel::node::{Fold, Node};
use crate::cel::types::Type;
use cel::common::ast::ComprehensionExpr;
use std::sync::Arc;

impl Checker<'_> {
    pub(super) fn fold(&mut self, fold: &ComprehensionExpr) -> Checked {
        let range = self.expr(&fold.iter_range);
        let Some((first, second)) = bound(&range.kind, fold.iter_var2.is_some()) else {
            let text = format!(
                "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                range.kind
            );
            return self.fail(fold.iter_range.id, text);
        };
        let init = self.expr(&fold.accu_init);
        let depth = self.scope.len();
        let accu: Arc<str> = Arc::from(fold.accu_var.as_str());
        self.scope.push((accu.clone(), init.kind.clone()));
        let names = (Arc::from(fold.iter_var.as_str()), fold.iter_var2.as_deref().map(Arc::from));
        self.scope.push((Arc::clone(&names.0), first));
        if let (Some(name), Some(kind)) = (&names.1, second) {
            self.scope.push((Arc::clone(name), kind));
        }
        let (condition, step) = (self.expr(&fold.loop_cond), self.expr(&fold.loop_step));
        // The result sees what the steps made of the accumulator, as large as the range lets it grow.
        self.scope.truncate(depth);
        let size = range.kind.max();
        let grown = grown(&init.kind, &step.kind, size);
        self.scope.push((accu.clone(), grown));
        let result = self.expr(&fold.result);
        self.scope.truncate(depth);
        let each = condition.cost.saturating_add(step.cost);
        let cost = range.cost.saturating_add(init.cost).saturating_add(times(size, each)).saturating_add(result.cost);
        let node = Fold {
            range: range.node,
            first: names.0,
            second: names.1,
            accu,
            init: init.node,
            condition: condition.node,
            step: step.node,
            result: result.node,
        };
        Checked::new(Node::Fold(Box::new(node)), result.kind, cost)
    }
}

/// The types of the variables of a comprehension.
fn bound(range: &Type, two: bool) -> Option<(Type, Option<Type>)> {
    if !two {
        return Some((range.iterated()?, None));
    }
    Some(match range {
        Type::List(item, _) => (Type::Int, Some(Type::clone(item))),
        Type::Map(key, value, _) => (Type::clone(key), Some(Type::clone(value))),
        Type::Dyn => (Type::Dyn, Some(Type::Dyn)),
        _ => return None,
    })
}

fn grown(init: &Type, step: &Type, size: u64) -> Type {
    match (init, step) {
        (Type::List(..), Type::List(item, _)) => Type::List(item.clone(), size),
        (Type::Map(..), Type::Map(key, value, _)) => Type::Map(key.clone(), value.clone(), size),
        // Nothing is iterated: the name is bound to what it starts with.
        _ if size == 0 => init.clone(),
        (a, b) => a.join(b),
    }
}
