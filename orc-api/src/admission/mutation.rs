//! The mutations of a MutatingAdmissionPolicy.

use orc_core::apply::{Place, overlay};
use orc_core::patch::apply_json;
use serde_json::Value as Json;

use crate::cel::{Activation, Budget, Environment, Program, convert};

/// How an expression says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An object of the fields to set.
    Apply,
    /// A list of JSON patch operations.
    Patch,
}

/// One compiled mutation.
#[derive(Debug)]
pub struct Mutation {
    form: Form,
    program: Result<Program, String>,
}

impl Mutation {
    /// Compiles an item of `spec.mutations`.
    pub fn compile(mutation: &Json, environment: &Environment) -> Self {
        let json = mutation.get("patchType").and_then(Json::as_str) == Some("JSONPatch");
        let (form, field) = if json { (Form::Patch, "jsonPatch") } else { (Form::Apply, "applyConfiguration") };
        let source = mutation.get(field).and_then(|m| m.get("expression")).and_then(Json::as_str).unwrap_or_default();
        let program = Program::compile(source.trim(), environment);
        Self { form, program: program.map_err(|error| format!("compilation error: compilation failed: {error}")) }
    }

    /// Changes an object, of the type that `place` tells. A configuration is merged as server-side apply merges it, without
    /// owners: see [`overlay`].
    ///
    /// # Errors
    /// When the expression fails, or what it says does not apply.
    pub fn apply(
        &self,
        object: &mut Json,
        place: Place<'_>,
        activation: &Activation,
        budget: &mut Budget,
    ) -> Result<(), String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        let value = program.evaluate(activation, budget).map_err(|error| error.to_string())?;
        let change = convert::to_json(&value).ok_or("the expression gives what JSON cannot say")?;
        match self.form {
            Form::Patch => apply_json(object, &change).map_err(|error| error.to_string()),
            Form::Apply if !change.is_object() => {
                Err("the expression of an ApplyConfiguration must give an Object".to_owned())
            }
            Form::Apply if touches_identity(&change) => {
                Err("ApplyConfiguration may not set apiVersion, kind, or the identity in metadata".to_owned())
            }
            Form::Apply => {
                *object = overlay(object, &change, place).map_err(|why| format!("error applying patch: {why}"))?;
                Ok(())
            }
        }
    }
}

/// Mutations change what an object says, not which object it is.
fn touches_identity(change: &Json) -> bool {
    let metadata = change.get("metadata");
    ["apiVersion", "kind"].iter().any(|field| change.get(field).is_some())
        || ["name", "namespace", "uid", "generateName"]
            .iter()
            .any(|field| metadata.and_then(|m| m.get(field)).is_some())
}
