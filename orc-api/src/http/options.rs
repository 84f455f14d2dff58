//! Options of a request, from its query, checked as `k8s.io/apimachinery/pkg/apis/meta/v1/validation` checks them.

use orc_core::ApiError;
use orc_core::validation::{FieldError, FieldPath};
use orc_store::client::{FieldValidation, Preconditions, WriteOptions};

use super::query::Query;

const META: &str = "meta.k8s.io";
/// The longest name of a field manager.
const MANAGER_MAX: usize = 128;

/// 422 for the options of a kind, or nothing when there are no errors.
pub(super) fn check(kind: &str, errors: &[FieldError]) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(META, kind, "", errors)) }
}

/// Options of a write. `kind` is `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions`.
///
/// # Errors
/// 422 with every option that does not hold.
pub(super) fn write(kind: &str, query: &Query, strict: Vec<String>, apply: bool) -> Result<WriteOptions, ApiError> {
    let mut errors = Vec::new();
    let manager = query.get("fieldManager");
    let forced = query.get("force").is_some();
    if kind == "PatchOptions" && !apply && forced {
        errors.push(FieldError::forbidden(&FieldPath::new("force"), "may not be specified for non-apply patch"));
    }
    if apply && manager.is_none() {
        errors.push(FieldError::required(&FieldPath::new("fieldManager"), "is required for apply patch"));
    }
    if kind != "DeleteOptions" {
        check_manager(manager.unwrap_or_default(), &mut errors);
    }
    let dry_run = dry_run(query.all("dryRun"), &mut errors);
    let field_validation = match query.get("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            errors.push(FieldError::not_supported(
                &FieldPath::new("fieldValidation"),
                other,
                &["", "Ignore", "Strict", "Warn"],
            ));
            FieldValidation::Warn
        }
    };
    check(kind, &errors)?;
    Ok(WriteOptions {
        dry_run,
        field_manager: manager.map(str::to_owned),
        field_validation,
        force: query.flag("force"),
        strict,
        decoded: None,
        preconditions: Preconditions::default(),
        version: None,
    })
}

/// `dryRun` may only say `All`.
pub(super) fn dry_run(given: Vec<&str>, errors: &mut Vec<FieldError>) -> bool {
    let given: Vec<&str> = given.into_iter().filter(|text| !text.is_empty()).collect();
    if given.iter().any(|text| *text != "All") {
        let shown: serde_json::Value = given.iter().map(|text| serde_json::Value::from(*text)).collect();
        errors.push(FieldError::not_supported(&FieldPath::new("dryRun"), shown, &["All"]));
    }
    given.contains(&"All")
}

fn check_manager(manager: &str, errors: &mut Vec<FieldError>) {
    let path = FieldPath::new("fieldManager");
    if manager.len() > MANAGER_MAX {
        errors.push(FieldError::too_long(&path, MANAGER_MAX));
    }
    let hidden = manager.chars().enumerate().find(|(_, c)| c.is_control());
    if let Some((at, c)) = hidden {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid(&path, manager, why));
    }
}

/// The rules of `resourceVersionMatch` and `sendInitialEvents` for lists and watches.
///
/// # Errors
/// 422 with every rule that is broken.
pub(super) fn list(query: &Query, watch: bool) -> Result<(), ApiError> {
    let matching = query.get("resourceVersionMatch").unwrap_or_default();
    let initial = query.get("sendInitialEvents").is_some();
    let path = FieldPath::new("resourceVersionMatch");
    let mut errors = Vec::new();
    if watch {
        if initial && matching != "NotOlderThan" {
            errors.push(FieldError::forbidden(
                &path,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
            if !matching.is_empty() {
                errors.push(FieldError::not_supported(&path, matching, &["NotOlderThan"]));
            }
        } else if !initial && !matching.is_empty() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        return check("ListOptions", &errors);
    }
    if !matching.is_empty() {
        let revision = query.get("resourceVersion").unwrap_or_default();
        if revision.is_empty() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if query.get("continue").is_some() {
            errors.push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
        }
        if matching == "Exact" && revision == "0" {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if initial {
        errors.push(FieldError::forbidden(
            &FieldPath::new("sendInitialEvents"),
            "sendInitialEvents is forbidden for list",
        ));
    }
    check("ListOptions", &errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, text: &str, apply: bool) -> String {
        write(kind, &Query::parse(Some(text)), Vec::new(), apply)
            .map(|_| String::new())
            .unwrap_or_else(|e| e.message().to_owned())
    }

    #[test]
    fn options_are_checked_together() {
        assert_eq!(refused("CreateOptions", "fieldManager=a&dryRun=All&fieldValidation=Strict", false), "");
        assert!(
            refused("PatchOptions", "", true).contains("fieldManager: Required value: is required for apply patch")
        );
        assert!(refused("PatchOptions", "force=true", false).contains("force: Forbidden"));
        assert!(refused("CreateOptions", "dryRun=Some", false).contains("dryRun: Unsupported value"));
        assert!(
            refused("CreateOptions", "fieldManager=a%0Ab", false).contains("invalid character U+000A (at position 1)")
        );
    }

    #[test]
    fn list_options_have_rules() {
        let ok = |text: &str, watch| list(&Query::parse(Some(text)), watch).is_ok();
        assert!(ok("resourceVersion=1&resourceVersionMatch=Exact", false) && !ok("resourceVersionMatch=Exact", false));
        assert!(!ok("resourceVersion=0&resourceVersionMatch=Exact", false));
        assert!(ok("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true));
        assert!(!ok("sendInitialEvents=true", true) && !ok("resourceVersionMatch=Exact", true));
    }
}
