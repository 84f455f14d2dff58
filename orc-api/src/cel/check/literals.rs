//! Literals: scalars, lists, maps and objects.

use super::{Checked, Checker, cost};
use crate::cel::node::Node;
use crate::cel::types::Type;
use crate::cel::value::Value;
use cel::common::ast::{EntryExpr, IdedExpr, LiteralValue};
use std::sync::Arc;

impl Checker<'_> {
    pub(super) fn list(&mut self, items: &[IdedExpr], optional: &[usize]) -> Checked {
        let (mut cost, mut kind, mut nodes) = (cost::LIST, None::<Type>, Vec::with_capacity(items.len()));
        for (i, item) in items.iter().enumerate() {
            let item = self.expr(item);
            cost = cost.saturating_add(item.cost);
            let inner = match (&item.kind, optional.contains(&i)) {
                (Type::Optional(inner), true) => Type::clone(inner),
                (other, _) => other.clone(),
            };
            kind = Some(kind.map_or(inner.clone(), |kind| kind.join(&inner)));
            nodes.push((item.node, optional.contains(&i)));
        }
        // An empty list is one of whatever is wanted.
        let kind = Type::List(Arc::new(kind.unwrap_or(Type::Dyn)), items.len() as u64);
        Checked::new(Node::List(nodes), kind, cost)
    }

    pub(super) fn map(&mut self, entries: &[&EntryExpr]) -> Checked {
        let (mut cost, mut kinds, mut nodes) = (cost::MAP, None::<(Type, Type)>, Vec::new());
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else { continue };
            let (key, value) = (self.expr(&entry.key), self.expr(&entry.value));
            cost = cost.saturating_add(key.cost).saturating_add(value.cost);
            kinds = Some(match kinds {
                None => (key.kind, value.kind),
                Some((k, v)) => (k.join(&key.kind), v.join(&value.kind)),
            });
            nodes.push((key.node, value.node, entry.optional));
        }
        let (key, value) = kinds.unwrap_or((Type::Dyn, Type::Dyn));
        Checked::new(Node::Map(nodes), Type::Map(Arc::new(key), Arc::new(value), entries.len() as u64), cost)
    }

    pub(super) fn object(&mut self, id: u64, name: &str, entries: &[&EntryExpr]) -> Checked {
        if !self.environment.has_literal(name) {
            return self.fail(id, format!("undeclared reference to '{name}' (in container '')"));
        }
        let (mut cost, mut nodes) = (cost::OBJECT, Vec::new());
        for entry in entries {
            let EntryExpr::StructField(entry) = entry else { continue };
            let value = self.expr(&entry.value);
            cost = cost.saturating_add(value.cost);
            nodes.push((Node::Literal(Value::string(&entry.field)), value.node, entry.optional));
        }
        Checked::new(Node::Map(nodes), Type::Dyn, cost)
    }
}

pub(super) fn scalar(value: &LiteralValue) -> Checked {
    let (value, kind) = match value {
        LiteralValue::Boolean(b) => (Value::Bool(*b.inner()), Type::Bool),
        LiteralValue::Int(n) => (Value::Int(*n.inner()), Type::Int),
        LiteralValue::UInt(n) => (Value::Uint(*n.inner()), Type::Uint),
        LiteralValue::Double(n) => (Value::Double(*n.inner()), Type::Double),
        LiteralValue::Null => (Value::Null, Type::Null),
        LiteralValue::String(text) => (Value::string(text.inner()), Type::String(text.inner().len() as u64)),
        LiteralValue::Bytes(bytes) => (Value::Bytes(Arc::from(bytes.inner())), Type::Bytes(bytes.inner().len() as u64)),
    };
    Checked::new(Node::Literal(value), kind, 0)
}
