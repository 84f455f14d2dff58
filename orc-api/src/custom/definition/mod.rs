//! A CustomResourceDefinition as the server uses it.
//!
//! The rules of the object itself (names, scope, versions, sub-resources, conversion, updates) are in `kinds/definition`;
//! here are its schemas with their rules, the parsed versions, and who may have which names.

mod names;

pub use names::{Taken, accept};

use super::columns::Columns;
use super::rules::{self, Validator};
use super::scale::{ScalePaths, selectable};
use super::structural::{Schema, check};
use crate::kinds::tree::{at, flag, get, has, list, text};
use orc_core::error::ApiError;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;
use std::sync::Arc;

/// One version of a definition, ready to serve.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name, such as `v1beta1`.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The warning to send with each answer, when the version is deprecated.
    pub warning: Option<String>,
    /// The schema.
    pub schema: Arc<Schema>,
    /// The CEL rules, if there are any.
    pub rules: Option<Arc<Validator>>,
    /// Table columns.
    pub columns: Columns,
    /// Whether there is a status sub-resource.
    pub status: bool,
    /// The scale sub-resource.
    pub scale: Option<ScalePaths>,
    /// Selectable fields, as selectors name them.
    pub selectable: Vec<String>,
}

/// Checks the schemas of all versions, with their rules. A schema that all versions share is reported at
/// `spec.validation`, as Kubernetes holds it inside.
pub fn check_schemas(definition: &Value) -> FieldErrors {
    let spec = FieldPath::new("spec");
    let all = list(get(definition, "spec"), "versions");
    let Some(first) = all.first() else { return FieldErrors::new() };
    if all.iter().all(|version| get(version, "schema") == get(first, "schema")) {
        return check_schema(at(first, "schema.openAPIV3Schema"), &spec.child("validation"));
    }
    let versions = spec.child("versions");
    let each = all
        .iter()
        .enumerate()
        .map(|(i, version)| check_schema(at(version, "schema.openAPIV3Schema"), &versions.index(i).child("schema")));
    each.flatten().collect()
}

/// Checks one schema that stands in `openAPIV3Schema` below a path.
pub(crate) fn check_schema(schema: &Value, above: &FieldPath<'_>) -> FieldErrors {
    let path = above.child("openAPIV3Schema");
    if schema.is_null() {
        // That there is none is the object's own rule.
        return FieldErrors::new();
    }
    let errors = check::check(schema, &path);
    match Schema::parse(schema) {
        Ok(tree) if errors.is_empty() => rules::check(&tree, &path),
        _ => errors,
    }
}

/// The versions of a definition, in its order.
///
/// # Errors
/// `InternalError` when a stored definition does not read: it was checked when it was written.
pub fn versions(definition: &Value) -> Result<Vec<Version>, ApiError> {
    let group = text(get(definition, "spec"), "group");
    let kind = text(at(definition, "spec.names"), "kind");
    let all = list(get(definition, "spec"), "versions");
    all.iter().map(|version| read(version, group, kind, all)).collect()
}

fn read(version: &Value, group: &str, kind: &str, all: &[Value]) -> Result<Version, ApiError> {
    let name = text(version, "name");
    let broken =
        |what: &str, why: String| ApiError::internal(format!("{what} of version {name} of {kind}.{group}: {why}"));
    let schema =
        Schema::parse(at(version, "schema.openAPIV3Schema")).map_err(|e| broken("the schema", e.to_string()))?;
    Ok(Version {
        name: name.to_owned(),
        served: flag(version, "served"),
        storage: flag(version, "storage"),
        warning: flag(version, "deprecated").then(|| warning(version, group, kind, all)),
        rules: Validator::compile(&schema, true).map(Arc::new),
        columns: Columns::parse(version).map_err(|e| broken("a column", e.to_string()))?,
        status: has(get(version, "subresources"), "status"),
        scale: ScalePaths::parse(version),
        selectable: selectable(version),
        schema: Arc::new(schema),
    })
}

/// What is said about a deprecated version: its own text, or which version to use instead.
fn warning(version: &Value, group: &str, kind: &str, all: &[Value]) -> String {
    let own = text(version, "deprecationWarning");
    if !own.is_empty() {
        return own.to_owned();
    }
    let name = text(version, "name");
    let rank = |name: &str| kube_core::Version::parse(name).priority();
    let better = all
        .iter()
        .filter(|other| flag(other, "served") && !flag(other, "deprecated"))
        .map(|other| text(other, "name"))
        .filter(|other| rank(other) > rank(name))
        .max_by_key(|other| rank(other));
    let use_instead = better.map(|other| format!("; use {group}/{other} {kind}")).unwrap_or_default();
    format!("{group}/{name} {kind} is deprecated{use_instead}")
}
