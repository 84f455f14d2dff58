//! One condition on one label.

use super::SelectorError;
use super::set::LabelMap;
use crate::validation::{FieldError, FieldPath, aggregate, names};
use std::collections::BTreeSet;
use std::fmt;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `a=b`
    Equals,
    /// `a==b`, which means the same and prints as written.
    DoubleEquals,
    /// `a!=b`; an object without the label matches.
    NotEquals,
    /// `a in (b,c)`
    In,
    /// `a notin (b,c)`; an object without the label matches.
    NotIn,
    /// `a`
    Exists,
    /// `!a`
    DoesNotExist,
    /// `a>1`
    GreaterThan,
    /// `a<1`
    LessThan,
}

/// One condition on one label; all conditions of a selector must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

impl Requirement {
    /// A checked requirement.
    ///
    /// # Errors
    /// Key or values are not valid, or their number does not fit the operator.
    pub fn new(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Self, SelectorError> {
        let requirement = Requirement { key: key.into(), operator, values: values.into_iter().collect() };
        let errors = requirement.check();
        if errors.is_empty() { Ok(requirement) } else { Err(SelectorError::new(aggregate(&errors))) }
    }

    /// The label.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The comparison.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values compared with; empty for the two existence operators.
    pub fn values(&self) -> &BTreeSet<String> {
        &self.values
    }

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let broken = names::qualified_name(&self.key);
        if !broken.is_empty() {
            errors.push(FieldError::invalid(&FieldPath::new("key"), &self.key, broken.join("; ")));
        }
        let path = FieldPath::new("values");
        let shown: serde_json::Value = self.values.iter().map(|v| serde_json::Value::from(v.as_str())).collect();
        let rule = match self.operator {
            Operator::In | Operator::NotIn if self.values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if self.values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if !self.values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if self.values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !rule.is_empty() {
            errors.push(FieldError::invalid(&path, shown, rule));
        }
        for (i, value) in self.values.iter().enumerate() {
            let at = path.index(i);
            let compares = matches!(self.operator, Operator::GreaterThan | Operator::LessThan);
            if compares && value.parse::<i64>().is_err() {
                errors.push(FieldError::invalid(&at, value, "for 'Gt', 'Lt' operators, the value must be an integer"));
            }
            let broken = names::label_value(value);
            if !broken.is_empty() {
                errors.push(FieldError::invalid(&at.key(&self.key), value, broken.join("; ")));
            }
        }
        errors
    }

    /// Whether an object with these labels meets the condition.
    pub fn matches(&self, labels: &impl LabelMap) -> bool {
        self.matches_value(labels.label(&self.key))
    }

    /// Whether a label value (or its absence) meets the condition.
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.values.contains(v)),
            Operator::GreaterThan => self.compare(value).is_some_and(|(a, b)| a > b),
            Operator::LessThan => self.compare(value).is_some_and(|(a, b)| a < b),
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.operator {
            Operator::DoesNotExist => return write!(f, "!{}", self.key),
            Operator::Exists => return f.write_str(&self.key),
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::In => " in ",
            Operator::NotIn => " notin ",
            Operator::GreaterThan => ">",
            Operator::LessThan => "<",
        };
        let values = self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let set = matches!(self.operator, Operator::In | Operator::NotIn);
        let (open, close) = if set { ("(", ")") } else { ("", "") };
        write!(f, "{}{sign}{open}{values}{close}", self.key)
    }
}
