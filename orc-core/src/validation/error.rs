//! One error about one field, and how a list of them reads.

use super::{FieldPath, go_json, go_quote};
use serde_json::Value;
use std::fmt;

/// What is wrong with a field. The names are those of Kubernetes' status causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldErrorKind {
    /// The value refers to something that is not there.
    NotFound,
    /// A value must be given.
    Required,
    /// The value must be unique and is not.
    Duplicate,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of those listed.
    NotSupported,
    /// The value may not be given here.
    Forbidden,
    /// The text is too long; it is not repeated in the message.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The check itself failed.
    Internal,
    /// The value has the wrong JSON type.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The reason of a status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words that open a message.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

impl fmt::Display for FieldErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A value as a message shows it. Made from strings (quoted), numbers, booleans and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// Text that goes into the message as it is.
    pub fn raw(text: impl Into<String>) -> Self {
        Shown(text.into())
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Shown(go_quote(text))
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Self {
        Shown(go_quote(text))
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Shown(go_quote(&text))
    }
}

impl From<&Value> for Shown {
    fn from(value: &Value) -> Self {
        match value {
            Value::String(text) => Shown(go_quote(text)),
            Value::Null => Shown("null".into()),
            other => Shown(go_json(other)),
        }
    }
}

impl From<Value> for Shown {
    fn from(value: Value) -> Self {
        Shown::from(&value)
    }
}

impl From<Option<&Value>> for Shown {
    fn from(value: Option<&Value>) -> Self {
        Shown::from(value.unwrap_or(&Value::Null))
    }
}

macro_rules! shown_by_display {
    ($($t:ty),*) => { $(impl From<$t> for Shown {
        fn from(value: $t) -> Self { Shown(value.to_string()) }
    })* };
}
shown_by_display!(i64, i32, u64, u32, usize, bool);

/// A list of errors, in the order of the checks.
pub type FieldErrors = Vec<FieldError>;

/// One error about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// The path of the field, as printed.
    pub field: String,
    /// The offending value as the message shows it; kinds that never show one ignore it.
    pub value: Option<String>,
    /// The rule that is broken; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, path: &FieldPath<'_>, value: Option<Shown>, detail: impl Into<String>) -> Self {
        FieldError { kind, field: path.to_string(), value: value.map(|v| v.0), detail: detail.into() }
    }

    /// The value breaks a rule.
    pub fn invalid(path: &FieldPath<'_>, value: impl Into<Shown>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, Some(value.into()), detail)
    }

    /// The value breaks a rule, and the message does not show it.
    pub fn invalid_omitted(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, None, detail)
    }

    /// A value must be given.
    pub fn required(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, path, None, detail)
    }

    /// The value must be unique and is not.
    pub fn duplicate(path: &FieldPath<'_>, value: impl Into<Shown>) -> Self {
        Self::new(FieldErrorKind::Duplicate, path, Some(value.into()), "")
    }

    /// The value refers to something that is not there.
    pub fn not_found(path: &FieldPath<'_>, value: impl Into<Shown>) -> Self {
        Self::new(FieldErrorKind::NotFound, path, Some(value.into()), "")
    }

    /// The value is none of `supported`, which are listed in the order given.
    pub fn not_supported<S: AsRef<str>>(path: &FieldPath<'_>, value: impl Into<Shown>, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| go_quote(s.as_ref())).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(FieldErrorKind::NotSupported, path, Some(value.into()), detail)
    }

    /// The value may not be given here.
    pub fn forbidden(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, path, None, detail)
    }

    /// The text is longer than `limit` bytes.
    pub fn too_long(path: &FieldPath<'_>, limit: usize) -> Self {
        Self::new(FieldErrorKind::TooLong, path, None, format!("may not be more than {limit} bytes"))
    }

    /// The list has `actual` items where `limit` are allowed.
    pub fn too_many(path: &FieldPath<'_>, actual: usize, limit: usize) -> Self {
        let plural = if limit == 1 { "item" } else { "items" };
        Self::new(FieldErrorKind::TooMany, path, Some(actual.into()), format!("must have at most {limit} {plural}"))
    }

    /// The check itself failed.
    pub fn internal(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Internal, path, None, detail)
    }

    /// The value has the wrong JSON type.
    pub fn type_invalid(path: &FieldPath<'_>, value: impl Into<Shown>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, path, Some(value.into()), detail)
    }

    /// The reason of the status cause.
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// The message without the field: the text of the status cause.
    pub fn body(&self) -> String {
        use FieldErrorKind::{Forbidden, Internal, Required, TooLong};
        let mut text = self.kind.text().to_owned();
        if let (Some(value), false) = (&self.value, matches!(self.kind, Required | Forbidden | TooLong | Internal)) {
            text.push_str(": ");
            text.push_str(value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// The list as a status message says it: one error alone, several as `[a, b]`; an error that reads the same as an
/// earlier one is said once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_like_kubernetes() {
        let path = FieldPath::new("spec");
        let name = path.child("name");
        assert_eq!(FieldError::required(&name, "").to_string(), "spec.name: Required value");
        assert_eq!(FieldError::invalid(&name, "a\"", "bad").to_string(), "spec.name: Invalid value: \"a\\\"\": bad");
        assert_eq!(FieldError::invalid(&name, 5, "").to_string(), "spec.name: Invalid value: 5");
        assert_eq!(FieldError::invalid(&name, json!({"b": 1}), "x").body(), "Invalid value: {\"b\":1}: x");
        assert_eq!(
            FieldError::not_supported(&name, "x", &["a", "b"]).body(),
            "Unsupported value: \"x\": supported values: \"a\", \"b\""
        );
        assert_eq!(FieldError::too_many(&name, 3, 1).body(), "Too many: 3: must have at most 1 item");
    }

    #[test]
    fn aggregates_without_repeating() {
        let path = FieldPath::new("a");
        let (one, two) = (FieldError::required(&path, ""), FieldError::forbidden(&path, "no"));
        assert_eq!(aggregate(std::slice::from_ref(&one)), "a: Required value");
        assert_eq!(aggregate(&[one.clone(), two, one]), "[a: Required value, a: Forbidden: no]");
    }
}
