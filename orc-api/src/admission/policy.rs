//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: compiled policies, their bindings, and one evaluation.

use std::sync::Arc;

use orc_core::apply::Place;
use serde_json::Value as Json;

use super::conditions::Conditions;
use super::matching::Matcher;
use super::mutation::Mutation;
use super::variables;
use crate::cel::{Activation, Budget, EvalError, Program, Type, Value};

/// The most that one policy may cost for one request (`RuntimeCELCostBudget` of upstream's policies).
pub const COST_BUDGET: u64 = 10_000_000;

/// An expression, or why it does not compile.
type Compiled = Result<Program, String>;

fn compile(source: &str, environment: &crate::cel::Environment) -> Compiled {
    Program::compile(source, environment).map_err(|error| format!("compilation error: compilation failed: {error}"))
}

fn text<'a>(value: &'a Json, field: &str) -> &'a str {
    value.get(field).and_then(Json::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Json, field: &str) -> impl Iterator<Item = &'a Json> {
    value.get(field).and_then(Json::as_array).into_iter().flatten()
}

/// One validation of a policy.
#[derive(Debug)]
struct Validation {
    source: String,
    program: Compiled,
    message: String,
    message_program: Option<Compiled>,
    reason: String,
}

/// A compiled policy; validating ones have no mutations, mutating ones no validations.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub matcher: Matcher,
    /// `matchConditions`.
    pub conditions: Conditions,
    /// `paramKind` as `apiVersion` and `kind`.
    pub params: Option<(String, String)>,
    /// What cannot be evaluated is no reason to refuse.
    pub ignore_failure: bool,
    /// It mutates again when others changed the object after it.
    pub reinvoke: bool,
    variables: Vec<(String, Result<Arc<Program>, String>)>,
    mutations: Vec<Mutation>,
    validations: Vec<Validation>,
    audits: Vec<(String, Compiled)>,
}

/// What a binding does with a failure.
#[derive(Debug)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// The policy that it binds.
    pub policy: String,
    /// What it narrows the policy to.
    pub matcher: Matcher,
    /// `paramRef`, as it stands.
    pub param_ref: Option<Json>,
    /// `Deny`, `Warn`, `Audit`.
    pub actions: Vec<String>,
}

/// A validation that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub message: String,
    /// The reason of the refusal: `Invalid`, `Forbidden`, ...
    pub reason: String,
}

impl Binding {
    /// Compiles a binding's object.
    ///
    /// # Errors
    /// When a selector does not read.
    pub fn compile(object: &Json) -> Result<Self, String> {
        let spec = &object["spec"];
        Ok(Self {
            name: text(&object["metadata"], "name").to_owned(),
            policy: text(spec, "policyName").to_owned(),
            matcher: Matcher::compile(&spec["matchResources"])?,
            param_ref: spec.get("paramRef").filter(|reference| !reference.is_null()).cloned(),
            actions: list(spec, "validationActions").filter_map(Json::as_str).map(str::to_owned).collect(),
        })
    }
}

impl Policy {
    /// Compiles a policy's object. Expressions that do not compile fail when they are evaluated.
    ///
    /// # Errors
    /// When a selector does not read.
    pub fn compile(object: &Json) -> Result<Self, String> {
        let spec = &object["spec"];
        let kind = spec.get("paramKind").filter(|kind| !kind.is_null());
        let mut environment = variables::environment(true, kind.is_some());
        let mut named = Vec::new();
        for variable in list(spec, "variables") {
            let name = text(variable, "name").to_owned();
            let program = compile(text(variable, "expression").trim(), &environment);
            let of = program.as_ref().map_or(Type::Dyn, |program| program.kind().clone());
            environment = environment.with(&format!("variables.{name}"), of);
            named.push((name, program.map(Arc::new)));
        }
        let literals = variables::with_literals(environment.clone());
        let validation = |v: &Json| Validation {
            source: text(v, "expression").trim().to_owned(),
            program: compile(text(v, "expression").trim(), &environment),
            message: text(v, "message").trim().to_owned(),
            message_program: v.get("messageExpression").and_then(Json::as_str).map(|e| compile(e.trim(), &environment)),
            reason: text(v, "reason").to_owned(),
        };
        Ok(Self {
            name: text(&object["metadata"], "name").to_owned(),
            matcher: Matcher::compile(&spec["matchConstraints"])?,
            conditions: Conditions::compile_in(spec.get("matchConditions"), &environment),
            params: kind.map(|kind| (text(kind, "apiVersion").to_owned(), text(kind, "kind").to_owned())),
            ignore_failure: text(spec, "failurePolicy") == "Ignore",
            variables: named,
            mutations: list(spec, "mutations").map(|m| Mutation::compile(m, &literals)).collect(),
            reinvoke: text(spec, "reinvocationPolicy") == "IfNeeded",
            validations: list(spec, "validations").map(validation).collect(),
            audits: list(spec, "auditAnnotations")
                .map(|a| (text(a, "key").to_owned(), compile(text(a, "valueExpression").trim(), &environment)))
                .collect(),
        })
    }

