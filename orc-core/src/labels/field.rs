//! Field selectors: `spec.nodeName=n1,status.phase!=Failed`.
//!
//! Only equality exists. Which fields a resource lets be selected is the catalogue's knowledge, not this module's.

use crate::validation::go_quote;
use std::fmt;
use std::str::FromStr;

/// Why a field selector was refused, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before a character that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A bare `,` or `=` in a value.
    #[error("invalid field selector: unescaped character in value: {}", *.0 as u32)]
    Unescaped(char),
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldRequirement {
    /// The field, as in `metadata.name`.
    pub field: String,
    /// Whether the field must equal the value, or must not.
    pub equals: bool,
    /// The value, unescaped.
    pub value: String,
}

/// Which field values an object must have; `Default` selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector(Vec<FieldRequirement>);

impl FieldSelector {
    /// The text form; `=` and `==` mean the same, `\` escapes `,`, `=` and itself.
    ///
    /// # Errors
    /// A term without operator, or a value wrongly escaped.
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut list = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let Some((field, equals, value)) = split_term(term) else {
                return Err(FieldSelectorError::Term { selector: text.to_owned(), term: term.to_owned() });
            };
            list.push(FieldRequirement { field: field.to_owned(), equals, value: unescape(value)? });
        }
        Ok(FieldSelector(list))
    }

    /// A selector of one field equal to one value.
    pub fn equal(field: impl Into<String>, value: impl Into<String>) -> Self {
        FieldSelector(vec![FieldRequirement { field: field.into(), equals: true, value: value.into() }])
    }

    /// This selector and one more condition.
    #[must_use]
    pub fn and(mut self, requirement: FieldRequirement) -> Self {
        self.0.push(requirement);
        self
    }

    /// Whether an object is selected. `lookup` gives a field's value; a field that is absent counts as empty.
    pub fn matches<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().all(|r| (lookup(&r.field).unwrap_or_default() == r.value) == r.equals)
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions, in the order written.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.0
    }

    /// The value that a field must equal, if the selector says one: what an index or a name lookup can use.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|r| r.equals && r.field == field).map(|r| r.value.as_str())
    }
}

impl FromIterator<FieldRequirement> for FieldSelector {
    fn from_iter<I: IntoIterator<Item = FieldRequirement>>(requirements: I) -> Self {
        FieldSelector(requirements.into_iter().collect())
    }
}

impl IntoIterator for FieldSelector {
    type Item = FieldRequirement;
    type IntoIter = std::vec::IntoIter<FieldRequirement>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for FieldSelector {
    type Err = FieldSelectorError;
    fn from_str(text: &str) -> Result<Self, FieldSelectorError> {
        FieldSelector::parse(text)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let sign = if r.equals { "=" } else { "!=" };
            write!(f, "{comma}{}{sign}{}", r.field, escape_value(&r.value))?;
        }
        Ok(())
    }
}

impl fmt::Display for FieldRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.field, if self.equals { "=" } else { "!=" }, go_quote(&self.value))
    }
}

/// A value with `\`, `,` and `=` escaped.
pub fn escape_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at =
        term.char_indices().map(|(i, _)| i).find(|&i| term[i..].starts_with("!=") || term[i..].starts_with('='))?;
    let (field, rest) = term.split_at(at);
    let (equals, length) = match rest {
        _ if rest.starts_with("!=") => (false, 2),
        _ if rest.starts_with("==") => (true, 2),
        _ => (true, 1),
    };
    Some((field, equals, &rest[length..]))
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_and_matches() {
        let selector = FieldSelector::parse("spec.nodeName=n1,status.phase!=Failed,a==b\\,c").unwrap();
        assert_eq!(selector.to_string(), "spec.nodeName=n1,status.phase!=Failed,a=b\\,c");
        let lookup = |phase: &'static str| {
            move |field: &str| match field {
                "spec.nodeName" => Some("n1"),
                "a" => Some("b,c"),
                "status.phase" => Some(phase),
                _ => None,
            }
        };
        assert!(selector.matches(lookup("Running")) && !selector.matches(lookup("Failed")));
        assert_eq!(selector.exact("spec.nodeName"), Some("n1"));
        assert!(FieldSelector::parse("").unwrap().is_everything());
        assert!(FieldSelector::parse("x!=1").unwrap().matches(|_| None));
    }

    #[test]
    fn errors_read_like_kubernetes() {
        let text = |s: &str| FieldSelector::parse(s).unwrap_err().to_string();
        assert_eq!(text("a=b,c"), "invalid selector: 'a=b,c'; can't understand 'c'");
        assert_eq!(text("a=\\b"), "invalid field selector: invalid escape sequence: \\b");
        assert_eq!(text("a=b=c"), "invalid field selector: unescaped character in value: 61");
    }

    proptest! {
        #[test]
        fn display_parses_back(value in "\\PC{0,12}", equals: bool) {
            let one = FieldSelector(vec![FieldRequirement { field: "a.b".into(), equals, value }]);
            prop_assert_eq!(FieldSelector::parse(&one.to_string()).unwrap(), one);
        }
    }
}
