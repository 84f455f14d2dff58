//! Kubernetes' authorizer library: `authorizer.group('').resource('pods').namespace('x').check('get').allowed()`.

use super::{Budget, EvalError, Opaque, OpaqueValue, Outcome, Said, Value, inside, opaque};
use std::sync::Arc;

/// What a check costs: it looks at roles and bindings (`AuthorizerCheck` of upstream's cost estimator is 350000).
const CHECK: u64 = 350_000;

/// What is asked of an [`Authority`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The service account that is asked about, as namespace and name; none for who makes the request.
    pub account: Option<(String, String)>,
    /// A URL path, for what is no resource.
    pub path: Option<String>,
    /// The API group.
    pub group: String,
    /// The plural resource name.
    pub resource: String,
    /// The sub-resource, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The verb.
    pub verb: String,
}

/// Says who may do what.
pub trait Authority: std::fmt::Debug + Send + Sync {
    /// Whether it is permitted, and why.
    fn decide(&self, question: &Question) -> (bool, String);
}

#[derive(Clone, Debug)]
struct Check {
    authority: Arc<dyn Authority>,
    question: Question,
}

#[derive(Clone, Debug, PartialEq)]
struct Decision(bool, String);

impl OpaqueValue for Check {
    fn kind(&self) -> Opaque {
        Opaque::Authorizer
    }
    fn same(&self, other: &dyn OpaqueValue) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| other.question == self.question)
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl OpaqueValue for Decision {
    fn kind(&self) -> Opaque {
        Opaque::Authorizer
    }
    fn same(&self, other: &dyn OpaqueValue) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The value of the variable `authorizer`, or of `authorizer.requestResource` when the question names the resource.
pub fn authorizer(authority: Arc<dyn Authority>, question: Question) -> Value {
    opaque(Check { authority, question })
}

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    let [first, rest @ ..] = args else { return None };
    if let Some(Decision(allowed, reason)) = inside::<Decision>(first) {
        return Some(match (name, rest) {
            ("allowed", []) => Ok(Value::Bool(*allowed)),
            ("reason", []) => Ok(Value::string(reason)),
            ("errored", []) => Ok(Value::Bool(false)),
            ("error", []) => Ok(Value::string("")),
            _ => Err(EvalError::NoSuchOverload),
        });
    }
    inside::<Check>(first).map(|check| step(name, check, rest, budget))
}

fn step(name: &str, check: &Check, rest: &[Value], budget: &mut Budget) -> Outcome {
    let mut next = check.clone();
    let to = &mut next.question;
    match (name, rest) {
        ("path", [Value::String(text)]) => to.path = Some(text.to_string()),
        ("group", [Value::String(text)]) => to.group = text.to_string(),
        ("resource", [Value::String(text)]) => to.resource = text.to_string(),
        ("subresource", [Value::String(text)]) => to.subresource = text.to_string(),
        ("namespace", [Value::String(text)]) => to.namespace = text.to_string(),
        ("name", [Value::String(text)]) => to.name = text.to_string(),
        ("serviceAccount", [Value::String(namespace), Value::String(name)]) => {
            to.account = Some((namespace.to_string(), name.to_string()));
        }
        // Roles do not look at selectors: one that holds for all objects holds for the selected ones.
        ("fieldSelector" | "labelSelector", [Value::String(_)]) => {}
        ("check", [Value::String(verb)]) => {
            budget.take(CHECK)?;
            to.verb = verb.to_string();
            let (allowed, reason) = next.authority.decide(&next.question);
            return Ok(opaque(Decision(allowed, reason)));
        }
        _ => return Err(EvalError::NoSuchOverload),
    }
    Ok(opaque(next))
}