    /// The variables, each evaluated when it is first read; an error is met only by the expressions that read it.
    fn with_variables(&self, mut activation: Activation) -> Activation {
        for (name, program) in &self.variables {
            let name = format!("variables.{name}");
            match program {
                Ok(program) => activation.set_later(&name, program.clone()),
                Err(why) => activation.set(&name, Err(EvalError::failed(why.clone()))),
            }
        }
        activation
    }

    /// Applies the mutations one after the other; each sees what those before it made.
    ///
    /// # Errors
    /// The first that fails; the object is then as it was.
    pub fn mutate(&self, object: &mut Json, place: Place<'_>, activation: Activation) -> Result<(), String> {
        let mut budget = Budget::new(COST_BUDGET);
        let mut next = object.clone();
        for mutation in &self.mutations {
            let activation = self.with_variables(activation.clone().with_json("object", &next));
            mutation.apply(&mut next, place, &activation, &mut budget)?;
        }
        *object = next;
        Ok(())
    }

    /// Evaluates the validations and audit annotations for one request and one parameter.
    pub fn evaluate(&self, activation: Activation) -> (Vec<Failure>, Vec<(String, String)>) {
        let mut budget = Budget::new(COST_BUDGET);
        let activation = self.with_variables(activation);
        let failures = self.validations.iter().filter_map(|v| self.check(v, &activation, &mut budget)).collect();
        let mut notes = Vec::new();
        for (key, program) in &self.audits {
            match run(program, &activation, &mut budget) {
                Ok(Value::String(value)) if !value.is_empty() => {
                    notes.push((format!("{}/{key}", self.name), value.to_string()))
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(policy = self.name, key, %error, "an audit annotation cannot be evaluated")
                }
            }
        }
        (failures, notes)
    }

    fn check(&self, validation: &Validation, activation: &Activation, budget: &mut Budget) -> Option<Failure> {
        let reason = match validation.reason.as_str() {
            "" => "Invalid".to_owned(),
            reason => reason.to_owned(),
        };
        let message = match run(&validation.program, activation, budget) {
            Ok(Value::Bool(true)) => return None,
            Ok(Value::Bool(false)) => self.message(validation, activation, budget),
            Err(_) | Ok(_) if self.ignore_failure => return None,
            Ok(_) => "expression does not evaluate to a bool".to_owned(),
            Err(why) => {
                return Some(Failure {
                    message: format!("expression '{}' resulted in error: {why}", validation.source),
                    reason: "Invalid".to_owned(),
                });
            }
        };
        Some(Failure { message, reason })
    }

    /// The text of `messageExpression` if it gives a good one, else `message`, else the expression itself.
    fn message(&self, validation: &Validation, activation: &Activation, budget: &mut Budget) -> String {
        if let Some(program) = &validation.message_program
            && let Ok(Value::String(made)) = run(program, activation, budget)
            && !made.trim().is_empty()
            && !made.contains('\n')
            && made.len() <= 5 * 1024
        {
            return made.trim().to_owned();
        }
        match validation.message.as_str() {
            "" => format!("failed expression: {}", validation.source),
            message => message.to_owned(),
        }
    }
}

fn run(program: &Compiled, activation: &Activation, budget: &mut Budget) -> Result<Value, String> {
    match program {
        Ok(program) => program.evaluate(activation, budget).map_err(|error| error.to_string()),
        Err(why) => Err(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The variable costs far more than there is; who does not read it does not pay.
    #[test]
    fn a_variable_is_evaluated_when_it_is_read() {
        let cube = "object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))";
        let policy = json!({"metadata": {"name": "p"}, "spec": {
            "variables": [{"name": "cube", "expression": cube}, {"name": "size", "expression": "object.l.size()"}],
            "validations": [{"expression": "variables.size == 400 || variables.cube"}, {"expression": "variables.size > 400"}]}});
        let policy = Policy::compile(&policy).unwrap();
        let object = json!({"l": (0..400).collect::<Vec<_>>()});
        let (failures, _) = policy.evaluate(Activation::new().with_json("object", &object));
        let told: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
        assert_eq!(told, ["failed expression: variables.size > 400"]);
    }
}
