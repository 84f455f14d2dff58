//! The functions of expressions: CEL's own, and Kubernetes' libraries (`k8s.io/apiserver/pkg/cel/library`).
//!
//! A receiver is the first argument. Each file looks at the name and the values; what none knows is no overload.

pub(super) mod authorizer;
mod conversions;
mod format;
mod formats;
mod lists;
mod network;
mod optional;
mod patterns;
mod quantity;
mod semver;
mod texts;
mod time;
mod url;

use super::budget::Budget;
use super::error::EvalError;
use super::types::Opaque;
use super::value::{OpaqueValue, Outcome, Value};
use std::sync::Arc;

/// Calls a function; its arguments are evaluated.
pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Outcome {
    budget.take(1)?;
    let families = [
        conversions::call,
        optional::call,
        texts::call,
        patterns::call,
        lists::call,
        time::call,
        quantity::call,
        url::call,
        network::call,
        semver::call,
        formats::call,
        format::call,
        authorizer::call,
    ];
    families.iter().find_map(|family| family(name, args, budget)).unwrap_or(Err(EvalError::NoSuchOverload))
}

/// What a family says to a call: nothing when it does not know it.
type Said = Option<Outcome>;

fn opaque(value: impl OpaqueValue + 'static) -> Value {
    Value::Opaque(Arc::new(value))
}

/// The library value inside, if it is of that type.
fn inside<T: 'static>(value: &Value) -> Option<&T> {
    match value {
        Value::Opaque(value) => value.as_any().downcast_ref(),
        _ => None,
    }
}

/// Makes a plain comparable type a library value.
macro_rules! opaque_value {
    ($name:ident, $kind:ident) => {
        impl OpaqueValue for $name {
            fn kind(&self) -> Opaque {
                Opaque::$kind
            }
            fn same(&self, other: &dyn OpaqueValue) -> bool {
                other.as_any().downcast_ref::<Self>() == Some(self)
            }
            fn as_any(&self) -> &dyn std::any::Any {
                self
            }
        }
    };
}
use opaque_value;

fn int(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}
