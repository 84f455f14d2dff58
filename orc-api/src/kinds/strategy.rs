//! What the registry asks of a kind.

use orc_core::validation::FieldErrors;
use serde_json::Value;

/// The rules of one resource: pure functions on the object's tree, in the served version.
///
/// The registry calls, on create: [`Strategy::prepare_create`], mutating admission, [`Strategy::default`],
/// [`Strategy::validate_create`]; on update [`Strategy::prepare_update`] and [`Strategy::validate_update`]. Defaulting
/// also runs on what a client sends before anything else sees it. Implementations must not keep state; what needs
/// state (cluster addresses, node ports, tokens) is allocated elsewhere.
pub trait Strategy: Send + Sync + 'static {
    /// Fills in what the client may leave out. Must be idempotent.
    fn default(&self, object: &mut Value);

    /// Clears what a create may not set (status) and sets what every new object has. Name and uid must be set by now:
    /// a job's selector is made of them.
    fn prepare_create(&self, object: &mut Value);

    /// Takes back from `old` what this update may not touch. `sub` is the sub-resource written to; none is the
    /// object itself. Bumps `metadata.generation` where the kind keeps it and the spec changed.
    fn prepare_update(&self, new: &mut Value, old: &Value, sub: Option<&str>);

    /// Broken rules of a new object, metadata included.
    fn validate_create(&self, object: &Value) -> FieldErrors;

    /// Broken rules of a change, metadata included.
    fn validate_update(&self, new: &Value, old: &Value, sub: Option<&str>) -> FieldErrors;

    /// Texts for `Warning` headers; `old` is none on create.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let _ = (new, old);
        Vec::new()
    }

    /// Errors and warnings of a change in one pass, for kinds where both come of the same work.
    fn judge_update(&self, new: &Value, old: &Value, sub: Option<&str>) -> (FieldErrors, Vec<String>) {
        let errors = self.validate_update(new, old, sub);
        let warnings = if errors.is_empty() { self.warnings(new, Some(old)) } else { Vec::new() };
        (errors, warnings)
    }

    /// Whether a PUT to a name that does not exist creates it.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update may leave out `metadata.resourceVersion`.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Whether a new object of this kind starts with `metadata.generation` 1. The rules themselves set and bump it.
    fn generation(&self) -> bool;

    /// Whether the kind has a status that its main resource does not write.
    fn status(&self) -> bool;

    /// The grace period of a delete: none when the kind is deleted at once, else the seconds to wait, given what the
    /// request asked for.
    fn graceful_delete(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        let _ = (object, requested);
        None
    }

    /// Selectable fields whose value is not simply at the JSON path of the same name.
    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let _ = object;
        Vec::new()
    }
}
